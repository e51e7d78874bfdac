"""Whether two words are one word, spelled otherwise. Only behind the guards, only for long words."""

from __future__ import annotations

from functools import lru_cache

from rapidfuzz.distance import OSA

from diagnosis_zero.nomenclature import guards
from diagnosis_zero.nomenclature.lexicon import Lexicon

MIN_LENGTH = 6
"""Shorter words are too often one letter from another word (Dent, Kent)."""


def same_word(left: str, right: str, lexicon: Lexicon) -> bool:
    """Equal, or one slip apart (two in words of 12 letters) while not both are words of the nomenclature."""
    if left == right:
        return True
    return _one_slip(left, right) and not (lexicon.knows_word(left) and lexicon.knows_word(right))


@lru_cache(maxsize=200_000)
def _one_slip(left: str, right: str) -> bool:
    shorter = min(len(left), len(right))
    if shorter < MIN_LENGTH or guards.opposed(left, right):
        return False
    allowed = 2 if shorter >= 12 else 1
    return OSA.distance(left, right, score_cutoff=allowed) <= allowed
