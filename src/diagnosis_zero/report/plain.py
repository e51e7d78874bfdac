"""Tables as Markdown and CSV: for papers, model cards and other programs.

Names of cases, models and diseases come from anywhere. In Markdown they are text, never markup; in CSV no spreadsheet
runs them as a formula.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Sequence

from diagnosis_zero.evaluate.review import harmless
from diagnosis_zero.evaluate.stats import Estimate
from diagnosis_zero.report.tables import Cell, Chart, Column, Table, write_cell
from diagnosis_zero.report.visible import visible

_ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}
_MARKUP = re.compile(r"[\\`*_\[\]#|~$@]|:(?=//)|(?<=www)\.")
"""What Markdown (CommonMark, and GitHub's tables, automatic links and formulas) does not read as a plain character."""


def escape(text: str) -> str:
    """``text`` as one line of Markdown that reads as it stands."""
    line = visible(" ".join(text.split()))
    return re.sub(r"[&<>]", lambda found: _ENTITIES[found[0]], _MARKUP.sub(r"\\\g<0>", line))


def markdown(table: Table) -> str:
    """A table of GitHub's Markdown (which model hubs render), its note below."""
    rows = [[column.label for column in table.columns], *_written(table)]
    head, *body = ["| " + " | ".join(map(escape, row)) + " |" for row in rows]
    rule = "|" + "|".join("---" if column.format == "text" else "---:" for column in table.columns) + "|"
    return "\n".join([head, rule, *body, *(["", escape(table.note)] if table.note else [])]) + "\n"


def csv_of(table: Table) -> str:
    """Full numbers; an estimate takes four columns: ``KEY``, ``KEY_low``, ``KEY_high`` and ``KEY_n``."""
    spread = [any(isinstance(row[i], Estimate) for row in table.rows) for i in range(len(table.columns))]
    head = [key for column, wide in zip(table.columns, spread, strict=True) for key in _keys(column, wide)]
    rows = [[part for cell, wide in zip(row, spread, strict=True) for part in _parts(cell, wide)] for row in table.rows]
    return _csv(head, rows)


def csv_of_points(chart: Chart) -> str:
    """Every point of a chart: run, series, step, value, and its interval where there is one."""
    rows = [[s.run, s.name, p.x, p.y, p.low, p.high] for s in chart.series for p in s.points]
    return _csv(["run", "series", "step", "value", "low", "high"], rows)


def _written(table: Table) -> Iterator[list[str]]:
    for row in table.rows:
        yield [write_cell(cell, column.format) for cell, column in zip(row, table.columns, strict=True)]


def _keys(column: Column, wide: bool) -> list[str]:
    return [column.key, *(f"{column.key}_{part}" for part in ("low", "high", "n") if wide)]


def _parts(cell: Cell, wide: bool) -> list[str | int | float | None]:
    if isinstance(cell, Estimate):
        return [cell.value, cell.low, cell.high, cell.n]
    return [cell, None, None, None] if wide else [cell]


def _csv(head: Sequence[str], rows: Sequence[Sequence[str | int | float | None]]) -> str:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(map(harmless, head))
    writer.writerows([harmless(visible(cell)) if isinstance(cell, str) else cell for cell in row] for row in rows)
    return out.getvalue()


def fenced(text: str, language: str = "") -> str:
    """A block of code; the fence is longer than any run of backticks within."""
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{visible(text).rstrip()}\n{fence}\n"
