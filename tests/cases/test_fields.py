"""Ages, sexes, dates and ORPHA numbers."""

from __future__ import annotations

import datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from diagnosis_zero.cases.fields import iso_age, iso_date, orpha_id, sex

ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
)


@pytest.mark.parametrize(
    ("given", "iso"),
    [
        ([[46.0, "year"]], "P46Y"),
        ([[1, "year"], [6, "month"]], "P1Y6M"),
        ([[6, "months"], [1, "Year"]], "P1Y6M"),
        ([[39.0, "week"]], "P39W"),
        ([[2, "week"], [3, "day"]], "P17D"),
        ([[5, "hour"]], "PT5H"),
        ([[1, "day"], [12, "hour"]], "P1DT12H"),
        ([[0.5, "year"]], "P0.5Y"),
        (46, "P46Y"),
        ("46", "P46Y"),
        ("4.5", "P4.5Y"),
        ([[-1, "year"]], None),
        ([[float("inf"), "year"]], None),
        ([[3, "decade"]], None),
        ([[True, "year"]], None),
        ([], None),
        (True, None),
        ("P1Y6M", "P1Y6M"),
        (" PT5H ", "PT5H"),
        ("P", None),
        ("P1Y6", None),
        ("forty", None),
        (None, None),
    ],
)
def test_ages(given: Any, iso: str | None) -> None:
    assert iso_age(given) == iso


@pytest.mark.parametrize(
    ("given", "iso"),
    [
        ("2024-7-16", "2024-07-16"),
        ("2024/07/06", "2024-07-06"),
        ("2024-7", "2024-07"),
        (2024, "2024"),
        ("2024-07-16T09:30:00Z", "2024-07-16"),
        ("2024-07-16 00:00:00", "2024-07-16"),
        ("2024-07-16T09:30:00.25+02:00", "2024-07-16"),
        ("2024-07-16 or later", None),
        ("2024-07T09:30", None),
        ("2024-13-1", None),
        ("2024-2-30", None),
        ("July 2024", None),
        (None, None),
    ],
)
def test_dates(given: Any, iso: str | None) -> None:
    assert iso_date(given) == iso


@given(st.dates())
def test_every_day_is_read_back(day: datetime.date) -> None:
    assert iso_date(f"{day.year:04d}-{day.month}-{day.day}") == day.isoformat()


@pytest.mark.parametrize(
    ("given", "known"), [("M", "MALE"), ("f", "FEMALE"), (" Female ", "FEMALE"), ("x", None), (1, None)]
)
def test_sexes(given: Any, known: str | None) -> None:
    assert sex(given) == known


@pytest.mark.parametrize(
    ("given", "known"),
    [("0558", "ORPHA:558"), ("ORPHA558", "ORPHA:558"), ("OMIM:154700", None), ("5 58", None), (-3, None)],
)
def test_orpha_numbers(given: Any, known: str | None) -> None:
    assert orpha_id(given) == known


@given(ANYTHING)
def test_whatever_is_given_is_read_or_not_but_never_raises(given: Any) -> None:
    for read in (iso_age, iso_date, sex, orpha_id):
        assert read(given) is None or isinstance(read(given), str)
