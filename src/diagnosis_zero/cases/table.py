"""Any CSV or JSON table of cases, by a map from our fields to its columns."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain, islice
from pathlib import Path

from diagnosis_zero.cases.columns import FIELDS, Columns, case_of
from diagnosis_zero.cases.rows import Row, read_rows
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
    """The cases of a table, in its order. A cell may hold several names or ids, with "|" between them.

    Raises:
        InputError: the file cannot be read, or ``columns`` names one that its first rows do not have.
    """
    rows = read_rows(path)
    first = list(islice(rows, _LOOK_AHEAD))
    _check_columns(path, columns, first)
    for row in chain(first, rows):
        yield row if isinstance(row, Rejected) else case_of(path, row, columns, "table", "|")


def _check_columns(path: Path, columns: Columns, rows: Sequence[Row | Rejected]) -> None:
    """JSON rows need not have every key, so a column is unknown where none of the first rows has it."""
    known = {name for row in rows if isinstance(row, Row) for name in row.fields}
    for column in (column for named in columns.values() for column in named):
        if known and column not in known:
            raise InputError(f"no column {column!r}", where=path, mend=nearest(column, list(known)))
