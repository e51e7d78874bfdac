"""Which findings a text names: terms of the Human Phenotype Ontology, by word, negated ones apart."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache

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


@dataclass(slots=True)
class _Node:
    term: str | None = None
    next: dict[str, _Node] = field(default_factory=dict)


def mentions(text: str) -> Mentions:
    """Terms named in ``text`` by label or exact synonym, the longest first ("muscle weakness", not also
    "weakness"). Plural and case do not matter; a finding put in other words is not seen."""
    words = [_fold(word) for word in _WORD.findall(text)]
    root = _terms()
    present: set[str] = set()
    absent: set[str] = set()
    at = 0
    while at < len(words):
        term, length = _longest(root, words, at)
        if term:
            (absent if _negated(words, at) else present).add(term)
        at += max(1, length)
    return Mentions(frozenset(present), frozenset(absent))


def supported(named: frozenset[str], known: frozenset[str]) -> frozenset[str]:
    """Those of ``named`` that are among ``known``, or broader or narrower than one of them."""
    hpo = load_hpo()
    broader = frozenset().union(*(hpo.ancestors(term) for term in known if term in hpo.terms))
    return frozenset(
        term for term in named if term in known or term in broader or not known.isdisjoint(hpo.ancestors(term))
    )


def _longest(root: _Node, words: Sequence[str], at: int) -> tuple[str | None, int]:
    node, found, length = root, None, 0
    for reach in range(at, len(words)):
        step = node.next.get(words[reach])
        if step is None:
            break
        node = step
        if node.term:
            found, length = node.term, reach - at + 1
    return found, length


def _negated(words: Sequence[str], at: int) -> bool:
    for place in range(at - 1, max(-1, at - 1 - _BACK), -1):
        if words[place] in _STOPS:
            return False
        if words[place] in _NEGATIONS:
            return True
    return False


def _fold(word: str) -> str:
    """Lower case, British spelling and plural folded, as far as letters alone tell."""
    lower = word.lower().replace("ae", "e").replace("oe", "e")
    return lower[:-1] if len(lower) > 3 and lower.endswith("s") and not lower.endswith(("ss", "us", "is")) else lower


@cache
def _terms() -> _Node:
    """All findings as a tree of folded words."""
    hpo = load_hpo()
    root = _Node()
    for term in hpo.terms.values():
        if PHENOTYPE in hpo.ancestors(term.id):
            for name in (term.label, *term.synonyms):
                _plant(root, [_fold(word) for word in _WORD.findall(name)], term.id)
    return root


def _plant(root: _Node, words: Sequence[str], term: str) -> None:
    if not words or (len(words) == 1 and len(words[0]) < 4):
        return
    node = root
    for word in words:
        node = node.next.setdefault(word, _Node())
    node.term = node.term or term
