"""Judges that read names: ``ontology`` (the same disease by the catalogue) and ``sequence`` (the original's).

A judge gets each answer with the diagnoses it names and gives one verdict for each of them, in order. What
needs no judge is settled here, alike for all: an answer without a diagnosis is wrong (rule ``no_answer``),
an answer that never came is unscored (rule ``not_answered``).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from diagnosis_zero.errors import InputError, nearest
from diagnosis_zero.types import Answer, Label, Match, Verdict

if TYPE_CHECKING:
    from diagnosis_zero.nomenclature.catalogue import Catalogue


@dataclass(frozen=True, slots=True)
class Named:
    """An answer and the diagnoses that it names, the most likely first."""

    answer: Answer
    names: tuple[str, ...]


Judge = Callable[[Sequence[Named]], list[tuple[Verdict, ...]]]
"""One verdict a name, in the order of the names; called only with answers that name something."""
Grade = Callable[[str, Answer], Match]


def judge_answers(judge: Judge, label: str, named: Sequence[Named]) -> list[tuple[Verdict, ...]]:
    """The verdicts on each answer, at least one; ``label`` is the judge's name in what is settled without
    it.
    """
    asked = [item for item in named if item.names and item.answer.error is None]
    found = dict(zip(map(_key, asked), judge(asked), strict=True))
    return [found.get(_key(item)) or (_without_judge(item.answer, label),) for item in named]


def by_name(method: str, catalogue: Catalogue | None = None) -> Judge:
    """A deterministic judge: "ontology" or "sequence"."""
    if method not in GRADES:
        raise InputError(f"unknown judge {method!r}", mend=nearest(method, list(GRADES)))
    return partial(_grade_all, method, GRADES[method](catalogue))


def verdict(answer: Answer, judge: str, label: Label | None, rule: str, *, reason: str = "") -> Verdict:
    """A verdict on ``answer`` whose score is its label's share of full marks; 0 where unscored."""
    score = (label or 0) / 2
    return Verdict(answer.case_id, answer.sample, answer.step, judge, label, score, rule, reason)


def _grade_all(method: str, grade: Grade, named: Sequence[Named]) -> list[tuple[Verdict, ...]]:
    return [tuple(_from_match(item.answer, method, grade(name, item.answer)) for name in item.names) for item in named]


def _from_match(answer: Answer, judge: str, match: Match) -> Verdict:
    return Verdict(
        answer.case_id,
        answer.sample,
        answer.step,
        judge,
        match.label,
        match.score,
        match.rule,
        reason=match.matched_name or "",
        matched_id=match.matched_id,
    )


def _without_judge(answer: Answer, judge: str) -> Verdict:
    if answer.error is not None:
        return verdict(answer, judge, None, "not_answered", reason=answer.error)
    return verdict(answer, judge, 0, "no_answer", reason=", ".join(answer.faults))


def _key(item: Named) -> tuple[str, int]:
    return item.answer.case_id, item.answer.sample


def _ontology(catalogue: Catalogue | None) -> Grade:
    from diagnosis_zero.nomenclature.match import match

    def grade(name: str, answer: Answer) -> Match:
        return match(name, answer.references, reference_ids=answer.reference_ids, catalogue=catalogue)

    return grade


def _sequence(_: Catalogue | None) -> Grade:
    from diagnosis_zero.rewards.sequence import match

    return lambda name, answer: match(name, answer.references)


GRADES: dict[str, Callable[[Catalogue | None], Grade]] = {"ontology": _ontology, "sequence": _sequence}
