"""Draws what ``benchmarks.collapse`` found: one panel a trouble, the held-out score of each seed where nobody acts,
and a mark where the guard spoke.

    python -m benchmarks.collapse_figure benchmarks/results/collapse.json docs/img/collapse.svg
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.collapse import IN_TIME
from diagnosis_zero import records
from diagnosis_zero.records import atomic_write
from diagnosis_zero.report.figures import COLOURS, STYLE

Told = Mapping[str, Any]
COLUMNS, PANEL = 3, (2.9, 1.9)
"""Panels in a row; inches of one."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", type=Path)
    parser.add_argument("out", type=Path, help="an .svg or .png")
    given = parser.parse_args()
    draw(records.read_json(given.results)["provoked"], given.out)
    print(given.out)


def draw(told: Sequence[Told], out: Path) -> None:
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    troubles = list(dict.fromkeys(one["trouble"] for one in told))
    rows = -(-len(troubles) // COLUMNS)
    with matplotlib.rc_context({**STYLE}):
        figure = Figure(figsize=(COLUMNS * PANEL[0], rows * PANEL[1]), layout="constrained")
        FigureCanvasAgg(figure)
        panels = figure.subplots(rows, COLUMNS, sharey=True, squeeze=False).flat
        for axes, trouble in zip(panels, troubles, strict=False):
            _panel(axes, trouble, [one for one in told if one["trouble"] == trouble])
        figure.supxlabel("step")
        figure.supylabel("val/accuracy")
        with atomic_write(out, "wb") as handle:
            figure.savefig(handle, format=out.suffix[1:], metadata={"Date": None} if out.suffix == ".svg" else None)


def _panel(axes: Any, trouble: str, told: Sequence[Told]) -> None:
    axes.set(title=trouble, ylim=(0, 1.05))
    for colour, one in zip(COLOURS, told, strict=False):
        axes.plot(*zip(*one["looks"], strict=True), color=colour, linewidth=1.1)
        if one["alarm_step"] is not None:
            axes.plot(one["alarm_step"], one["at_alarm"], "o", color=colour, markersize=6, gid="alarm")
            axes.hlines(one["best"] * (1 - IN_TIME), 0, one["alarm_step"], color=colour, linewidth=0.7, linestyle=":")


if __name__ == "__main__":
    main()
