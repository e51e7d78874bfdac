"""What is known of single words and phrases: built in, and (with a catalogue) learned from its synonyms."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Protocol

from diagnosis_zero.nomenclature import vocabulary

Phrase = tuple[str, ...]
"""Words, sorted."""


class Lexicon(Protocol):
    """Knowledge of words that ``compare`` asks for; the catalogue has it too."""

    def knows_word(self, word: str) -> bool:
        """Whether the nomenclature itself uses a word: two such words are two words, not one misspelled."""
        ...

    def partners(self, phrase: Phrase) -> frozenset[Phrase]:
        """The phrases that name the same thing as ``phrase``."""
        ...

    def in_phrases(self, word: str) -> bool:
        """Whether any phrase that has partners holds a word."""
        ...


def by_phrase(pairs: Iterable[tuple[Phrase, Phrase]]) -> dict[Phrase, frozenset[Phrase]]:
    """Every phrase with its partners, from pairs in either order."""
    partners: dict[Phrase, set[Phrase]] = defaultdict(set)
    for one, other in pairs:
        partners[one].add(other)
        partners[other].add(one)
    return {phrase: frozenset(others) for phrase, others in partners.items()}


def words_of(phrases: Iterable[Phrase]) -> frozenset[str]:
    """The words that phrases are made of."""
    return frozenset(word for phrase in phrases for word in phrase)


class BuiltIn:
    """The word lists alone: no nomenclature, so any long word may be misspelled."""

    _partners = by_phrase(vocabulary.EQUIVALENT)
    _words = words_of(_partners)

    def knows_word(self, word: str) -> bool:
        return False

    def partners(self, phrase: Phrase) -> frozenset[Phrase]:
        return self._partners.get(phrase, frozenset())

    def in_phrases(self, word: str) -> bool:
        return word in self._words


BUILT_IN = BuiltIn()
