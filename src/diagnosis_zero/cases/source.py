"""What every case source yields: cases, and the rows that could not become one, each with its reason."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

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


def as_error(rejected: Rejected) -> InputError:
    """The error that stops the work where bad rows are not skipped: same words, file and line."""
    where = rejected.where if rejected.line is None else (rejected.where, rejected.line)
    return InputError(rejected.message, where=where)
