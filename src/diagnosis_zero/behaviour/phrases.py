"""Find many phrases at once in a sequence of words, the longest first."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Generic, TypeVar

T = TypeVar("T")
_VALUE = ""
"""No word is empty, so this key holds the value of the phrase that ends at a node."""


class Phrases(Generic[T]):
    """Phrases (sequences of words) with a value each, as a tree of words."""

    def __init__(self) -> None:
        self._root: dict[str, Any] = {}

    def add(self, words: Sequence[str], value: T) -> None:
        """The first value given to a phrase stays."""
        node = self._root
        for word in words:
            node = node.setdefault(word, {})
        node.setdefault(_VALUE, value)

    def find(self, words: Sequence[str]) -> Iterator[tuple[int, int, T]]:
        """(start, end, value) of every phrase in ``words``, from left to right; of those that begin at one word the
        longest, and none that begins inside another."""
        root = self._root
        end = 0
        for start, word in enumerate(words):
            if start >= end and word in root:
                reach, value = self._longest(words, start)
                if reach > start:
                    end = reach
                    yield start, reach, value

    def _longest(self, words: Sequence[str], start: int) -> tuple[int, Any]:
        node = self._root
        end, value = start, None
        for reach in range(start, len(words)):
            following = node.get(words[reach])
            if following is None:
                break
            node = following
            if _VALUE in node:
                end, value = reach + 1, node[_VALUE]
        return end, value
