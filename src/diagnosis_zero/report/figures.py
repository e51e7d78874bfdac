"""The report's charts as SVG and PNG for papers, its tables as Markdown and CSV (``dz report RUN --figures DIR``).

Colours are those of Okabe and Ito (2008), told apart by colour-blind readers; text stays text in the SVG. The same run
gives the same files, byte for byte.
"""

from __future__ import annotations

import math
import re
import warnings
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from statistics import fmean
from typing import Any

from diagnosis_zero.errors import InputError
from diagnosis_zero.records import atomic_write
from diagnosis_zero.report import plain, results
from diagnosis_zero.report.build import Section, outline
from diagnosis_zero.report.load import load_runs
from diagnosis_zero.report.tables import Chart, Point, series_label
from diagnosis_zero.report.visible import visible

Axes = Any
Figure = Any
Named = dict[str, Any]
"""matplotlib's types: it is of an extra. ``Named``: what the legend shows, by name."""

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#F0E442", "#000000")
WIDTH, HEIGHT, LEGEND_ROW = 5.2, 2.8, 0.18
"""Inches: of one panel, as wide as a text column, and of a line of the legend below it."""
PNG_DPI = 300
STYLE: Mapping[str, Any] = {
    "font.family": ["DejaVu Sans"],
    "font.size": 8.5,
    "axes.titlesize": 9.5,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#e4e4e4",
    "grid.linewidth": 0.6,
    "axes.axisbelow": True,
    "legend.frameon": False,
    "svg.fonttype": "none",
    "svg.hashsalt": "diagnosis-zero",
}
SMOOTHED_FROM = 40
"""Points from which a line is drawn faintly, with its running mean above it."""
MOST_BARS = 30
LONGEST_NAME = 48
WIDEST_OF_TWO = 34
"""Letters of a name up to which the legend has two columns."""


def write(runs: Sequence[Path], folder: Path, *, redact: bool = False) -> list[Path]:
    """Every chart of the report of these runs as ID.svg, ID.png and (its points) ID.csv, every table as ID.md and
    ID.csv; the files written. ``redact``: as in the report.

    Raises:
        InputError: matplotlib is missing, or a run cannot be read.
    """
    _require_matplotlib()
    loaded = load_runs(runs)
    sections = outline(loaded, results.deciding_judge(loaded), redact=redact)
    return [*_write_charts(sections, folder), *_write_tables(sections, folder)]


def _write_charts(sections: Sequence[Section], folder: Path) -> list[Path]:
    written = []
    for chart in (chart for section in sections for chart in section.charts):
        path = folder / file_name(chart.id)
        written += [save(chart, path.with_suffix(".svg")), save(chart, path.with_suffix(".png"))]
        written.append(_write_text(path.with_suffix(".csv"), plain.csv_of_points(chart)))
    return written


def _write_tables(sections: Sequence[Section], folder: Path) -> list[Path]:
    written = []
    for table in (table for section in sections for table in section.tables):
        path = folder / file_name(table.id)
        heading = f"**{plain.escape(table.title)}**\n\n"
        written.append(_write_text(path.with_name(path.name + ".md"), heading + plain.markdown(table)))
        written.append(_write_text(path.with_name(path.name + ".csv"), plain.csv_of(table)))
    return written


def file_name(id_: str) -> str:
    """An id, which may hold the name of a run, as the name of a file."""
    return re.sub(r"[^A-Za-z0-9_-]+", "-", id_).strip("-") or "figure"


def _write_text(path: Path, text: str) -> Path:
    with atomic_write(path) as handle:
        handle.write(text)
    return path


def _require_matplotlib() -> None:
    try:
        import matplotlib  # noqa: F401 - is it there?
    except ImportError as error:
        raise InputError("figures need matplotlib", mend="Run: pip install 'diagnosis-zero[figures]'") from error


# --- one chart


def save(chart: Chart, path: Path) -> Path:
    """Draw a chart into ``path``, in the format of its suffix (svg, png or pdf)."""
    import matplotlib as mpl

    kind = path.suffix.lstrip(".")
    undated = {"svg": {"Date": None}, "png": {}, "pdf": {"CreationDate": None}}[kind]
    with mpl.rc_context(dict(STYLE)), warnings.catch_warnings(), atomic_write(path, "wb") as handle:
        warnings.filterwarnings(
            "ignore", "Glyph"
        )  # a letter that the font lacks is a box in the PNG, a letter in the SVG
        draw(chart).savefig(handle, format=kind, dpi=PNG_DPI, metadata=undated)
    return path


def draw(chart: Chart) -> Figure:
    """A chart as a matplotlib figure: lines and dots of all runs in one panel, stacked bars in one panel a run."""
    from matplotlib.figure import Figure as NewFigure

    runs = list(dict.fromkeys(series.run for series in chart.series))
    panels = runs if chart.stacked else [""]
    height = HEIGHT if len(panels) == 1 else 0.7 * HEIGHT * len(panels)
    figure = NewFigure(figsize=(WIDTH, height), layout="constrained")
    axes = figure.subplots(len(panels), squeeze=False, sharex=True, sharey=True)[:, 0]
    named: Named = {}
    for axis, run in zip(axes, panels, strict=True):
        only = run or (runs[0] if len(runs) == 1 else "")
        title = chart.title[:1].upper() + chart.title[1:]
        _words(axis.set_title(shortened(f"{title}: {only}" if only else title)))
        _label(axis, chart)
        named |= _stack(axis, chart, run) if chart.stacked else _lines(axis, chart, runs)
        _mark_events(axis, chart, runs)
    axes[-1].set_xlabel(chart.x_label)
    _legend(figure, named)
    return figure


