"""The language of a stretch of Latin script that its words leave in doubt, by lingua (extra ``eval``)."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, lru_cache

DOUBTED = (
    "en", "la", "de", "fr", "es", "pt", "it", "nl", "sv", "da", "pl", "cs", "hu", "ro", "tr", "id", "vi", "fi", "hr",
)  # fmt: skip
"""The languages that lingua weighs: each costs 25 MB and a quarter of a second at the first doubt. The word lists
know twice as many."""
TRUST_SPOKEN = 0.5
TRUST_UNKNOWN = 0.8
TRUST_ALONE = 0.9
"""lingua's confidence in its three first languages that decides: with a word of the lists, without one, and for
a single unknown word, which must carry a sign that English does not know from its many French loans.
Three, because it divides what it believes among neighbours such as Danish and Norwegian."""
NOT_PLAIN = 0.2
"""At most so much confidence may lie on English and Latin."""

Beliefs = tuple[tuple[str, float], ...]
"""Languages (ISO 639-1) and the confidence in each, the surest first."""


def name(text: str, trust: float) -> str | None:
    """The language of ``text`` (ISO 639-1), where the confidence reaches ``trust``; None for English, Latin, undecided,
    and wherever lingua is not installed."""
    beliefs = _lingua()(text)
    plain = sum(value for code, value in beliefs if code in ("en", "la"))
    others = [(code, value) for code, value in beliefs if code not in ("en", "la")]
    sure = plain <= NOT_PLAIN and sum(value for _, value in others[:3]) >= trust
    return others[0][0] if others and sure else None


@cache
def _lingua() -> Callable[[str], Beliefs]:
    """lingua over ``DOUBTED``; one that believes nothing where it is not installed."""
    try:
        from lingua import IsoCode639_1, LanguageDetectorBuilder
    except ImportError:
        return lambda text: ()
    codes = [getattr(IsoCode639_1, code.upper()) for code in DOUBTED]
    detector = LanguageDetectorBuilder.from_iso_codes_639_1(*codes).build()

    @lru_cache(maxsize=50_000)
    def believed(text: str) -> Beliefs:
        values = detector.compute_language_confidence_values(text)
        return tuple((value.language.iso_code_639_1.name.lower(), value.value) for value in values)

    return believed
