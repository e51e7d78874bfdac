"""Whether two words are one word, spelled otherwise. Only behind the guards, only for long words."""

from __future__ import annotations

from functools import lru_cache

from rapidfuzz.distance import OSA

from diagnosis_zero.nomenclature import guards, vocabulary
from diagnosis_zero.nomenclature.lexicon import Lexicon

MIN_LENGTH = 6
"""Shorter words are too often one letter from another word (Dent, Kent)."""


def same_word(left: str, right: str, lexicon: Lexicon) -> bool:
    """Equal, two spellings or inflections of one root, or one slip apart (two in words of 12 letters) while not
    both are words of the nomenclature."""
    if left == right or _one_root(left, right):
        return True
    return _one_slip(left, right) and not (lexicon.knows_word(left) and lexicon.knows_word(right))


@lru_cache(maxsize=200_000)
def _one_slip(left: str, right: str) -> bool:
    shorter = min(len(left), len(right))
    if shorter < MIN_LENGTH or guards.opposed(left, right):
        return False
    allowed = 2 if shorter >= 12 else 1
    return OSA.distance(left, right, score_cutoff=allowed) <= allowed


@lru_cache(maxsize=200_000)
def _one_root(left: str, right: str) -> bool:
    if min(len(left), len(right)) < MIN_LENGTH or left[:3] != right[:3] or guards.axis(left) or guards.axis(right):
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
