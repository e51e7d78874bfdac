"""Judges that read names: ``ontology`` (the same disease by the catalogue) and ``sequence`` (the original's).

A judge gets each answer with the diagnoses it names and gives one verdict for each of them, in order. What
needs no judge is settled here, alike for all: an answer without a diagnosis is wrong (rule ``no_answer``),
an answer that never came is unscored (rule ``not_answered``).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from diagnosis_zero.errors import InputError, nearest
from diagnosis_zero.rewards.accuracy import METHODS, GradeFn
from diagnosis_zero.types import Answer, Case, Label, Match, Verdict


@dataclass(frozen=True, slots=True)
class Named:
    """An answer and the diagnoses that it names, the most likely first."""

    answer: Answer
    names: tuple[str, ...]


Judge = Callable[[Sequence[Named]], list[tuple[Verdict, ...]]]
"""One verdict a name, in the order of the names; called only with answers that name something."""


def judge_answers(judge: Judge, label: str, named: Sequence[Named]) -> list[tuple[Verdict, ...]]:
    """The verdicts on each answer, at least one; ``label`` is the judge's name in what is settled without it."""
    asked = [item for item in named if item.names and item.answer.error is None]
    found = dict(zip(map(_key, asked), judge(asked), strict=True))
    return [found.get(_key(item)) or (_without_judge(item.answer, label),) for item in named]


def by_name(method: str, catalogue: Path | str | None = None) -> Judge:
    """A deterministic judge by the reward's own reading of an answer: "ontology" or "sequence".

    Args:
        catalogue: a file made by ``dz catalogue build``, "default", or None for the words of the names alone.
    """
    if method not in METHODS:
        raise InputError(f"unknown judge {method!r}", mend=nearest(method, list(METHODS)))
    return partial(_grade_all, method, METHODS[method](catalogue))


def verdict(answer: Answer, judge: str, label: Label | None, rule: str, *, reason: str = "") -> Verdict:
    """A verdict on ``answer`` whose score is its label's share of full marks; 0 where unscored."""
    score = (label or 0) / 2
    return Verdict(answer.case_id, answer.sample, answer.step, judge, label, score, rule, reason)


def _grade_all(method: str, grade: GradeFn, named: Sequence[Named]) -> list[tuple[Verdict, ...]]:
    return [
        tuple(_from_match(item.answer, method, grade(name, _truth(item.answer)).match) for name in item.names)
        for item in named
    ]


def _truth(answer: Answer) -> Case:
    """What grading needs of the case, which is not at hand here."""
    return Case(answer.case_id, "", answer.source_id, "", answer.references, answer.reference_ids)


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
