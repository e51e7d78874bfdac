"""Diseases as the HPO annotates them: findings with frequencies, age at onset, share of male patients.

Orphanet's entries carry frequencies but neither onset nor inheritance; OMIM's carry these. An Orphanet entry
therefore takes onset and inheritance from the OMIM entries of exactly the same name (letter case and
punctuation aside), and an X-linked inheritance from its own name. Annotations limited to one sex are
taken for both.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Literal, get_args

from diagnosis_zero.cases.hpo import Annotation, read_annotations

Nomenclature = Literal["ORPHA", "OMIM"]

AGES: Mapping[str, tuple[str, ...]] = {
    "birth": ("P0D",),
    "newborn": ("P1D", "P3D", "P1W", "P2W", "P3W"),
    "infant": tuple(f"P{months}M" for months in range(1, 12)),
    "child": tuple(f"P{years}Y" for years in range(1, 5)),
    "juvenile": tuple(f"P{years}Y" for years in range(5, 16)),
    "young adult": tuple(f"P{years}Y" for years in range(16, 40)),
    "middle age": tuple(f"P{years}Y" for years in range(40, 60)),
    "late": tuple(f"P{years}Y" for years in range(60, 80)),
}
"""Classes of age at onset (bounds as HPO defines them) and the ages, ISO 8601, in each."""

ONSET_CLASSES: Mapping[str, tuple[str, ...]] = {
    "HP:0030674": ("birth",),  # antenatal
    "HP:0011460": ("birth",),  # embryonal
    "HP:0011461": ("birth",),  # fetal
    "HP:0034199": ("birth",),  # late first trimester
    "HP:0034198": ("birth",),  # second trimester
    "HP:0034197": ("birth",),  # third trimester
    "HP:0003577": ("birth",),  # congenital
    "HP:0003623": ("newborn",),  # neonatal
    "HP:0003593": ("infant",),
    "HP:0011463": ("child",),
    "HP:0003621": ("juvenile",),
    "HP:0410280": ("newborn", "infant", "child", "juvenile"),  # pediatric
    "HP:0003581": ("young adult", "middle age", "late"),  # adult
    "HP:0011462": ("young adult",),
    "HP:0025708": ("young adult",),
    "HP:0025709": ("young adult",),
    "HP:0025710": ("young adult",),
    "HP:0003596": ("middle age",),
    "HP:0003584": ("late",),
}
"""HPO's onset terms as classes of ``AGES``; one that spans several is shared evenly."""

MALE_SHARE: Mapping[str, float] = {
    "HP:0001450": 0.98,  # Y-linked
    "HP:0001475": 0.98,  # male-limited expression
    "HP:0001419": 0.95,  # X-linked recessive: girls by skewed inactivation and the like
    "HP:0001417": 0.8,  # X-linked, not said which: mostly recessive
    "HP:0001423": 0.35,  # X-linked dominant: two X, twice the chance
}
"""Share of male patients by mode of inheritance; the first annotated one counts. Conventions of this
project."""

DEFAULT_FREQUENCY = 0.5
"""Of a finding annotated without a frequency: under 1 % of Orphanet's rows, 38 % of OMIM's."""


@dataclass(frozen=True, slots=True)
class Profile:
    """A disease as annotated. ``findings`` are HPO ids with the share of patients who have each; ``onset`` is
    a distribution over the classes of ``AGES`` (empty: not annotated); ``male`` the share of male
    patients."""

    id: str
    name: str
    findings: Mapping[str, float]
    onset: Mapping[str, float]
    male: float


def load_profiles(source: Nomenclature = "ORPHA") -> tuple[Profile, ...]:
    """All diseases of one nomenclature that have findings, by id; about three seconds at the first call."""
    return _all_profiles()[source]


@cache
def _all_profiles() -> dict[Nomenclature, tuple[Profile, ...]]:
    rows = tuple(read_annotations())
    return {source: profiles_of(rows, source) for source in get_args(Nomenclature)}


def profiles_of(annotations: Iterable[Annotation], source: Nomenclature) -> tuple[Profile, ...]:
    """Diseases of ``source`` from annotation rows (the other nomenclature's rows lend onset and
    inheritance)."""
    by_disease: dict[str, list[Annotation]] = defaultdict(list)
    course: dict[str, list[Annotation]] = defaultdict(list)
    for row in annotations:
        if row.disease_id.startswith(f"{source}:"):
            by_disease[row.disease_id].append(row)
        if row.aspect in ("I", "C") and not row.negated:
            course[plain(row.disease_name)].append(row)
    found = (_profile(rows, course[plain(rows[0].disease_name)]) for _, rows in sorted(by_disease.items()))
    return tuple(profile for profile in found if profile.findings)


def plain(name: str) -> str:
    """A name without letter case and punctuation, words parted by one blank."""
    return " ".join(re.findall(r"\w+", name.casefold()))


def _profile(rows: Sequence[Annotation], course: Sequence[Annotation]) -> Profile:
    name = rows[0].disease_name
    findings: dict[str, list[Annotation]] = defaultdict(list)
    for row in rows:
        if row.aspect == "P" and not row.negated:
            findings[row.term].append(row)
    shares = {term: pooled_frequency(found) for term, found in findings.items()}
    return Profile(
        id=rows[0].disease_id,
        name=name,
        findings={term: share for term, share in shares.items() if share > 0},
        onset=_onset(course),
        male=_male_share(name, {row.term for row in course}),
    )


def pooled_frequency(rows: Sequence[Annotation]) -> float:
    """One share from several reports of one finding: counted patients are pooled; a share without a count
    weighs like one patient; without any frequency, ``DEFAULT_FREQUENCY``."""
    given = [(row.frequency, row.patients or 1) for row in rows if row.frequency is not None]
    if not given:
        return DEFAULT_FREQUENCY
    return sum(share * patients for share, patients in given) / sum(patients for _, patients in given)


def _onset(course: Sequence[Annotation]) -> dict[str, float]:
    weights: dict[str, float] = defaultdict(float)
    for row in course:
        classes = ONSET_CLASSES.get(row.term, ())
        for name in classes:
            weights[name] += (1.0 if row.frequency is None else row.frequency) / len(classes)
    total = sum(weights.values())
    return {name: weight / total for name, weight in weights.items()} if total else {}


def _male_share(name: str, inheritance: set[str]) -> float:
    stated = [share for mode, share in MALE_SHARE.items() if mode in inheritance]
    if stated:
        return stated[0]
    low = name.casefold()
    if "x-linked" not in low:
        return 0.5
    return MALE_SHARE["HP:0001423" if "dominant" in low else "HP:0001419" if "recessive" in low else "HP:0001417"]
