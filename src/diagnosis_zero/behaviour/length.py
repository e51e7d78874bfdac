"""How long a completion is, whether the limit cut it, and whether it runs in a loop."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from diagnosis_zero.types import Answer

_UNIT = re.compile(r"[\u2e80-\u9fff\uac00-\ud7af]|\w+|(?:([^\w\s])\1{0,9}+)")
_PIECE = 4
LEAST_UNITS = 12
LEAST_ROUNDS = 3
"""A loop repeats a passage at least three times on end, over at least twelve words or signs. Up to ten of the same
sign are one, so that a ruled line is not a loop and a hundred and twenty "!" are."""


def features(answer: Answer) -> Mapping[str, float]:
    """``length/tokens`` and ``length/words``; flags ``length/truncated`` (the limit was reached) and
    ``length/loop`` where set."""
    found = {"length/tokens": float(answer.tokens), "length/words": float(len(answer.text.split()))}
    if answer.finish == "length":
        found["length/truncated"] = 1.0
    if loops(answer.text):
        found["length/loop"] = 1.0
    return found


def loops(text: str) -> bool:
    """Whether some passage is said again and again on end: words, signs ("!!!!"), or letters of one endless word.

    Time is linear in the length of the text times the number of different distances (at most
    ``MOST_DISTANCES``) at which its four-unit pieces recur.
    """
    units = [unit[0] for unit in _UNIT.finditer(text)]
    return _periodic(units) or any(_periodic(unit) for unit in units if len(unit) > 5 * LEAST_UNITS)


MOST_DISTANCES = 50


def _periodic(units: Sequence[str]) -> bool:
    return any(
        _longest_echo(units, distance) >= max(LEAST_UNITS, LEAST_ROUNDS * distance) - distance
        for distance in _distances(units)
    )


def _distances(units: Sequence[str]) -> list[int]:
    """Distances at which a piece of four units comes again, the most frequent ones."""
    if len(units) < LEAST_UNITS:
        return []
    pieces = list(zip(*(units[start:] for start in range(_PIECE)), strict=False))
    if len(set(pieces)) == len(pieces):
        return []
    last: dict[tuple[str, ...], int] = {}
    counts: dict[int, int] = {}
    for place, piece in enumerate(pieces):
        if piece in last:
            distance = place - last[piece]
            counts[distance] = counts.get(distance, 0) + 1
        last[piece] = place
    return sorted(counts, key=lambda distance: -counts[distance])[:MOST_DISTANCES]


def _longest_echo(units: Sequence[str], distance: int) -> int:
    """Longest run of units that each equal the one ``distance`` before."""
    longest = run = 0
    for place in range(distance, len(units)):
        run = run + 1 if units[place] == units[place - distance] else 0
        longest = max(longest, run)
    return longest
