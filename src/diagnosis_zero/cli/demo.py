"""``dz demo``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("demo")(demo)


def demo(
    seed: Annotated[int, typer.Option(help="Seed of patients, model and sampling.")] = 0,
    quick: Annotated[bool, typer.Option("--quick", help="The same path in a minute, too short to learn.")] = False,
    folder: Annotated[Path, typer.Option("--dir", help="Where the run's folder goes.")] = Path("runs"),
) -> None:
    """Everything on a tiny model and made-up patients, on this machine; ends with report.html."""
    from diagnosis_zero import demo as whole

    done = whole.run(seed, quick=quick, folder=folder)
    typer.echo()
    for line in done.lines:
        typer.echo(line)
    typer.echo(done.outcome.report)
