"""Any CSV, JSON or Parquet table of cases, by a map from our fields to its columns."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from itertools import chain, islice
from pathlib import Path

from diagnosis_zero.cases.columns import FIELDS, Columns, case_of
from diagnosis_zero.cases.rows import Row, read_rows, shards
from diagnosis_zero.cases.source import Rejected
from diagnosis_zero.errors import InputError, nearest
from diagnosis_zero.types import Case

_LOOK_AHEAD = 100


def column_map(assignments: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """``["text=report", "names=dx", "names=synonym"]`` as a column map.

    Raises:
        InputError: an assignment is malformed, its field unknown, or "text" or "names" has no column.
    """
    columns: dict[str, tuple[str, ...]] = {}
    for assignment in assignments:
        field, equals, column = (part.strip() for part in assignment.partition("="))
        if not (field and equals and column):
            raise InputError(f"--map {assignment!r}", mend="Write FIELD=COLUMN, as in --map text=report.")
        if field not in FIELDS:
            raise InputError(f"--map {assignment!r}: no field {field!r}", mend=nearest(field, list(FIELDS)))
        columns[field] = (*columns.get(field, ()), column)
    for field in ("text", "names"):
        if field not in columns:
            raise InputError(f"no column for {field!r}", mend=f"Add --map {field}=COLUMN.")
    return columns


def read(path: Path, columns: Columns) -> Iterator[Case | Rejected]:
    """The cases of a table, in its order; of a folder, those of its Parquet shards. A cell may hold several names or
    ids, with "|" between them.

    Raises:
        InputError: a file cannot be read, or ``columns`` names one that its first rows do not have.
    """
    for file in shards(path):
        cases = _read_file(file, columns)
        yield from cases if file == path else map(partial(_of_shard, file), cases)


def _read_file(path: Path, columns: Columns) -> Iterator[Case | Rejected]:
    rows = read_rows(path)
    first = list(islice(rows, _LOOK_AHEAD))
    _check_columns(path, columns, first)
    for row in chain(first, rows):
        yield row if isinstance(row, Rejected) else case_of(path, row, columns, "table", "|")


def _of_shard(file: Path, item: Case | Rejected) -> Case | Rejected:
    return item if isinstance(item, Rejected) else replace(item, extra={**item.extra, "file": str(file)})


def _check_columns(path: Path, columns: Columns, rows: Sequence[Row | Rejected]) -> None:
    """JSON rows need not have every key, so a column is unknown where none of the first rows has it."""
    known = {name for row in rows if isinstance(row, Row) for name in row.fields}
    for column in (column for named in columns.values() for column in named):
        if known and column not in known:
            raise InputError(f"no column {column!r}", where=path, mend=nearest(column, list(known)))
