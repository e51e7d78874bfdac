"""Rows of user files: every form, every fault with its own reason and line."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from diagnosis_zero.cases.rows import Row, count_rows, read_rows, shards
from diagnosis_zero.cases.source import Rejected
from diagnosis_zero.errors import InputError


def written(folder: Path, content: bytes, name: str = "rows.jsonl") -> Path:
    path = folder / name
    path.write_bytes(content)
    return path


def told(path: Path) -> list[tuple[int | None, object]]:
    """(line, fields or reason) of every row."""
    return [(row.line, row.fields if isinstance(row, Row) else row.reason) for row in read_rows(path)]


@pytest.mark.parametrize(
    "content",
    [
        b'{"a": 1}\n{"a": 2}\n',
        b'{"a": 1}\n{"a": 2}',
        b'\xef\xbb\xbf{"a": 1}\n{"a": 2}\n',
        b'{"a": 1}\r\n{"a": 2}\r\n',
        b'[{"a": 1},\n{"a": 2}]',
        b'\xef\xbb\xbf [{"a": 1},\r\n  {"a": 2}\r\n]\r\n',
    ],
    ids=["lines", "no last break", "byte order mark", "CRLF", "array", "array with BOM and CRLF"],
)
def test_every_form_gives_the_same_rows(tmp_path: Path, content: bytes) -> None:
    assert told(written(tmp_path, content)) == [(1, {"a": 1}), (2, {"a": 2})]


def test_lines_are_the_files_own_where_blank_lines_stand_between(tmp_path: Path) -> None:
    assert told(written(tmp_path, b'\n{"a": 1}\n\n \n{"a": 2}\n')) == [(2, {"a": 1}), (5, {"a": 2})]


def test_an_indented_array_tells_the_line_each_object_starts_on(tmp_path: Path) -> None:
    content = json.dumps([{"a": 1}, {"a": 2}, 3], indent=2).encode()
    assert told(written(tmp_path, content)) == [(2, {"a": 1}), (5, {"a": 2}), (8, "not_an_object")]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b'{"a": 1', "not_json"),
        (b"[" * 100_000, "not_json"),
        (b'{"a": ' + b"9" * 5000 + b"}", "not_json"),
        (b"[1]", "not_an_object"),
        ('{"a": "Sjögren"}'.encode("latin-1"), "not_utf8"),
        (b'{"a": "\\ud83d"}', "not_utf8"),
    ],
    ids=["cut off", "too deep", "too long a number", "a list", "latin-1", "half a surrogate pair"],
)
def test_a_bad_line_is_rejected_and_reading_goes_on(tmp_path: Path, line: bytes, reason: str) -> None:
    path = written(tmp_path, b'{"a": 1}\n' + line + b'\n{"a": 2}\n')
    assert told(path) == [(1, {"a": 1}), (2, reason), (3, {"a": 2})]


def test_a_rejected_line_keeps_its_text_and_says_what_to_do(tmp_path: Path) -> None:
    path = written(tmp_path, '{"a": "é"}\n'.encode("latin-1"))
    (row,) = read_rows(path)
    assert row == Rejected(
        where=str(path),
        line=1,
        reason="not_utf8",
        message="not UTF-8 (byte 0xe9 at position 7). Convert the file to UTF-8.",
        raw='{"a": "\ufffd"}',
    )


def test_a_whole_surrogate_pair_is_a_character(tmp_path: Path) -> None:
    assert told(written(tmp_path, b'{"a": "\\ud83d\\ude00"}\n')) == [(1, {"a": "\U0001f600"})]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "the file is empty"),
        (b" \n\n", "holds no row"),
        (b"[]", "holds no row"),
        (b"\xff\xfe{\x00", "UTF-16"),
        (b"\x1f\x8b\x08", "gzip"),
        (b"PK\x03\x04", "zip"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "git lfs pull"),
        (b'[{"a": 1},\n{"a": 2}', "rows.jsonl:2: the array breaks off"),
        (b'[{"a": 1},\n{"a": ]', "rows.jsonl:2: not JSON"),
        (b'[{"a": 1},\n', "not JSON"),
        (b'[{"a": 1}]\n[{"a": 2}]', "more behind the array"),
        (b'[{"a": 1},\n{"a": "\xe9"}]', "rows.jsonl:2: not UTF-8"),
    ],
)
def test_a_file_that_cannot_be_read_says_why(tmp_path: Path, content: bytes, words: str) -> None:
    with pytest.raises(InputError, match=words):
        list(read_rows(written(tmp_path, content)))


def test_a_missing_file_and_a_folder_say_so(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        list(read_rows(tmp_path / "absent.jsonl"))
    with pytest.raises(InputError, match="a folder, where a file is expected"):
        list(read_rows(tmp_path))


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_csv_by_its_separator_with_quotes_and_line_breaks_in_cells(tmp_path: Path, separator: str) -> None:
    lines = [["text", "dx"], ['"a, b; c\nd"', "x"], ["e", '"y ""z"""']]
    content = "\ufeff" + "\r\n".join(separator.join(cells) for cells in lines)
    assert told(written(tmp_path, content.encode(), "rows.csv")) == [
        (2, {"text": "a, b; c\nd", "dx": "x"}),
        (4, {"text": "e", "dx": 'y "z"'}),
    ]


