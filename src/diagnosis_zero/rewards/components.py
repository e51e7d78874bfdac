"""The parts of a reward that need no truth: form, language, reasoning. Each is a number in [0, 1], 1 is good."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable
from functools import lru_cache
from itertools import islice

from diagnosis_zero.types import Parsed

GRAM = 8
PARROTED = 0.9
MAX_WORDS = 2000
"""Reasoning is parroted when nine in ten of its runs of 8 words stand in the prompt (its first 2,000 words)."""

MAX_LETTERS = 10_000
"""Letters beyond the blocks of Latin and Greek that are looked at in one completion."""

_ELSEWHERE = re.compile(r"[^\W\d_\u0000-\u02ff\u0370-\u03ff\u1e00-\u1fff]")
_WORD = re.compile(r"\w+")


def well_formed(parsed: Parsed, completion: str, prompt: str) -> float:
    """The full form and nothing else: reasoning that is not empty, one answer, no text around them."""
    return float(parsed.well_formed)


def nothing_after(parsed: Parsed, completion: str, prompt: str) -> float:
    """No text behind the last block."""
    return float(not parsed.after)


def one_language(parsed: Parsed, completion: str, prompt: str) -> float:
    """No letter of a script that the prompt does not use. Latin (with all its accents) and Greek are at home
    in any medical text."""
    home = {"", *map(_script, _ELSEWHERE.findall(prompt))}
    letters = (found[0] for found in islice(_ELSEWHERE.finditer(completion), MAX_LETTERS))
    return float(all(_script(letter) in home for letter in letters))


def reasoning(parsed: Parsed, completion: str, prompt: str) -> float:
    """Reasoning that says something: not absent, not empty, not copied from the prompt."""
    if parsed.think is None or "think_empty" in parsed.faults:
        return 0.0
    return float(not _parroted(parsed.think, prompt))


Component = Callable[[Parsed, str, str], float]
COMPONENTS: dict[str, Component] = {
    "format": well_formed,
    "language": one_language,
    "reasoning": reasoning,
    "nothing_after": nothing_after,
}
"""Name of a part, and its function of (parsed, completion, prompt). An unknown prompt is an empty string."""


@lru_cache(maxsize=10_000)
def _script(letter: str) -> str:
    """The script of a letter, by the first word of its Unicode name; empty for no letter, Latin and Greek."""
    plain = unicodedata.normalize("NFKC", letter)[:1]
    if not plain.isalpha():
        return ""
    script = unicodedata.name(plain, "").split(" ")[0]
    return "" if script in ("LATIN", "GREEK", "MODIFIER", "") else script


def _parroted(think: str, prompt: str) -> bool:
    words = [found[0].lower() for found in islice(_WORD.finditer(think), MAX_WORDS)]
    size = min(GRAM, len(words))
    grams = _grams(words, size)
    source = _prompt_grams(prompt, size)
    return sum(gram in source for gram in grams) >= PARROTED * len(grams)


@lru_cache(maxsize=64)
def _prompt_grams(prompt: str, size: int) -> frozenset[tuple[str, ...]]:
    return frozenset(_grams([word.lower() for word in _WORD.findall(prompt)], size))


def _grams(words: Iterable[str], size: int) -> list[tuple[str, ...]]:
    words = list(words)
    return [tuple(words[start : start + size]) for start in range(len(words) - size + 1)]
