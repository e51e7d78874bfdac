"""The small words of clinical prose: ages, points in time, lists, articles.

A point in time is a text: an ISO 8601 duration since birth ("P1Y6M"), a span of two ("P1Y/P5Y"), a
gestational age ("gestational 20w3d"), or the label of an HPO onset term ("Infantile onset").
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence

_DURATION = re.compile(r"P(?=.)(?:(\d+)Y)?(?:(\d+)M)?(?:(\d+)W)?(?:(\d+)D)?(?:T(?=.)(?:(\d+)H)?(?:\d+M)?(?:\d+S)?)?")
AGE_UNITS = ("year", "month", "week", "day", "hour")
_GESTATION = re.compile(r"gestational (\d+)w(\d+)d")

ONSETS: Mapping[str, tuple[float, str]] = {
    "Embryonal onset": (-0.75, "in the embryonal period"),
    "Antenatal onset": (-0.75, "before birth"),
    "Late first trimester onset": (-0.55, "late in the first trimester of pregnancy"),
    "Fetal onset": (-0.53, "in the fetal period"),
    "Second trimester onset": (-0.5, "in the second trimester of pregnancy"),
    "Third trimester onset": (-0.23, "in the third trimester of pregnancy"),
    "Congenital onset": (0, "at birth"),
    "Neonatal onset": (0.001, "in the neonatal period"),
    "Pediatric onset": (0.002, "before 16 years of age"),
    "Infantile onset": (0.08, "in infancy"),
    "Childhood onset": (1, "between 1 and 5 years of age"),
    "Juvenile onset": (5, "between 5 and 15 years of age"),
    "Adult onset": (16, "in adulthood"),
    "Young adult onset": (16, "between 16 and 40 years of age"),
    "Early young adult onset": (16, "between 16 and 19 years of age"),
    "Intermediate young adult onset": (19, "between 19 and 25 years of age"),
    "Late young adult onset": (25, "between 25 and 40 years of age"),
    "Middle age onset": (40, "between 40 and 60 years of age"),
    "Late onset": (60, "after 60 years of age"),
}
"""HPO's onset terms: when the span of each begins, in years from birth, and the span in words, by the bounds in
their definitions."""


def is_duration(point: str) -> bool:
    """Whether a point in time is a plain age ("P1Y6M")."""
    return _DURATION.fullmatch(point) is not None


def duration(iso: str) -> tuple[int, int, int, int, int]:
    """Years, months, weeks, days and hours of an ISO 8601 duration; less is passed over.

    Raises:
        ValueError: not such a duration (decimal fractions are not read).
    """
    found = _DURATION.fullmatch(iso)
    if found is None:
        raise ValueError(f"not an ISO 8601 duration: {iso!r}")
    years, months, weeks, days, hours = (int(number or 0) for number in found.groups())
    return years, months, weeks, days, hours


def in_words(iso: str) -> str:
    """ "P1Y6M" -> "1 year and 6 months"; nothing at all is "0 days"."""
    return _units(duration(iso), AGE_UNITS) or "0 days"


def _units(numbers: Sequence[int], names: Sequence[str]) -> str:
    return listed([f"{n} {unit}{'s' * (n != 1)}" for n, unit in zip(numbers, names, strict=True) if n])


def at_age(iso: str) -> str:
    """ "P3W" -> "at 3 weeks of age", "P0D" -> "at birth"."""
    return f"at {in_words(iso)} of age" if any(duration(iso)) else "at birth"


def when(point: str) -> str:
    """A point in time within a sentence: "at 3 weeks of age", "in infancy", "at 20 weeks and 3 days of gestation"."""
    if gestation := _GESTATION.fullmatch(point):
        weeks, days = map(int, gestation.groups())
        return f"at {_units((weeks, days), ('week', 'day')) or '0 weeks'} of gestation"
    if point in ONSETS:
        return ONSETS[point][1]
    start, slash, end = point.partition("/")
    if slash:
        return f"between {in_words(start)} and {in_words(end)} of age"
    return at_age(point) if is_duration(point) else f"at a time given as {point[:1].lower() + point[1:]}"


def years(point: str) -> float:
    """A point in time as years from birth, to put several in order: negative before birth, what is unknown last."""
    if gestation := _GESTATION.fullmatch(point):
        return (int(gestation[1]) + int(gestation[2]) / 7 - 40) / 52
    if point in ONSETS:
        return ONSETS[point][0]
    start = point.partition("/")[0]
    if not is_duration(start):
        return math.inf
    return sum(n * unit for n, unit in zip(duration(start), (1, 1 / 12, 7 / 365, 1 / 365, 1 / 8760), strict=True))


def listed(items: Sequence[str], last: str = "and") -> str:
    """ "a", "a and b", "a, b and c"; with semicolons where an item holds a comma itself."""
    if len(items) < 2:
        return "".join(items)
    comma, before_last = ("; ", "; ") if any("," in item for item in items) else (", ", " ")
    return f"{comma.join(items[:-1])}{before_last}{last} {items[-1]}"


def article(phrase: str) -> str:
    """The phrase with its indefinite article: "an 8-year-old boy", "a man"."""
    first = phrase.split("-")[0].split()[0].casefold()
    vowel = first.startswith(("8", "a", "e", "i", "o", "u")) or first in {"11", "18"}
    return f"{'an' if vowel else 'a'} {phrase}"


def sentence_start(text: str) -> str:
    """The text with its first letter as a capital."""
    return text[:1].upper() + text[1:]
