"""Which findings a text names: terms of the Human Phenotype Ontology, by word, negated ones apart."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, lru_cache

from diagnosis_zero.behaviour.phrases import Phrases
from diagnosis_zero.cases.hpo import load_hpo

PHENOTYPE = "HP:0000118"
"""The root of the findings; inheritance, onset and modifiers stand beside it."""
_WORD = re.compile(r"[A-Za-z0-9]+|[.;:!?]")
_STOPS = frozenset(".;:!?")
_NEGATIONS = frozenset({
    "no", "not", "without", "denies", "denied", "denying", "absent", "absence", "lacks", "lacking", "lack",
    "nor", "never",
})  # fmt: skip
_BACK = 4
"""A negation holds for so many words after it, unless the sentence ends."""


@dataclass(frozen=True, slots=True)
class Mentions:
    """Ids of the terms that a text names as present, and as absent."""

    present: frozenset[str]
    absent: frozenset[str]


def mentions(text: str) -> Mentions:
    """Terms named in ``text`` by label or exact synonym, the longest first ("muscle weakness", not also
    "weakness"). Plural and case do not matter; a finding put in other words is not seen."""
    words = [_fold(word) for word in _WORD.findall(text)]
    present: set[str] = set()
    absent: set[str] = set()
    for start, _, term in _terms().find(words):
        (absent if _negated(words, start) else present).add(term)
    return Mentions(frozenset(present), frozenset(absent))


def supported(named: frozenset[str], known: frozenset[str]) -> frozenset[str]:
    """Those of ``named`` that are among ``known``, or broader or narrower than one of them."""
    hpo = load_hpo()
    broader = frozenset().union(*(hpo.ancestors(term) for term in known if term in hpo.terms))
    return frozenset(
        term for term in named if term in known or term in broader or not known.isdisjoint(hpo.ancestors(term))
    )


def _negated(words: Sequence[str], at: int) -> bool:
    for place in range(at - 1, max(-1, at - 1 - _BACK), -1):
        if words[place] in _STOPS:
            return False
        if words[place] in _NEGATIONS:
            return True
    return False


@lru_cache(maxsize=100_000)
def _fold(word: str) -> str:
    """Lower case, British spelling and plural folded, as far as letters alone tell."""
    lower = word.lower().replace("ae", "e").replace("oe", "e")
    return lower[:-1] if len(lower) > 3 and lower.endswith("s") and not lower.endswith(("ss", "us", "is")) else lower


@cache
def _terms() -> Phrases[str]:
    """All findings by their folded words; abbreviations of up to three letters are left out."""
    hpo = load_hpo()
    terms: Phrases[str] = Phrases()
    for term in hpo.terms.values():
        if PHENOTYPE in hpo.ancestors(term.id):
            for name in (term.label, *term.synonyms):
                words = [_fold(word) for word in _WORD.findall(name)]
                if len("".join(words)) > 3:
                    terms.add(words, term.id)
    return terms
