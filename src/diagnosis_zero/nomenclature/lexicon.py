"""What is known of single words and phrases: built in, and (with a catalogue) learned from its synonyms."""

from __future__ import annotations

from typing import Protocol

from diagnosis_zero.nomenclature import vocabulary

Phrase = tuple[str, ...]


class Lexicon(Protocol):
    """Knowledge of words that ``compare`` asks for; the catalogue has it too."""

    def knows_word(self, word: str) -> bool:
        """Whether the nomenclature itself uses a word: two such words are two words, not one misspelled."""
        ...

    def equivalent(self, left: Phrase, right: Phrase) -> bool:
        """Whether two phrases, each with its words sorted, name one thing."""
        ...


class BuiltIn:
    """The word lists alone: no nomenclature, so any long word may be misspelled."""

    def knows_word(self, word: str) -> bool:
        return False

    def equivalent(self, left: Phrase, right: Phrase) -> bool:
        return (left, right) in vocabulary.EQUIVALENT


BUILT_IN = BuiltIn()
