"""Any table as cases, by a column map."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from diagnosis_zero.cases.source import Rejected
from diagnosis_zero.cases.table import column_map, read
from diagnosis_zero.errors import InputError
from diagnosis_zero.types import Case

CSV = "no,story,tests,dx,codes,born,when\n1,Fever,Biopsy,Marfan syndrome|MFS,OMIM:154700|ORPHA:558,1 y,2020-02-03\n"


def write(folder: Path, text: str, name: str = "cases.csv") -> Path:
    (folder / name).write_text(text, encoding="utf-8")
    return folder / name


def test_a_csv_by_its_map(tmp_path: Path) -> None:
    columns = column_map(
        ["text=story", "text=tests", "names=dx", "id=no", "ids = codes", "age=born", "date=when", "source_id=no"]
    )
    assert list(read(write(tmp_path, CSV), columns)) == [
        Case(
            id="1",
            source="table",
            source_id="1",
            text="Fever Biopsy",
            names=("Marfan syndrome", "MFS"),
            ids=("OMIM:154700", "ORPHA:558"),
            date="2020-02-03",
            extra={"line": "2", "age": "1 y"},
        )
    ]


def test_without_an_id_column_file_and_line_make_one(tmp_path: Path) -> None:
    (case,) = read(write(tmp_path, CSV), column_map(["text=story", "names=dx"]))
    assert isinstance(case, Case)
    assert (case.id, case.source_id) == ("cases:2", "cases:2")


def test_json_lines_may_hold_lists_and_lack_optional_keys(tmp_path: Path) -> None:
    rows = [{"t": "a", "n": ["x", "y"], "s": "m"}, {"t": "b", "n": "z"}, {"t": "c", "n": [1]}, {"t": "d"}]
    path = write(tmp_path, "\n".join(map(json.dumps, rows)), "cases.jsonl")
    first, second, third, fourth = read(path, column_map(["text=t", "names=n", "sex=s"]))
    assert isinstance(first, Case)
    assert (first.names, first.sex) == (("x", "y"), "MALE")
    assert isinstance(second, Case)
    assert (second.names, second.sex) == (("z",), None)
    assert isinstance(third, Rejected)
    assert third.reason == "wrong_type"
    assert isinstance(fourth, Rejected)
    assert fourth.reason == "missing_diagnosis"


def test_an_unknown_column_names_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"cases\.csv: no column 'storry'. Did you mean 'story'"):
        list(read(write(tmp_path, CSV), column_map(["text=storry", "names=dx"])))


@pytest.mark.parametrize(
    ("assignments", "words"),
    [
        (["text=a"], "Add --map names=COLUMN"),
        (["names=a"], "Add --map text=COLUMN"),
        (["text"], "Write FIELD=COLUMN"),
        (["text=a", "names=b", "nmes=c"], "Did you mean 'names'"),
    ],
)
def test_a_bad_map_says_what_is_missing(assignments: list[str], words: str) -> None:
    with pytest.raises(InputError, match=words):
        column_map(assignments)


def test_shards_of_parquet_give_the_same_cases_as_one_table_of_text(tmp_path: Path) -> None:
    rows = [{"no": f"c{i}", "story": f"Fever {i}", "dx": "Marfan syndrome|MFS"} for i in range(5)]
    columns = column_map(["text=story", "names=dx", "id=no"])
    lines = write(tmp_path, "".join(json.dumps(row) + "\n" for row in rows), "t.jsonl")
    folder = tmp_path / "shards"
    folder.mkdir()
    for number, part in enumerate((rows[:2], rows[2:])):
        pq.write_table(pa.Table.from_pylist(part), folder / f"part-{number}.parquet")
    found = [case for case in read(folder, columns) if isinstance(case, Case)]
    assert [replace(case, extra={}) for case in found] == [
        replace(case, extra={}) for case in read(lines, columns) if isinstance(case, Case)
    ]
    second = str(folder / "part-1.parquet")
    assert [(case.extra["file"], case.extra["line"]) for case in found[2:]] == [(second, str(n)) for n in (1, 2, 3)]
