"""Stretches of a text in another script than the Latin one, by the Unicode names of their letters.

Greek symbols, units and single letters are medicine, not language.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import groupby
from typing import NamedTuple

BEYOND_LATIN = re.compile(r"[\u0370-\u1dbf\u1f00-\u1fff\u2c00-\u2c5f\u2c80-\ua63f\ua640-\ua71f\ua800-\uab2f"
                           r"\uab70-\uefff\uf900-\ufaff\ufb13-\ufeff\uff66-\uffdc\U00010000-\U0001d3ff"
                           r"\U0001e000-\U0003ffff]")  # fmt: skip
_SCRIPT_LANGUAGES = {
    "HANGUL": "ko", "HIRAGANA": "ja", "KATAKANA": "ja", "CJK": "zh", "GREEK": "el", "THAI": "th", "HEBREW": "he",
    "GEORGIAN": "ka", "ARMENIAN": "hy", "TAMIL": "ta", "TELUGU": "te", "BENGALI": "bn", "GUJARATI": "gu",
    "GURMUKHI": "pa", "KANNADA": "kn", "MALAYALAM": "ml", "SINHALA": "si", "KHMER": "km", "LAO": "lo",
    "MYANMAR": "my", "ETHIOPIC": "am", "TIBETAN": "bo",
}  # fmt: skip
_NO_SCRIPT = {"MODIFIER", "MATHEMATICAL", "FULLWIDTH", "SCRIPT", "DOUBLE", "SUPERSCRIPT", "SUBSCRIPT", "CIRCLED",
              "PARENTHESIZED", "SQUARED", "NEGATIVE", "ROMAN", "LATIN", "KATAKANA-HIRAGANA", "MICRO",
              "OHM"}  # fmt: skip
_ONE_LETTER_IS_A_WORD = {"CJK", "HANGUL", "HIRAGANA", "KATAKANA"}
_SYMBOLS = 2
"""So many Greek letters in a row are a symbol (α, γδ T cells, Σ); three are a word."""


@lru_cache(maxsize=20_000)
def _script(char: str) -> str | None:
    """First word of the character's Unicode name ("CJK", "GREEK"); None for what belongs to no other script."""
    if unicodedata.category(char)[0] not in "LM":
        return None
    script = unicodedata.name(char, "").partition(" ")[0]
    return None if script in _NO_SCRIPT or not script else script


def other_scripts(text: str) -> Iterator[tuple[int, int, str]]:
    """(start, end, language or script) of every stretch that says something."""
    if text.isascii() or not BEYOND_LATIN.search(text):
        return
    words = list(_script_words(text))
    start = 0
    for at in range(1, len(words) + 1):
        if at == len(words) or any(map(str.isalpha, text[words[at - 1].end : words[at].start])):
            run = words[start:at]
            if _says_something(run, text):
                yield run[0].start, run[-1].end, _script_language({word.script for word in run})
            start = at


class _ScriptWord(NamedTuple):
    start: int
    end: int
    script: str


def _script_words(text: str) -> Iterator[_ScriptWord]:
    """Unbroken runs of letters of one other script."""
    at = 0
    for script, run in groupby(text, key=_script):
        length = len(list(run))
        if script and script not in ("COMBINING", "VARIATION"):
            yield _ScriptWord(at, at + length, script)
        at += length


def _says_something(run: Sequence[_ScriptWord], text: str) -> bool:
    """Whether a run of words is language: not a Greek symbol, not a lone letter of an alphabet, not marks alone."""
    if not any(map(str.isalpha, text[run[0].start : run[-1].end])):
        return False
    longest = max(word.end - word.start for word in run)
    if {word.script for word in run} == {"GREEK"}:
        return longest > _SYMBOLS
    return longest > 1 or any(word.script in _ONE_LETTER_IS_A_WORD for word in run)


def _script_language(scripts: set[str]) -> str:
    """Kana makes Japanese of the Chinese characters beside them; what several languages share keeps its name."""
    if scripts & {"HIRAGANA", "KATAKANA"}:
        return "ja"
    script = min(scripts, key=lambda name: (name not in _SCRIPT_LANGUAGES, name))
    return _SCRIPT_LANGUAGES.get(script, script.capitalize())
