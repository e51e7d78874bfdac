"""Whether two words are one word, spelled otherwise. Only behind the guards, only for long words."""

from __future__ import annotations

from functools import lru_cache

from rapidfuzz.distance import OSA

from diagnosis_zero.nomenclature import guards, vocabulary
from diagnosis_zero.nomenclature.lexicon import Lexicon

MIN_ROOT, MIN_LENGTH, LONG = 6, 7, 12
"""Shorter words than the second are too often one letter from another (Dent and Kent, Fraser and Frasier)."""


def same_word(left: str, right: str, lexicon: Lexicon) -> bool:
    """Equal, two spellings or inflections of one root, or one slip apart while not both are words of the
    nomenclature; two slips in a long word of which the nomenclature knows the other form."""
    if left == right:
        return True
    if len(left) < MIN_ROOT or len(right) < MIN_ROOT:
        return False
    if left[:3] == right[:3] and _one_root(left, right):
        return True
    if not -2 <= len(left) - len(right) <= 2:
        return False
    slips = _slips(left, right)
    if slips == 0 or (slips == 2 and min(len(left), len(right)) < LONG):
        return False
    known = lexicon.knows_word(left), lexicon.knows_word(right)
    return not all(known) and (slips == 1 or any(known))


@lru_cache(maxsize=200_000)
def _slips(left: str, right: str) -> int:
    """1 or 2 letters wrong, exchanged, too many or too few; 0 where it is more, or the words may not be compared."""
    if min(len(left), len(right)) < MIN_LENGTH:
        return 0
    distance = OSA.distance(left, right, score_cutoff=2)
    return 0 if distance > 2 or guards.opposed(left, right) else distance


@lru_cache(maxsize=200_000)
def _one_root(left: str, right: str) -> bool:
    if guards.axis(left) or guards.axis(right):
        return False
    return _sound(left) == _sound(right) or root(left) == root(right)


_SOUNDS = str.maketrans("kyz", "cis")


def _sound(word: str) -> str:
    """One spelling for what English writes either way: c and k, i and y, s and z, ph and f, double and single."""
    sounded = word.replace("ph", "f").translate(_SOUNDS)
    return "".join(sign for at, sign in enumerate(sounded) if not at or sounded[at - 1] != sign)


@lru_cache(maxsize=100_000)
def root(word: str) -> str:
    """A word without its inflection, at least four letters of it."""
    for ending in vocabulary.INFLECTIONS:
        if word.endswith(ending) and len(word) - len(ending) >= 4:
            return word.removesuffix(ending)
    return word
