"""Whether an abbreviation is made of a name's letters, as "FCD" is of "focal cortical dysplasia"."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

MAX_LETTERS = 10


def spells(letters: str, words: Sequence[str]) -> bool:
    """Whether every letter comes from the words in order, each word giving its first letter and perhaps more.

    ``letters`` are lower case; ``words`` the folded words of a name (digits aside). Words may be compounds,
    so a letter may come from inside a word once its first letter was taken. No word may be passed over.
    """
    if not 2 <= len(letters) <= MAX_LETTERS or not 1 <= len(words) <= len(letters):
        return False
    return _spells(letters, tuple(words))


@lru_cache(maxsize=50_000)
def _spells(letters: str, words: tuple[str, ...]) -> bool:
    """``reach``: how many letters can be used up after each word; at most 10 of them, so this is quick."""
    reach = {0}
    for word in words:
        reach = {end for start in reach for end in _taken(letters, start, word)}
    return len(letters) in reach


def _taken(letters: str, start: int, word: str) -> set[int]:
    """Positions reached when ``word`` gives its first letter and any later ones, in order."""
    ends: set[int] = set()
    if start >= len(letters) or not word.startswith(letters[start]):
        return ends
    at, position = 1, start + 1
    ends.add(position)
    while position < len(letters) and (at := word.find(letters[position], at) + 1) > 0:
        position += 1
        ends.add(position)
    return ends
