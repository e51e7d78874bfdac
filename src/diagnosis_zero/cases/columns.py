"""A row's columns as a case: the checks and readings that every table of cases needs, RareArena's among them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from diagnosis_zero.cases import fields
from diagnosis_zero.cases.rows import Row
from diagnosis_zero.cases.source import Rejected
from diagnosis_zero.types import Case

Columns = Mapping[str, Sequence[str]]
"""Which columns hold a field of ``Case``: "text" (joined by a blank; the first must not be empty), "names" (the
first must hold the diagnosis), and if there are any "id", "source_id", "ids", "age", "sex", "date"."""

FIELDS = ("text", "names", "id", "source_id", "ids", "age", "sex", "date")
READERS = {"age": fields.iso_age, "sex": fields.sex, "date": fields.iso_date}


class _NoCaseError(Exception):
    """Why a row is no case: (reason, message)."""


def case_of(path: Path, row: Row, columns: Columns, source: str, separator: str | None = None) -> Case | Rejected:
    """One row as a case; where no column holds the id, file name and line make one.

    Names and ids are one text a column or a JSON list; with a ``separator`` a text is split at it.
    """
    try:
        return _case(path, row, columns, source, separator)
    except _NoCaseError as why:
        reason, message = why.args
        return Rejected(str(path), row.line, reason, message, row.raw)


def _case(path: Path, row: Row, columns: Columns, source: str, separator: str | None) -> Case:
    text = _required(row, columns["text"][0], "empty_text", "no text")
    more = (_string(row, column).strip() for column in columns["text"][1:])
    if not _unique(_listed(row, columns["names"][:1], separator)):
        raise _missing(row, columns["names"][0], "missing_diagnosis", "no diagnosis")
    name = _required(row, columns["id"][0], "missing_id", "no id") if "id" in columns else f"{path.stem}:{row.line}"
    given = {field: row.fields.get(columns[field][0]) for field in READERS if field in columns}
    read = {field: READERS[field](value) for field, value in given.items()}
    unread = {field: str(value) for field, value in given.items() if value not in (None, "") and not read[field]}
    return Case(
        id=name,
        source=source,
        source_id=_string(row, columns["source_id"][0]).strip() or name if "source_id" in columns else name,
        text=" ".join(part for part in (text, *more) if part),
        names=_unique(_listed(row, columns["names"], separator)),
        ids=_unique(_listed(row, columns.get("ids", ()), separator)),
        extra={"line": str(row.line), **unread},
        age=read.get("age"),
        sex=read.get("sex"),
        date=read.get("date"),
    )


def _required(row: Row, column: str, reason: str, what: str) -> str:
    if not (value := _string(row, column).strip()):
        raise _missing(row, column, reason, what)
    return value


def _missing(row: Row, column: str, reason: str, what: str) -> _NoCaseError:
    state = "is empty" if column in row.fields else "is missing"
    return _NoCaseError(reason, f"{what}: {column!r} {state}. Fill it in or remove the row.")


def _string(row: Row, column: str) -> str:
    """A text or a number as text; nothing where the column is missing or null."""
    value = row.fields.get(column)
    if value is None:
        return ""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise _NoCaseError("wrong_type", f"{column!r} is {type(value).__name__}, where text is expected. Mend the row.")
    return str(value)


def _listed(row: Row, columns: Sequence[str], separator: str | None) -> Iterable[str]:
    for column in columns:
        value = row.fields.get(column)
        if isinstance(value, list):
            yield from _texts(column, value)
        else:
            text = _string(row, column)
            yield from text.split(separator) if separator else [text]


def _texts(column: str, values: list[Any]) -> Iterable[str]:
    if not all(isinstance(value, str) for value in values):
        raise _NoCaseError("wrong_type", f"{column!r} holds a list of other things than texts. Mend the row.")
    return values


def _unique(texts: Iterable[str]) -> tuple[str, ...]:
    """The first spelling of each, blanks around and case aside, in order; no empty ones."""
    spelled: dict[str, str] = {}
    for text in texts:
        spelled.setdefault(text.strip().casefold(), text.strip())
    return tuple(spelled[key] for key in spelled if key)
