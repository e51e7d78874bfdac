"""Ages, sexes, dates and identifiers as ``Case`` holds them. None means: not readable as one."""

from __future__ import annotations

import datetime
import math
import re
from collections.abc import Sequence
from typing import Any

from diagnosis_zero.cases.prose import is_duration

SEXES = {"m": "MALE", "male": "MALE", "f": "FEMALE", "female": "FEMALE"}
"""The words of GA4GH phenopackets, which every source uses."""
_TIME = r"(?:[T ]\d{2}:\d{2}[\d:.,]*(?:Z|[+-]\d{2}:?\d{2})?)?"
_DATE = re.compile(r"(\d{4})(?:[-/.](\d{1,2})(?:[-/.](\d{1,2})" + _TIME + ")?)?")
_ORPHA = re.compile(r"(?:(?:orpha(?:net)?|ordo)[:_ ]?)*(\d{1,9})(?:\.0)?", re.IGNORECASE)
_UNITS = ("year", "month", "week", "day", "hour")


def sex(value: Any) -> str | None:
    """ "M", "Female", ... as "MALE" or "FEMALE"."""
    return SEXES.get(value.strip().casefold()) if isinstance(value, str) else None


def iso_date(value: Any) -> str | None:
    """A year, month or day in figures ("2024-7-16", "2024/07") as ISO 8601, no more precise than given; the time of
    a timestamp is left out."""
    found = _DATE.fullmatch(str(value).strip()) if isinstance(value, str | int) else None
    if not found:
        return None
    parts = [part.zfill(2) for part in found.groups() if part]
    try:
        datetime.date.fromisoformat("-".join([*parts, "01", "01"][:3]))
    except ValueError:
        return None
    return "-".join(parts)


def iso_age(value: Any) -> str | None:
    """An age as an ISO 8601 duration, which may be given as one: [[1, "year"], [6, "month"]] is "P1Y6M"; a bare
    number means years."""
    if isinstance(value, str) and is_duration(value.strip()):
        return value.strip()
    if isinstance(value, str) and _is_number(value):
        value = float(value)
    if isinstance(value, int | float) and not isinstance(value, bool):
        value = [[value, "year"]]
    amounts = _amounts(value)
    if not amounts:
        return None
    if len(amounts) > 1 and "week" in amounts:  # ISO 8601 lets weeks stand alone only
        amounts["day"] = amounts.get("day", 0) + 7 * amounts.pop("week")
    days = "".join(f"{amounts[unit]:g}{unit[0].upper()}" for unit in _UNITS[:4] if unit in amounts)
    return f"P{days}" + (f"T{amounts['hour']:g}H" if "hour" in amounts else "")


def _is_number(text: str) -> bool:
    return text.strip().replace(".", "", 1).isdecimal()


def _amounts(value: Any) -> dict[str, float]:
    """{unit: number} of RareArena's list of [number, unit]; empty where it is anything else."""
    amounts: dict[str, float] = {}
    for pair in value if isinstance(value, Sequence) else ():
        match pair:
            case [int() | float() as number, str(unit)] if unit.strip().lower().rstrip("s") in _UNITS:
                if isinstance(number, bool) or not (math.isfinite(number) and number >= 0):
                    return {}
                amounts[unit.strip().lower().rstrip("s")] = number
            case _:
                return {}
    return amounts


def orpha_id(value: Any) -> str | None:
    """An ORPHA number (558, "558", "Orphanet:558") as "ORPHA:558"."""
    found = _ORPHA.fullmatch(str(value).strip()) if isinstance(value, str | int | float) else None
    return f"ORPHA:{int(found.group(1))}" if found and not isinstance(value, bool) else None
