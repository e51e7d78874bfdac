"""What the doctor says: a level, the check that says it, what it found, and how to mend it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Level = Literal["ok", "warning", "error"]


@dataclass(frozen=True, slots=True)
class Note:
    """One finding. ``error``: the run would fail or learn nothing; ``warning``: it may. ``check`` is a stable name
    (docs/doctor.md lists them), ``mend`` says what to do and is empty where there is nothing to mend."""

    level: Level
    check: str
    what: str
    mend: str = ""


def ok(check: str, what: str) -> Note:
    return Note("ok", check, what)


def warning(check: str, what: str, mend: str) -> Note:
    return Note("warning", check, what, mend)


def error(check: str, what: str, mend: str) -> Note:
    return Note("error", check, what, mend)
