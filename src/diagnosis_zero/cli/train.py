"""``dz train``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("train")(train)


def train(
    recipe: Annotated[Path, typer.Argument(help="A recipe (TOML), e.g. recipes/smollm2.toml.")],
    set_: Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Override a key.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the run's last checkpoint.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Resume even with other data or another model.")] = False,
) -> None:
    """Train by a recipe, evaluate before and after, and build the report."""
    from diagnosis_zero import config, experiment

    outcome = experiment.run(config.load(recipe, set_ or ()), resume=resume, force=force)
    for comparison in (outcome.greedy, outcome.sampled):
        if comparison is not None:
            typer.echo(comparison.sentence)
    typer.echo(outcome.report)
