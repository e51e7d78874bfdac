"""The small words of clinical prose: ages, persons, lists, the beginning of a sentence."""

from __future__ import annotations

import re
from collections.abc import Sequence

_DURATION = re.compile(r"P(?:(\d+)Y)?(?:(\d+)M)?(?:(\d+)W)?(?:(\d+)D)?(?:T\S*)?")
_UNITS = ("year", "month", "week", "day")


def duration(iso: str) -> tuple[int, int, int, int]:
    """Years, months, weeks and days of an ISO 8601 duration ("P1Y6M"); hours and less are passed over.

    Raises:
        ValueError: not such a duration.
    """
    found = _DURATION.fullmatch(iso)
    if found is None or iso == "P":
        raise ValueError(f"not an ISO 8601 duration: {iso!r}")
    years, months, weeks, days = (int(number or 0) for number in found.groups())
    return years, months, weeks, days


def in_words(iso: str) -> str:
    """ "P1Y6M" -> "1 year and 6 months"; nothing at all is "0 days"."""
    parts = [f"{n} {unit}{'s' * (n != 1)}" for n, unit in zip(duration(iso), _UNITS, strict=True) if n]
    return listed(parts) if parts else "0 days"


def as_adjective(iso: str) -> str:
    """ "P7Y" -> "7-year-old": the largest unit alone; "newborn" on the first day."""
    for number, unit in zip(duration(iso), _UNITS, strict=True):
        if number:
            return f"{number}-{unit}-old"
    return "newborn"


def at_age(iso: str) -> str:
    """ "P3W" -> "at 3 weeks of age", "P0D" -> "at birth"."""
    return f"at {in_words(iso)} of age" if any(duration(iso)) else "at birth"


def listed(items: Sequence[str], last: str = "and") -> str:
    """ "a", "a and b", "a, b and c"; with a semicolon between items that hold commas themselves."""
    if len(items) < 2:
        return "".join(items)
    comma = "; " if any("," in item for item in items) else ", "
    return f"{comma.join(items[:-1])} {last} {items[-1]}"


def article(phrase: str) -> str:
    """The phrase with its indefinite article: "an 8-year-old boy", "a man"."""
    first = phrase.split("-")[0].casefold()
    vowel = first.startswith(("8", "a", "e", "i", "o", "u")) or first in ("11", "18")
    return f"{'an' if vowel else 'a'} {phrase}"


def sentence_start(text: str) -> str:
    """The text with its first letter as a capital."""
    return text[:1].upper() + text[1:]
