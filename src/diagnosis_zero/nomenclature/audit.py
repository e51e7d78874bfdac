"""What a reward would accept, over a whole nomenclature: other diseases (too much), synonyms (enough).

For each disease the other diseases' preferred names are given as answers, and its own synonyms. Answers are tried
where they can be accepted at all: names alike in their letters (no less than the sequence formula needs), and
names that the catalogue itself gives to several diseases.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from rapidfuzz import process
from rapidfuzz.distance import Indel

from diagnosis_zero.nomenclature.catalogue import Catalogue
from diagnosis_zero.nomenclature.normalise import literal_key
from diagnosis_zero.nomenclature.score import MatchFn

LETTERS_NEEDED = 0.75
"""Two names below this share of common letters score at most 0.8 by the sequence formula, whatever their words:
0.8 * 0.75 + 0.2. (The longest common subsequence bounds difflib's matching blocks from above.)"""
Track = Callable[[Sequence["Audited"]], Iterable["Audited"]]
CHUNK = 256
EXAMPLES = 12


@dataclass(frozen=True, slots=True)
class Audited:
    """A disease as the audit sees it: its entry, identifier, preferred name and other names that mean it."""

    number: int
    id: str
    name: str
    synonyms: tuple[str, ...]


@dataclass(slots=True)
class Tally:
    """One method's figures. ``wrong``: diseases of which another disease's name was accepted."""

    diseases: int = 0
    wrong: int = 0
    synonyms: int = 0
    accepted: int = 0
    wrong_examples: list[str] = field(default_factory=list)
    refused_examples: list[str] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        shares = {
            "wrong_disease_acceptance": self.wrong / max(1, self.diseases),
            "synonyms_accepted": self.accepted / max(1, self.synonyms),
        }
        return {**shares, **asdict(self)}


def diseases(catalogue: Catalogue, limit: int | None = None) -> list[Audited]:
    """Orphanet's diseases in the catalogue, all diseases where it holds none of Orphanet's; groupings left out.

    ``limit`` takes as many, evenly spread.
    """
    numbers = [number for number, grouping in catalogue.entries() if not grouping]
    orphanet = [number for number in numbers if "ORPHA" in catalogue.entry(number).authorities]
    chosen = sorted(orphanet or numbers, key=lambda number: catalogue.entry(number).id)
    step = max(1, len(chosen) // limit) if limit else 1
    return [_audited(catalogue, number) for number in chosen[::step][:limit]]


def _audited(catalogue: Catalogue, number: int) -> Audited:
    entry = catalogue.entry(number)
    said = catalogue.names(number)
    names = [entry.name, *(name for scope in ("preferred", "exact", "abbreviation") for name in said.get(scope, ()))]
    distinct = {literal_key(name): name for name in reversed(names)}  # spelled alike: no synonym
    synonyms = tuple(sorted(name for name in distinct.values() if name != entry.name))
    return Audited(number, entry.id, entry.name, synonyms)


def audit(
    catalogue: Catalogue, methods: Mapping[str, MatchFn], found: Sequence[Audited], *, track: Track = iter
) -> dict[str, Tally]:
    """The figures of each method over ``found`` (see ``diseases``).

    Args:
        catalogue: for names that it gives to several diseases.
        methods: by the name to report them under.
        track: wraps the loop over the diseases (a progress bar).
    """
    tallies = {name: Tally() for name in methods}
    candidates = _candidates(catalogue, found)
    for position, disease in enumerate(track(found)):
        others = [found[other] for other in sorted(candidates.get(position, ()))]
        for name, method in methods.items():
            _count(tallies[name], method, disease, others)
    return tallies


def _count(tally: Tally, method: MatchFn, disease: Audited, others: Iterable[Audited]) -> None:
    tally.diseases += 1
    wrong = [other for other in others if method(other.name, [disease.name], ()).label == 2]
    if wrong:
        tally.wrong += 1
        _example(tally.wrong_examples, f"{wrong[0].name} ({wrong[0].id}) for {disease.name} ({disease.id})")
    for synonym in disease.synonyms:
        tally.synonyms += 1
        if method(synonym, [disease.name], ()).label == 2:
            tally.accepted += 1
        else:
            _example(tally.refused_examples, f"{synonym} for {disease.name} ({disease.id})")


def _example(examples: list[str], text: str) -> None:
    if len(examples) < EXAMPLES:
        examples.append(text)


def _candidates(catalogue: Catalogue, found: Sequence[Audited]) -> dict[int, set[int]]:
    """Position of a disease -> positions of diseases whose names might be accepted for it."""
    candidates: dict[int, set[int]] = {}
    place = {disease.number: position for position, disease in enumerate(found)}
    for left, right in (*_alike([disease.name for disease in found]), *_shared(catalogue, found, place)):
        if left != right:
            candidates.setdefault(left, set()).add(right)
            candidates.setdefault(right, set()).add(left)
    return candidates


def _alike(names: Sequence[str]) -> Iterator[tuple[int, int]]:
    lowered = [name.lower() for name in names]
    for start in range(0, len(lowered), CHUNK):
        block = process.cdist(
            lowered[start : start + CHUNK],
            lowered,
            scorer=Indel.normalized_similarity,
            score_cutoff=LETTERS_NEEDED,
            dtype=np.float32,
        )
        for row, column in np.argwhere(block > 0).tolist():
            yield start + row, column


def _shared(catalogue: Catalogue, found: Sequence[Audited], place: Mapping[int, int]) -> Iterator[tuple[int, int]]:
    for position, disease in enumerate(found):
        for entry in {number for number, _, _ in catalogue.find(disease.name).said}:
            if entry in place:
                yield position, place[entry]
