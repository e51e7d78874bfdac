"""``dz train``."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from diagnosis_zero.cli.progress import say

if TYPE_CHECKING:
    from diagnosis_zero.recipe import Recipe


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("train")(train)


def train(
    recipe: Annotated[Path, typer.Argument(help="A recipe: a TOML file, or a shipped one by its name: smollm2.")],
    set_: Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Override a key.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the run's last checkpoint.")] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Resume although keys that make another experiment differ: model, data, ...")
    ] = False,
    engine: Annotated[Literal["local", "verl"], typer.Option(help="local: this machine. verl: many GPUs.")] = "local",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="verl: print its command, and start nothing.")] = False,
) -> None:
    """Train by a recipe, evaluate before and after, and build the report. On verl, evaluation is a command of its own
    (``dz evaluate RUN``)."""
    from diagnosis_zero import config

    loaded = config.load(recipe, set_ or ())
    if resume:
        _check_engine(loaded, engine)
    if engine == "verl":
        _on_verl(loaded, resume, force, dry_run)
    else:
        _locally(loaded, resume, force, dry_run)


def _check_engine(recipe: Recipe, engine: str) -> None:
    """A run goes on with the engine that it began with: neither reads the other's checkpoints."""
    from diagnosis_zero import records
    from diagnosis_zero.errors import InputError

    manifest = recipe.run.folder / "manifest.json"
    began = records.read_json(manifest).get("engine", "local") if manifest.is_file() else engine
    if began != engine:
        what = f"this run is of the engine {began!r}"
        raise InputError(what, where=recipe.run.folder, mend=f"Resume it with --engine {began}.")


def _locally(recipe: Recipe, resume: bool, force: bool, dry_run: bool) -> None:
    from diagnosis_zero import experiment
    from diagnosis_zero.errors import InputError

    if dry_run:
        raise InputError("--dry-run is for --engine verl", mend="dz doctor looks at a run of the local engine.")
    outcome = experiment.run(recipe, resume=resume, force=force)
    for comparison in (outcome.greedy, outcome.sampled):
        if comparison is not None:
            typer.echo(comparison.sentence)
    typer.echo(outcome.report)


def _on_verl(recipe: Recipe, resume: bool, force: bool, dry_run: bool) -> None:
    from diagnosis_zero import experiment
    from diagnosis_zero.scale import preflight, verl

    if dry_run:
        if not preflight.has_verl():
            say(f"verl is not installed here, so it has not judged these options. Run: {preflight.INSTALL}")
        typer.echo(verl.dry_run(recipe))
    else:
        typer.echo(verl.train(recipe, partial(experiment.reward_of, recipe), resume=resume, force=force))