def test_a_bad_csv_row_is_rejected_and_reading_goes_on(tmp_path: Path) -> None:
    content = b'a,b\n1,2\n3\n"4"x,5\n\xe9,6\n7,8\n"9,10\n'
    assert told(written(tmp_path, content, "rows.csv")) == [
        (2, {"a": "1", "b": "2"}),
        (3, "wrong_cells"),
        (4, "not_csv"),
        (5, "not_utf8"),
        (6, {"a": "7", "b": "8"}),
        (7, "not_csv"),
    ]


def test_a_case_report_longer_than_csvs_default_limit_is_read(tmp_path: Path) -> None:
    path = written(tmp_path, b"a\n" + b"x" * 200_000 + b"\n", "rows.csv")
    assert told(path) == [(2, {"a": "x" * 200_000})]


@pytest.mark.parametrize(("header", "words"), [(b"a,a", "two columns"), (b"\xe9,b", "header is not UTF-8")])
def test_a_bad_csv_header_stops(tmp_path: Path, header: bytes, words: str) -> None:
    with pytest.raises(InputError, match=words):
        list(read_rows(written(tmp_path, header + b"\n1,2\n", "rows.csv")))


@given(
    objects=st.lists(
        st.dictionaries(st.text(max_size=5), st.integers() | st.text(max_size=20), max_size=3), min_size=1
    ),
    indent=st.none() | st.integers(0, 2),
)
def test_an_array_reads_as_its_objects_a_line_each(
    tmp_path_factory: pytest.TempPathFactory, objects: list[dict[str, object]], indent: int | None
) -> None:
    folder = tmp_path_factory.mktemp("rows")
    lines = written(folder, "\n".join(map(json.dumps, objects)).encode(), "lines.jsonl")
    array = written(folder, json.dumps(objects, indent=indent).encode(), "array.json")
    assert [fields for _, fields in told(array)] == [fields for _, fields in told(lines)] == objects


def test_rows_of_text_are_counted_by_their_breaks(tmp_path: Path) -> None:
    assert count_rows(written(tmp_path, b"a\nb\nc\n")) == 3


def parquet(path: Path, rows: list[dict[str, object]]) -> Path:
    pq.write_table(pa.Table.from_pylist(rows), path, row_group_size=2)
    return path


def test_rows_of_parquet_are_numbered_across_its_groups(tmp_path: Path) -> None:
    rows: list[dict[str, object]] = [{"a": i, "b": [f"x{i}"], "c": None} for i in range(5)]
    path = parquet(tmp_path / "t.parquet", rows)
    assert told(path) == [(i + 1, row) for i, row in enumerate(rows)]
    assert count_rows(path) == 5


def test_dates_of_parquet_are_read_as_iso_text(tmp_path: Path) -> None:
    path = parquet(tmp_path / "t.parquet", [{"when": date(2020, 2, 3)}])
    assert told(path) == [(1, {"when": "2020-02-03"})]


@pytest.mark.parametrize("keep", [0.5, 0.99])
def test_damaged_parquet_is_named(tmp_path: Path, keep: float) -> None:
    path = parquet(tmp_path / "t.parquet", [{"a": "x" * 50, "b": i} for i in range(200)])
    content = path.read_bytes()
    path.write_bytes(content[: int(keep * len(content))])
    with pytest.raises(InputError, match=r"t\.parquet: a damaged Parquet file"):
        list(read_rows(path))


def test_shards_are_read_in_order_of_their_names(tmp_path: Path) -> None:
    for name in ("b.parquet", "a.parquet"):
        parquet(tmp_path / name, [{"a": name}])
    (tmp_path / "README.md").write_text("no shard")
    assert [path.name for path in shards(tmp_path)] == ["a.parquet", "b.parquet"]
    assert count_rows(tmp_path) == 2
    with pytest.raises(InputError, match="without Parquet files"):
        shards(tmp_path.parent)
