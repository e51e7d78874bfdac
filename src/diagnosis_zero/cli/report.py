"""``dz analyse`` and ``dz report``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from diagnosis_zero.cli.analysing import analysed, bring_up_to_date

Runs = Annotated[list[Path], typer.Argument(help="Run folders; several are overlaid.", show_default=False)]


def register(app: typer.Typer) -> None:
    app.command("analyse")(analyse)
    app.command("report")(report)


def analyse(
    runs: Annotated[list[Path], typer.Argument(help="Run folders or evaluation folders.", show_default=False)],
) -> None:
    """Measure what every completion does: form, reasoning, language, length, reward parts."""
    for run in runs:
        for file in analysed(run, only_stale=False):
            typer.echo(str(file))


def report(
    runs: Runs,
    out: Annotated[Path, typer.Option(help="The file to write.")] = Path("report.html"),
    redact: Annotated[bool, typer.Option("--redact", help="Leave out every text by or about a patient.")] = False,
    figures: Annotated[
        Path | None, typer.Option(help="For papers, into this folder: plots as SVG and PNG, tables as Markdown, CSV.")
    ] = None,
) -> None:
    """Write one self-contained HTML file: is it better, the curves, every case at every checkpoint."""
    from diagnosis_zero.report.build import build

    for run in runs:
        bring_up_to_date(run)
    typer.echo(str(build(runs, out, redact=redact)))
    if figures:
        from diagnosis_zero.report.figures import write

        for file in write(runs, figures, redact=redact):
            typer.echo(str(file))
