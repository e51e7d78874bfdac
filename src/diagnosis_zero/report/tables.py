"""The two shapes in which the report shows numbers: tables and charts. Both can be drawn and exported."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from diagnosis_zero.evaluate.stats import Estimate

Format = Literal["text", "count", "number", "percent", "points", "p"]


Cell = str | int | float | Estimate | None


@dataclass(frozen=True, slots=True)
class Column:
    """One column: its key in the machine-readable copy, its heading, how its numbers are written."""

    key: str
    label: str
    format: Format = "text"


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of cells in the order of the columns; ``note`` says how to read it. ``folded``: opened when asked."""

    id: str
    title: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    note: str = ""
    folded: bool = False

    def records(self) -> list[dict[str, Any]]:
        """The machine-readable copy: one mapping a row, estimates as {value, low, high, n}."""
        keys = [column.key for column in self.columns]
        return [dict(zip(keys, map(_plain, row), strict=True)) for row in self.rows]


@dataclass(frozen=True, slots=True)
class Point:
    """One value at one step; ``low`` and ``high`` where there is an interval."""

    x: float
    y: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True)
class Series:
    """Values of one thing in one run: a line, or ``dots`` with their intervals, which may be ``joined`` by a line."""

    run: str
    name: str
    points: tuple[Point, ...]
    dots: bool = False
    joined: bool = False


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened at a step (guard, resume): a mark on the time line."""

    run: str
    step: float
    name: str
    message: str


@dataclass(frozen=True, slots=True)
class Chart:
    """Series over steps. ``stacked``: bars of shares that add up; one panel a run."""

    id: str
    title: str
    unit: str
    format: Format
    series: tuple[Series, ...]
    events: tuple[Event, ...] = ()
    stacked: bool = False
    note: str = ""
    x_label: str = "training step"

    def table(self, max_rows: int = 24) -> Table:
        """The same numbers to be read: one row a step (evenly thinned), one column a series."""
        steps = _thin(sorted({point.x for series in self.series for point in series.points}), max_rows)
        labels = [series_label(series, self.series) for series in self.series]
        columns = [Column("step", "Step", "count")]
        columns += [Column(label, label, self.format) for label in labels]
        at = [{point.x: point for point in series.points} for series in self.series]
        rows = [(int(x), *(_value(points.get(x)) for points in at)) for x in steps]
        return Table(f"{self.id}-table", self.title, tuple(columns), tuple(rows), self.note)


def series_label(series: Series, among: Sequence[Series]) -> str:
    """The shortest name that tells this series from the others."""
    runs, names = {s.run for s in among}, {s.name for s in among}
    if len(names) == 1:
        return series.run if len(runs) > 1 else series.name
    return series.name if len(runs) == 1 else f"{series.run}: {series.name}"


def _thin(values: list[float], most: int) -> list[float]:
    if len(values) <= most:
        return values
    return [values[round(i * (len(values) - 1) / (most - 1))] for i in range(most)]


def _value(point: Point | None) -> Cell:
    return None if point is None else point.y


def _plain(cell: Cell) -> Any:
    if isinstance(cell, Estimate):
        return {"value": cell.value, "low": cell.low, "high": cell.high, "n": cell.n}
    return cell


def write_cell(cell: Cell, format_: Format) -> str:
    """A cell as text: an estimate with its interval, a missing value as a dash."""
    if cell is None:
        return "–"
    if isinstance(cell, Estimate):
        value, low, high = (write_number(x, format_) for x in (cell.value, cell.low, cell.high))
        return f"{value} ({low.removesuffix(' %')} to {high.removesuffix(' %')})"
    return cell if isinstance(cell, str) else write_number(cell, format_)


def write_number(value: float, format_: Format) -> str:
    """A number in the style of its column: shares as percent, p-values with their bound."""
    if value != value:  # not a number
        return "–"
    return _WRITERS[format_](value)


def _write_p(value: float) -> str:
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def _write_plain(value: float) -> str:
    return f"{value:,.0f}" if float(value).is_integer() and abs(value) < 1e15 else f"{value:.3g}"


_WRITERS: Mapping[Format, Callable[[float], str]] = {
    "text": _write_plain,
    "count": lambda value: f"{value:,.0f}",
    "number": _write_plain,
    "percent": lambda value: f"{100 * value:.1f} %",
    "points": lambda value: f"{100 * value:+.1f}",
    "p": _write_p,
}
