"""Whether an answer names the true disease: ``ontology`` (what the name means) or ``sequence`` (the original)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

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
    from diagnosis_zero.nomenclature.match import match

    def judge(text: str) -> Match:
        return match(text, case.names, reference_ids=case.ids, catalogue=catalogue)

    truth = asides.Truth(
        accepted=case.names,
        same=lambda text: judge(text).label == 2,
        covers=lambda text: judge(text).label >= 1,
        known=lambda text: catalogue is not None and bool(catalogue.find(text)),
    )
    slot = answer_slot.read(answer, truth)
    return refused(slot.refusal) if slot.refusal else Grade(judge(slot.candidate))


def _by_letters(answer: str, case: Case) -> Grade:
    return Grade(sequence.match(answer, case.names))
