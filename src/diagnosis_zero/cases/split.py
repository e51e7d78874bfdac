"""Which cases train, which steer (val), which are held out (test): 70 % to training, of which 10 % are val.

A rule sees a small key of every case and names those to hold out; ``val`` is held out of the rest by the same rule.
Shares are of cases. A group too large for what is left to hold out stays in training.
"""

from __future__ import annotations

import math
import random
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

from diagnosis_zero.errors import InputError, nearest
from diagnosis_zero.nomenclature.normalise import normalise
from diagnosis_zero.types import Case

Split = Literal["train", "val", "test"]
SPLITS: tuple[Split, ...] = ("train", "val", "test")
Key = tuple[str, ...]
HoldOut = Callable[[Sequence[Key], float, random.Random], set[int]]
"""(keys, share that stays, random numbers) -> positions to hold out."""


class Rule(NamedTuple):
    """``key`` is what the rule looks at in a case, ``hold_out`` what it does."""

    key: Callable[[Case], Key]
    hold_out: HoldOut


def rule_named(name: str) -> Rule:
    """The rule of that name, or an ``InputError`` with the nearest."""
    if name not in RULES:
        raise InputError(f"no split {name!r}", mend=nearest(name, list(RULES)))
    return RULES[name]


def assign(keys: Sequence[Key], hold_out: HoldOut, seed: int = 0) -> list[Split]:
    """The split of every case, from the keys of all in file order. The same seed gives the same splits.

    Raises:
        InputError: to be split by date, and no case has one.
    """
    if hold_out is _latest and not any(date for (date,) in keys):
        raise InputError("no case has a date", mend="Choose another --split.")
    rng = random.Random(seed)
    test = hold_out(keys, 0.7, rng)
    rest = [position for position in range(len(keys)) if position not in test]
    val = {rest[position] for position in hold_out([keys[position] for position in rest], 0.9, rng)}
    return ["test" if position in test else "val" if position in val else "train" for position in range(len(keys))]


def disease_key(case: Case) -> Key:
    """Identifiers and normalised names: cases that share one have the same disease."""
    names = (normalise(name) or name.casefold() for name in case.names)
    return tuple(dict.fromkeys((*case.ids, *(f"name {name}" for name in names))))


def connected(keys: Sequence[Key]) -> list[int]:
    """A group number for every key, such that keys with a common element, directly or by way of others, share it."""
    parent: dict[str, str] = {}

    def root(element: str) -> str:
        while (above := parent.setdefault(element, element)) != element:
            parent[element] = parent[above]
            element = parent[element]
        return element

    for key in keys:
        for element in key[1:]:
            parent[root(element)] = root(key[0])
    numbers: dict[str, int] = {}
    return [numbers.setdefault(root(key[0]), len(numbers)) for key in keys]


def _last(keys: Sequence[Key], stays: float, _: random.Random) -> set[int]:
    """As the original system cut its file, in floating point: int(0.7 * 90) is 62."""
    return set(range(math.floor(stays * len(keys)), len(keys)))


def _drawn(keys: Sequence[Key], stays: float, rng: random.Random) -> set[int]:
    order = rng.sample(range(len(keys)), len(keys))
    return set(order[math.floor(stays * len(keys)) :])


def _latest(keys: Sequence[Key], stays: float, _: random.Random) -> set[int]:
    """Cases without a date count as the earliest, so that they train."""
    order = sorted(range(len(keys)), key=lambda position: keys[position])
    return set(order[math.floor(stays * len(keys)) :])


def _whole_groups(keys: Sequence[Key], stays: float, rng: random.Random) -> set[int]:
    """Groups in random order, each held out where it still fits."""
    members: defaultdict[int, list[int]] = defaultdict(list)
    for position, group in enumerate(connected(keys)):
        members[group].append(position)
    room = len(keys) - math.floor(stays * len(keys))
    held: set[int] = set()
    for group in rng.sample(sorted(members), len(members)):
        if len(held) + len(members[group]) <= room:
            held.update(members[group])
    return held


RULES: dict[str, Rule] = {
    "seed": Rule(lambda case: (), _last),
    "random": Rule(lambda case: (), _drawn),
    "disease": Rule(disease_key, _whole_groups),
    "article": Rule(lambda case: (case.source_id,), _whole_groups),
    "date": Rule(lambda case: (case.date or "",), _latest),
}
