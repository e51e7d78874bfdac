"""RareArena: one rare-disease case a line, in the field names of 2024 and of the benchmark files of 2026.

RDC files hold ``test_results``; RDS files (screening: before any diagnostic test) have none. The data is
CC BY-NC-SA 4.0 and comes from its authors: https://github.com/zhao-zy15/RareArena.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from diagnosis_zero.cases.columns import case_of
from diagnosis_zero.cases.fields import orpha_id
from diagnosis_zero.cases.rows import Row, read_rows
from diagnosis_zero.cases.source import Rejected
from diagnosis_zero.errors import InputError, nearest
from diagnosis_zero.types import Case

TASKS = {"rdc": ("case_report", "test_results"), "rds": ("case_report",)}
"""What the model is shown. rdc: confirmation, with the test results; rds: screening, the report alone."""


def read(path: Path, task: str = "rdc") -> Iterator[Case | Rejected]:
    """The cases of a RareArena file, in its order.

    The accepted names are {diagnosis, Orpha_name}; the article (``source_id``) is the id before the dash.

    Raises:
        InputError: ``task`` is unknown, or the file cannot be read at all.
    """
    task = task.lower()
    if task not in TASKS:
        raise InputError(f"no task {task!r}", mend=nearest(task, list(TASKS)))
    for row in read_rows(path):
        yield row if isinstance(row, Rejected) else _case(path, row, task)


def _case(path: Path, row: Row, task: str) -> Case | Rejected:
    if missing := [column for column in TASKS[task] if column not in row.fields]:
        hint = "Is this an RDS file? Then add --task rds." if missing == ["test_results"] else "Is it RareArena?"
        return Rejected(str(path), row.line, "missing_field", f"no field {missing[0]!r}. {hint}", row.raw)
    case = case_of(path, row, _columns(row, task), source="rarearena")
    if isinstance(case, Rejected):
        return case
    ids = tuple(filter(None, map(orpha_id, case.ids)))
    if len(ids) < len(case.ids):
        message = f"{case.ids[0]!r} is no ORPHA number. Mend it, or leave it empty."
        return Rejected(str(path), row.line, "bad_orpha_id", message, row.raw)
    return replace(case, ids=ids, source_id=case.id.partition("-")[0])


def _columns(row: Row, task: str) -> dict[str, tuple[str, ...]]:
    return {
        "text": TASKS[task],
        "names": ("diagnosis", "Orpha_name"),
        "id": ("ID" if "ID" in row.fields else "_id",),
        "ids": ("orphanetID" if "orphanetID" in row.fields else "Orpha_id",),
        "age": ("age",),
        "sex": ("gender",),
        "date": ("pub_date",),
    }
