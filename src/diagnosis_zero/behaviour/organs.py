"""Which organ system a disease belongs to, by what HPO annotates it with: systemic, or one organ."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cache

from diagnosis_zero.behaviour.findings import PHENOTYPE
from diagnosis_zero.cases.hpo import load_hpo, read_annotations

SYSTEMIC = "systemic"
ONE_ORGAN = "single organ"
MOST = 0.5
"""A disease is of one organ when more than half of its findings lie in one system."""
_NO_ORGAN = {
    "HP:0001197", "HP:0001507", "HP:0001939", "HP:0002664", "HP:0025142", "HP:0025354", "HP:0000152", "HP:0040064",
    "HP:0045027",
}  # fmt: skip
"""Branches that say where or how, not which organ: birth, growth, metabolism, neoplasm, constitution, cells,
head and neck, limbs, thorax."""


def system_of(ids: Sequence[str]) -> str | None:
    """The organ system that holds most findings of a disease ("nervous system"); None where nothing is annotated."""
    counts = _counts(ids)
    return counts.most_common(1)[0][0] if counts else None


def extent_of(ids: Sequence[str]) -> str | None:
    """``SYSTEMIC`` or ``ONE_ORGAN``; None where nothing is annotated."""
    counts = _counts(ids)
    if not counts:
        return None
    return ONE_ORGAN if counts.most_common(1)[0][1] > MOST * counts.total() else SYSTEMIC


def _counts(ids: Sequence[str]) -> Counter[str]:
    return next((found for identifier in ids if (found := _annotated().get(identifier))), Counter())


@cache
def _annotated() -> Mapping[str, Counter[str]]:
    """disease id -> its findings counted by organ system; a finding of two systems counts in both."""
    hpo = load_hpo()
    organs = {
        term.id: term.label.removeprefix("Abnormality of ").removeprefix("the ")
        for term in hpo.terms.values()
        if PHENOTYPE in term.parents and term.id not in _NO_ORGAN
    }
    found: dict[str, Counter[str]] = {}
    for row in read_annotations():
        if row.aspect == "P" and not row.negated and row.term in hpo.terms:
            systems = ({row.term} | hpo.ancestors(row.term)) & organs.keys()
            found.setdefault(row.disease_id, Counter()).update(organs[system] for system in systems)
    return found