def shortened(name: str) -> str:
    """A name as text of a figure: nothing invisible, not longer than fits."""
    line = visible(" ".join(name.split()))
    return line if len(line) <= LONGEST_NAME else line[: LONGEST_NAME - 1] + "…"


def _label(axis: Axes, chart: Chart) -> None:
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    _words(axis.set_ylabel(chart.unit))
    axis.xaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10]))
    if chart.format == "percent":
        axis.yaxis.set_major_formatter(FuncFormatter(lambda share, _: f"{100 * share:.3g} %"))


def _words(text: Any) -> None:
    """Text is text: a dollar sign begins no formula."""
    text.set_parse_math(False)


def _lines(axis: Axes, chart: Chart, runs: Sequence[str]) -> Named:
    """One colour a run, its second and third line dashed and dotted; dots of several runs side by side."""
    lines: Named = {}
    dots: Named = {}
    widest = max(point.x for series in chart.series for point in series.points)
    for series in chart.series:
        colour = COLOURS[runs.index(series.run) % len(COLOURS)]
        label = shortened(series_label(series, chart.series))
        if series.dots:
            aside = 0.012 * widest * (runs.index(series.run) - (len(runs) - 1) / 2)
            dots[f"{label} (95 % interval)"] = _dots(axis, series.points, colour, aside)
        else:
            own = [other.name for other in chart.series if other.run == series.run and not other.dots]
            lines |= _line(axis, series.points, colour, ("-", "--", ":", "-.")[own.index(series.name) % 4], label)
    axis.margins(x=0.02)
    return lines | dots


def _line(axis: Axes, points: Sequence[Point], colour: str, style: str, label: str) -> Named:
    x, y = [point.x for point in points], [point.y for point in points]
    if len(points) < SMOOTHED_FROM:
        return {label: axis.plot(x, y, style, color=colour, linewidth=1.3, marker="." if len(points) < 3 else "")[0]}
    width = max(3, len(points) // 12 | 1)
    axis.plot(x, y, "-", color=colour, linewidth=0.6, alpha=0.35)
    smooth = axis.plot(x, running_mean(y, width), style, color=colour, linewidth=1.5)[0]
    return {f"{label} (mean of {width} points)": smooth}


def running_mean(values: Sequence[float], width: int) -> list[float]:
    """The mean of up to ``width`` values (an odd number) around each; fewer at the ends, as many on either side."""
    half = width // 2
    reach = [min(half, i, len(values) - 1 - i) for i in range(len(values))]
    return [sum(values[i - r : i + r + 1]) / (2 * r + 1) for i, r in enumerate(reach)]


def _dots(axis: Axes, points: Sequence[Point], colour: str, aside: float) -> Any:
    below = [0.0 if point.low is None else point.y - point.low for point in points]
    above = [0.0 if point.high is None else point.high - point.y for point in points]
    bars = axis.errorbar(
        [point.x + aside for point in points],
        [point.y for point in points],
        (below, above),
        fmt="o",
        color=colour,
        markersize=4.5,
        markeredgecolor="white",
        capsize=2.5,
        elinewidth=1.1,
        zorder=3,
    )
    return bars.lines[0]


def _stack(axis: Axes, chart: Chart, run: str) -> Named:
    names = list(dict.fromkeys(series.name for series in chart.series))
    own = [series for series in chart.series if series.run == run]
    stretches = _stretches(sorted({point.x for series in own for point in series.points}))
    middles = [fmean(stretch) for stretch in stretches]
    width = 0.85 * min((b - a for a, b in pairwise(middles)), default=1.0)
    floor = [0.0] * len(stretches)
    named: Named = {}
    for series in own:
        at = {point.x: point.y for point in series.points}
        heights = [fmean(at.get(step, 0.0) for step in stretch) for stretch in stretches]
        place = names.index(series.name)
        look = {"color": COLOURS[place % len(COLOURS)], "hatch": "///" if place >= len(COLOURS) else ""}
        named[shortened(series.name)] = axis.bar(middles, heights, width, floor, linewidth=0, **look).patches[0]
        floor = [low + height for low, height in zip(floor, heights, strict=True)]
    axis.margins(x=0.02)
    return named


def _stretches(steps: Sequence[float]) -> list[Sequence[float]]:
    """The steps of each bar: at most so many bars, of as many steps each (the last may have fewer)."""
    size = -(-len(steps) // MOST_BARS)
    return [steps[start : start + size] for start in range(0, len(steps), size)]


def _mark_events(axis: Axes, chart: Chart, runs: Sequence[str]) -> None:
    """Marks of what happened, in the colour of the run; the first of each kind is named."""
    named = set[str]()
    for event in (event for event in chart.events if event.run in runs):
        axis.axvline(event.step, color=COLOURS[runs.index(event.run) % len(COLOURS)], linewidth=0.7, linestyle=":")
        if event.name not in named:
            named.add(event.name)
            top = ("data", "axes fraction")
            mark = axis.annotate(
                shortened(event.name), (event.step, 0.99), xycoords=top, rotation=90, fontsize=6, ha="right", va="top"
            )
            _words(mark)


def _legend(figure: Figure, named: Named) -> None:
    """Below the panels, where no name is too long. The names are put in afterwards: matplotlib would leave out those
    that begin with an underscore."""
    if not named:
        return
    numbers = [str(i) for i in range(len(named))]
    columns = 1 if max(map(len, named)) > WIDEST_OF_TWO else 2
    figure.set_figheight(figure.get_figheight() + LEGEND_ROW * math.ceil(len(named) / columns))
    legend = figure.legend(list(named.values()), numbers, loc="outside lower center", ncols=columns)
    for text, name in zip(legend.get_texts(), named, strict=True):
        text.set_text(name)
        _words(text)
