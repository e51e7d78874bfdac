"""What every case source yields: cases, and the rows that could not become one, each with its reason."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from diagnosis_zero.errors import InputError
from diagnosis_zero.types import Case


@dataclass(frozen=True, slots=True)
class Rejected:
    """One input row that is not a case.

    ``where`` is the file, ``line`` its line from 1 (None where a file is one case), ``reason`` a short key that
    manifests count by ("empty_text", "not_json"), ``message`` what is wrong and how to mend it, in words,
    ``raw`` the row as it stood.
    """

    where: str
    line: int | None
    reason: str
    message: str
    raw: str


Source = Iterator[Case | Rejected]
"""A source that reads files says in ``Case.extra`` where a case stood: "line" of the one file given, or "file"."""


def as_error(rejected: Rejected) -> InputError:
    """The error that stops the work where bad rows are not skipped: same words, file and line."""
    where = rejected.where if rejected.line is None else (rejected.where, rejected.line)
    return InputError(rejected.message, where=where)


def reject(case: Case, inputs: Sequence[Path], reason: str, message: str) -> Rejected:
    """A case that a later stage refuses, with the place it came from (``inputs``: what the source read)."""
    where = case.extra.get("file") or str(inputs[0] if inputs else case.source)
    line = int(case.extra["line"]) if "line" in case.extra else None
    return Rejected(where, line, reason, message, raw=case.id)
