"""Whether an answer names the true disease: ``ontology`` (what the name means) or ``sequence`` (the original)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING

from diagnosis_zero.nomenclature.answer import names_disease
from diagnosis_zero.nomenclature.normalise import analyse, literal_key
from diagnosis_zero.rewards import answer_slot, asides, sequence
from diagnosis_zero.types import Case, Match

if TYPE_CHECKING:
    from diagnosis_zero.nomenclature.catalogue import Catalogue


@dataclass(frozen=True, slots=True)
class Grade:
    """The verdict on one answer. ``refusal`` says why its text is not one diagnosis (label 0 then)."""

    match: Match
    refusal: str = ""


def refused(reason: str) -> Grade:
    """What an answer that cannot be graded gets."""
    return Grade(Match(0, 0.0, f"answer: {reason}"), reason)


GradeFn = Callable[[str, Case], Grade]


def ontology(source: Path | str | None) -> GradeFn:
    """Read the answer slot, then match it against the nomenclature (``source``: see ``build_reward``)."""
    return partial(_by_meaning, _open(source))


def by_sequence(source: Path | str | None) -> GradeFn:
    """The original's formula on the text as it stands; needs no nomenclature."""
    return _by_letters


METHODS: dict[str, Callable[[Path | str | None], GradeFn]] = {"ontology": ontology, "sequence": by_sequence}


def _open(source: Path | str | None) -> Catalogue | None:
    if source is None:
        return None
    from diagnosis_zero.nomenclature.catalogue import Catalogue, default_catalogue

    return default_catalogue() if source == "default" else Catalogue.open(source)


def _by_meaning(catalogue: Catalogue | None, answer: str, case: Case) -> Grade:
    if len(answer) > answer_slot.MAX_CHARS:
        return refused("too long")
    return _graded(catalogue, answer, case.names, case.ids)


@lru_cache(maxsize=50_000)
def _graded(catalogue: Catalogue | None, answer: str, names: tuple[str, ...], ids: tuple[str, ...]) -> Grade:
    """The grade of one answer (cached: a group's completions often give the same answer)."""
    from diagnosis_zero.nomenclature.match import match

    def judge(text: str) -> Match:
        return match(text, names, reference_ids=ids, catalogue=catalogue)

    truth = asides.Truth(
        accepted=names,
        same=lambda text: judge(text).label == 2,
        covers=lambda text: judge(text).label >= 1,
        known=lambda text: catalogue is not None and _known(catalogue, text, names),
    )
    slot = answer_slot.read(answer, truth)
    return refused(slot.refusal) if slot.refusal else Grade(judge(slot.candidate))


def _known(catalogue: Catalogue, text: str, accepted: Sequence[str]) -> bool:
    """Whether the nomenclature holds a name, or a family of diseases by that name that the truth is not of
    ("Ehlers-Danlos syndrome" where it has the types alone)."""
    if catalogue.find(text):
        return True
    name = analyse(text)
    if not name.words or not names_disease(name.words[-1]) or not catalogue.begins(text):
        return False
    return not any(literal_key(one).startswith(name.literal) for one in accepted)


def _by_letters(answer: str, case: Case) -> Grade:
    return Grade(sequence.match(answer, case.names))
