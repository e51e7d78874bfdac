"""Accuracy by kind of patient. Many groups are looked at, so a single one that stands out is a hint, not a finding."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from diagnosis_zero.cases.split import disease_key
from diagnosis_zero.evaluate import stats
from diagnosis_zero.evaluate.protocol import Orphanet
from diagnosis_zero.evaluate.stats import Estimate
from diagnosis_zero.types import Answer, Case, Verdict

_NUMBER = r"(\d+(?:\.\d+)?)"
_AGE = re.compile(f"P(?=.)(?:{_NUMBER}Y)?(?:{_NUMBER}M)?(?:{_NUMBER}W)?(?:{_NUMBER}D)?(?:T[0-9HMS.]+)?")
AGES = ((1, "under 1 year"), (18, "1 to 17 years"), (65, "18 to 64 years"), (float("inf"), "65 years and over"))
LENGTHS = ((100, "under 100 words"), (300, "100 to 299 words"), (float("inf"), "300 words and over"))


@dataclass(frozen=True, slots=True)
class Subgroup:
    """Accuracy (label 2, first answer) on the cases that share a value."""

    kind: str
    value: str
    accuracy: Estimate


@dataclass(frozen=True, slots=True)
class Known:
    """What the grouping needs beside the cases; each may be empty."""

    training: frozenset[str] = frozenset()
    """Keys of the diseases seen in training (``cases.split.disease_key``)."""
    orphanet: Mapping[str, Orphanet] = field(default_factory=dict)
    unreliable: frozenset[str] = frozenset()
    """Ids of cases whose accepted names are known to be doubtful."""


def subgroups(
    cases: Mapping[str, Case], answers: Sequence[Answer], verdicts: Sequence[Verdict], known: Known
) -> list[Subgroup]:
    """Every group that has a case, by kind, the largest first. Unscored answers take no part."""
    labels = {verdict.case_id: verdict.label for verdict in verdicts if verdict.sample == 0}
    found: dict[tuple[str, str], list[tuple[float, str]]] = defaultdict(list)
    for answer in answers:
        if answer.sample == 0 and labels.get(answer.case_id) is not None:
            case = cases[answer.case_id]
            row = (float(labels[case.id] == 2), case.source_id or case.id)
            for kind, value in groups_of(case, known):
                found[kind, value].append(row)
    order = list(KINDS)
    places = sorted(found, key=lambda group: (order.index(group[0]), -len(found[group]), group[1]))
    return [Subgroup(kind, value, _accuracy(found[kind, value])) for kind, value in places]


def _accuracy(rows: Sequence[tuple[float, str]]) -> Estimate:
    return stats.estimate([right for right, _ in rows], [article for _, article in rows])


def groups_of(case: Case, known: Known) -> list[tuple[str, str]]:
    """(kind, value) of every group that a case belongs to."""
    return [(kind, value) for kind, of in KINDS.items() if (value := of(case, known)) is not None]


def training_keys(cases: Sequence[Case]) -> frozenset[str]:
    """The keys of all diseases of the training cases."""
    return frozenset(key for case in cases for key in disease_key(case))


def _age(case: Case, known: Known) -> str | None:
    found = _AGE.fullmatch(case.age or "")
    if found is None:
        return "unknown"
    years, months, weeks, days = (float(part or 0) for part in found.groups())
    return _band(years + months / 12 + weeks / 52 + days / 365, AGES)


def _sex(case: Case, known: Known) -> str | None:
    return (case.sex or "unknown").lower()


def _length(case: Case, known: Known) -> str | None:
    return _band(len(case.text.split()), LENGTHS)


def _seen(case: Case, known: Known) -> str | None:
    if not known.training:
        return None
    return "seen in training" if not known.training.isdisjoint(disease_key(case)) else "not seen in training"


def _leak(case: Case, known: Known) -> str | None:
    return "names the answer" if case.leaks else "does not name the answer"


def _group(case: Case, known: Known) -> str | None:
    """The widest Orphanet class of the disease."""
    if not known.orphanet:
        return None
    numbers = (name.partition(":")[2] for name in case.ids if name.startswith("ORPHA:"))
    widest = (known.orphanet[number].group for number in numbers if number in known.orphanet)
    return next((group for group in widest if group), "unknown")


def _reference(case: Case, known: Known) -> str | None:
    return None if not known.unreliable else "doubtful" if case.id in known.unreliable else "not known to be doubtful"


KINDS: dict[str, Callable[[Case, Known], str | None]] = {
    "text": _leak,
    "disease": _seen,
    "disease group": _group,
    "age": _age,
    "sex": _sex,
    "length": _length,
    "reference": _reference,
}


def _band(value: float, bands: Sequence[tuple[float, str]]) -> str:
    return next(name for limit, name in bands if value < limit)
