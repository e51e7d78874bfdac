"""``dz report`` and ``dz analyse``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Runs = Annotated[list[Path], typer.Argument(help="Run folders; several are overlaid.", show_default=False)]


def register(app: typer.Typer) -> None:
    app.command("report")(report)


def report(
    runs: Runs,
    out: Annotated[Path, typer.Option(help="The file to write.")] = Path("report.html"),
    redact: Annotated[bool, typer.Option("--redact", help="Leave out every text by or about a patient.")] = False,
) -> None:
    """Write one self-contained HTML file: is it better, the curves, every case at every checkpoint."""
    from diagnosis_zero.report.build import build

    typer.echo(str(build(runs, out, redact=redact)))
