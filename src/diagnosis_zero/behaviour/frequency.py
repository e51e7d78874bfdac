"""How much commoner a word is in another language than in English, by the word lists of the package ``wordfreq``
(R. Speer, doi:10.5281/zenodo.7199437; extra ``eval``). Without the package no word is known to be commoner anywhere."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import NamedTuple

LANGUAGES = {
    "de": "de", "fr": "fr", "es": "es", "pt": "pt", "it": "it", "nl": "nl", "sv": "sv", "da": "da", "nb": "no",
    "fi": "fi", "pl": "pl", "cs": "cs", "sk": "sk", "sl": "sl", "hu": "hu", "ro": "ro", "tr": "tr", "id": "id",
    "vi": "vi", "ca": "ca", "sh": "hr", "lt": "lt", "lv": "lv", "is": "is", "fil": "tl",
}  # fmt: skip
"""wordfreq's languages of Latin script, with the codes that this project uses."""


class Common(NamedTuple):
    """A word of ``language``: its frequency there, and in English, on the Zipf scale (6: one word in a thousand;
    3: one in a million; 0: not in the list)."""

    language: str
    there: float
    english: float


def commoner(word: str, gap: float) -> list[Common]:
    """The languages in which a lower-case word is commoner than in English by ``gap`` or more, the commonest first."""
    english = in_english(word)
    found = [
        Common(code, there, english)
        for name, code in LANGUAGES.items()
        if (there := _zipf(name, "small").get(word, 0.0)) - english >= gap
    ]
    return sorted(found, key=lambda one: -one.there)


def in_english(word: str) -> float:
    """Frequency of a lower-case word in English on the Zipf scale."""
    return _zipf("en", "large").get(word, 0.0)


@cache
def _zipf(language: str, wordlist: str) -> Mapping[str, float]:
    """About 30,000 words a small list, 320,000 of English: 150 MB and a second in all. The lists come as words in
    steps of a hundredth of the scale."""
    try:
        from wordfreq import get_frequency_list
    except ImportError:
        return {}
    lists = get_frequency_list(language, wordlist)
    return {word: 9 - step / 100 for step, words in enumerate(lists) for word in words}
