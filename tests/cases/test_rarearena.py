"""RareArena's files as cases."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from rarearena_rows import row, without, write_rows

from diagnosis_zero.cases.rarearena import read
from diagnosis_zero.cases.source import Rejected, as_error
from diagnosis_zero.errors import InputError
from diagnosis_zero.types import Case


def read_one(folder: Path, fields: Any, task: str = "rdc") -> Case | Rejected:
    (item,) = read(write_rows(folder / "RDC.json", [fields]), task)
    return item


def read_case(folder: Path, fields: Any, task: str = "rdc") -> Case:
    item = read_one(folder, fields, task)
    assert isinstance(item, Case), item
    return item


def test_a_row_of_2024(tmp_path: Path) -> None:
    assert read_case(tmp_path, row(7)) == Case(
        id="7000007-1",
        source="rarearena",
        source_id="7000007",
        text="Patient 7 had fever and a rash. Biopsy showed granulomas.",
        names=("Disease 7", "Named disease 7"),
        ids=("ORPHA:7",),
        age="P30Y",
        sex="FEMALE",
        date="2020-01-05",
        extra={"line": "1"},
    )


def test_a_row_of_the_benchmark_of_2026(tmp_path: Path) -> None:
    fields = {"ID": 12, "orphanetID": 558, "case_report": "Tall.", "test_results": "", "diagnosis": "Marfan syndrome"}
    case = read_case(tmp_path, fields)
    assert (case.id, case.ids, case.names, case.text) == ("12", ("ORPHA:558",), ("Marfan syndrome",), "Tall.")
    assert (case.age, case.sex, case.date) == (None, None, None)


def test_screening_shows_the_report_alone(tmp_path: Path) -> None:
    assert read_case(tmp_path, row(1), task="rds").text == "Patient 1 had fever and a rash."
    assert read_case(tmp_path, without(row(1), "test_results"), task="rds").text == "Patient 1 had fever and a rash."


def test_equal_names_count_once_whatever_their_case(tmp_path: Path) -> None:
    assert read_case(tmp_path, row(diagnosis="Q Fever", Orpha_name=" Q fever")).names == ("Q Fever",)


@pytest.mark.parametrize("given", [558, "558", "ORPHA:558", "Orphanet_558", "Orphanet:558", 558.0])
def test_orpha_numbers_in_any_spelling(tmp_path: Path, given: Any) -> None:
    assert read_case(tmp_path, row(Orpha_id=given)).ids == ("ORPHA:558",)


@pytest.mark.parametrize("given", [None, ""])
def test_a_case_without_orpha_number_has_no_ids(tmp_path: Path, given: Any) -> None:
    assert read_case(tmp_path, row(Orpha_id=given)).ids == ()


def test_what_cannot_be_read_as_age_sex_or_date_stays_as_given(tmp_path: Path) -> None:
    case = read_case(tmp_path, row(age="in his forties", gender="unknown", pub_date="spring"))
    assert (case.age, case.sex, case.date) == (None, None, None)
    assert case.extra == {"line": "1", "age": "in his forties", "sex": "unknown", "date": "spring"}


@pytest.mark.parametrize(
    ("fields", "reason", "words"),
    [
        (row(case_report=""), "empty_text", "no text: 'case_report' is empty"),
        (row(case_report=" \n"), "empty_text", "no text: 'case_report' is empty"),
        (row(case_report=["a"]), "wrong_type", "'case_report' is list, where text is expected"),
        (without(row(), "case_report"), "missing_field", "no field 'case_report'"),
        (without(row(), "test_results"), "missing_field", "add --task rds"),
        (row(diagnosis=""), "missing_diagnosis", "no diagnosis: 'diagnosis' is empty"),
        (row(diagnosis=None), "missing_diagnosis", "no diagnosis: 'diagnosis' is empty"),
        (without(row(), "diagnosis"), "missing_diagnosis", "no diagnosis: 'diagnosis' is missing"),
        (without(row(), "_id"), "missing_id", "no id: '_id' is missing"),
        (row(Orpha_id="Marfan"), "bad_orpha_id", "'Marfan' is no ORPHA number"),
        (row(Orpha_id=True), "wrong_type", "'Orpha_id' is bool"),
    ],
)
def test_each_fault_has_its_own_reason_and_words(tmp_path: Path, fields: Any, reason: str, words: str) -> None:
    path = write_rows(tmp_path / "RDC.json", [row(1), fields])
    _, item = read(path)
    assert isinstance(item, Rejected)
    assert (item.where, item.line, item.reason) == (str(path), 2, reason)
    assert words in item.message
    assert str(as_error(item)) == f"{path}:2: {item.message}"


def test_an_unknown_task_names_the_known_ones(tmp_path: Path) -> None:
    path = write_rows(tmp_path / "RDC.json", [row()])
    assert len(list(read(path, "RDC"))) == 1
    with pytest.raises(InputError, match=r"no task 'mcq'. Known: rdc, rds\."):
        list(read(path, "mcq"))


DATA = Path(os.environ.get("DZ_DATA", "../shared/data")) / "medr_bench" / "rare_cases.jsonl"


@pytest.mark.skipif(not DATA.is_file(), reason=f"no development data at {DATA} (set DZ_DATA)")
def test_real_cases_in_this_shape_are_all_read() -> None:
    items = list(read(DATA))
    assert len(items) == 230
    assert not [item for item in items if isinstance(item, Rejected)]
    unread = [item.extra for item in items if isinstance(item, Case) and item.extra.keys() > {"line"}]
    assert not unread
