"""Multiple-choice questions before and after: what ``dz benchmark`` left under ``RUN/benchmarks``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from diagnosis_zero.evaluate.stats import Estimate
from diagnosis_zero.records import read_json
from diagnosis_zero.report.load import Run
from diagnosis_zero.report.tables import Cell, Column, Table


def table(run: Run) -> Table:
    """One row a task and style, one column a step; no rows where nothing was measured."""
    found = _summaries(run)
    steps = sorted({int(summary["step"]) for by_step in found.values() for summary in by_step})
    columns = (
        Column("task", "Task"),
        Column("style", "Style"),
        *(Column(f"step_{step}", f"Step {step:,}", "percent") for step in steps),
    )
    rows = [
        (task, style, *(_at(summaries, step) for step in steps)) for (style, task), summaries in sorted(found.items())
    ]
    return Table(f"benchmarks-{run.name}", f"Benchmarks: {run.name}", columns, tuple(rows), "95 % intervals.")


def _summaries(run: Run) -> dict[tuple[str, str], list[Mapping[str, Any]]]:
    """(style, task) -> summaries; the folders are benchmarks/STYLE/TASK/MODEL-AND-STEP."""
    found: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for file in sorted((run.path / "benchmarks").glob("*/*/*/summary.json")):
        found.setdefault((file.parts[-4], file.parts[-3]), []).append(read_json(file))
    return found


def _at(summaries: Sequence[Mapping[str, Any]], step: int) -> Cell:
    accuracy = next((summary["accuracy"] for summary in summaries if summary["step"] == step), None)
    return Estimate(**accuracy) if accuracy else None
