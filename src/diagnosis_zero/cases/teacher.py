"""A weak but consistent teacher: short rationales for the supervised warm start, wrong in ways that stay.

A pupil of a teacher that errs at random learns to be right, since its most probable answer averages the
errors out. These teachers err by rule, so that the pupil's best guess inherits the error and
reinforcement learning has something left to teach. Each is a function of the case alone.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache

import numpy as np

from diagnosis_zero.cases.profiles import Profile
from diagnosis_zero.cases.prose import listed
from diagnosis_zero.cases.world import World
from diagnosis_zero.types import Case

CONFUSED = 0.65
"""How often the "partner" teacher names the wrong disease of a pair that it confuses."""
EVIDENCE = 2
"""Most findings named in a rationale."""

_THOUGHTS = (
    "Think of {answer}: {found}.",
    "{answer} would explain {found}.",
    "Consider {answer}, which fits {found}.",
)
"""A hypothesis, then the findings that speak for it."""


def reasoning(world: World, case: Case, *, skill: float, teacher: str = "partner") -> tuple[str, str]:
    """(think, answer): a rationale of at most two dozen words that names some findings and the candidate, and
    the candidate's name. ``skill`` in [0, 1] is 1 for a teacher that is as good as its kind can be.

    Raises:
        KeyError: ``teacher`` is not one of ``TEACHERS``.
    """
    answer = TEACHERS[teacher](world, case, skill)
    found = listed(_evidence(world, case, answer))
    thought = _THOUGHTS[int(_share(case.text) * len(_THOUGHTS))]
    return thought.format(found=found, Found=found[:1].upper() + found[1:], answer=answer.name), answer.name


def partner(world: World, case: Case, skill: float) -> Profile:
    """Knows the truth, but takes a share of 1 - ``skill`` of the diseases for their most similar neighbour:
    these are named by the neighbour's name ``CONFUSED`` of the time, by their own otherwise.

    A pupil's greedy answer is right for ``skill`` of the patients; its samples hold the truth for the
    others too.
    """
    truth = world.row[case.ids[0]]
    if truth not in _confused(world, skill) or _share(case.text + "?") >= CONFUSED:
        return world.diseases[truth]
    return world.diseases[_neighbours(world)[truth]]


def blind(world: World, case: Case, skill: float) -> Profile:
    """Weighs the findings rightly, but is blind for a fixed share of 1 - ``skill`` of the vocabulary (and
    for what is excluded, age and sex)."""
    seen = [world.column[finding.id] for finding in case.findings if not finding.excluded]
    noticed = [column for column in seen if _share(world.terms[column]) < skill]
    return world.diseases[int(_likelihood(world, noticed).argmax())]


def habit(world: World, case: Case, skill: float) -> Profile:
    """Has learnt a share ``skill`` of the diseases only, and finds the likeliest of these in all patients."""
    seen = [world.column[finding.id] for finding in case.findings if not finding.excluded]
    scores = _likelihood(world, seen)
    scores[list(_confused(world, skill))] = -np.inf
    return world.diseases[int(scores.argmax())]


TEACHERS: Mapping[str, Callable[[World, Case, float], Profile]] = {
    "partner": partner,
    "blind": blind,
    "habit": habit,
}
"""The kinds of weakness, by name."""


def _likelihood(world: World, seen: Sequence[int]) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    listed_DT = world.frequency[:, seen] * world.reported.mean(axis=1, keepdims=True)
    chances_DT = np.where(listed_DT > 0, listed_DT, world.coincidence.mean(axis=1, keepdims=True))
    scores: np.ndarray[tuple[int], np.dtype[np.float64]] = np.log(chances_DT).sum(axis=1)
    return scores


@lru_cache(maxsize=8)
def _confused(world: World, skill: float) -> frozenset[int]:
    """Places of the 1 - ``skill`` of the diseases that this teacher gets wrong, the same in every call."""
    order = sorted(range(len(world.diseases)), key=lambda row: _share(world.diseases[row].id))
    return frozenset(order[round(skill * len(order)) :])


@lru_cache(maxsize=8)
def _neighbours(world: World) -> tuple[int, ...]:
    """The most similar other disease of each, by the cosine of their frequencies."""
    unit = world.frequency / np.linalg.norm(world.frequency, axis=1, keepdims=True)
    likeness = unit @ unit.T
    np.fill_diagonal(likeness, -1.0)
    return tuple(int(other) for other in likeness.argmax(axis=1))


def _evidence(world: World, case: Case, answer: Profile) -> list[str]:
    """The findings that speak most for the answer, in the words of the text."""
    row = world.row[answer.id]
    frequency = world.frequency[row] / world.frequency.sum(axis=0)
    seen = [world.column[finding.id] for finding in case.findings if not finding.excluded]
    telling = sorted(seen, key=lambda column: (-frequency[column], column))
    return [_as_written(world.phrasings[column], case.text) for column in telling[:EVIDENCE]]


def _as_written(phrasings: Sequence[str], text: str) -> str:
    standing = [phrase for phrase in phrasings if phrase.casefold() in text.casefold()]
    return max(standing, key=len, default=phrasings[0])


def _share(text: str) -> float:
    """A number in [0, 1) that is a function of the text."""
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=6).digest(), "big") / 2**48
