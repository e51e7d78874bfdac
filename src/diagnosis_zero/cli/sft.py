"""``dz sft``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("sft")(sft)


def sft(
    recipe: Annotated[Path, typer.Argument(help="The recipe of the run that this is a baseline of.")],
    epochs: Annotated[int, typer.Option(min=1, help="Passes over the training cases.")] = 3,
    batch_size: Annotated[int, typer.Option(min=1, help="Cases of one update.")] = 8,
    lr: Annotated[float, typer.Option(min=0.0, help="Highest learning rate.")] = 2e-5,
    set_: Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Override a key.")] = None,
) -> None:
    """Baseline: fine-tune a recipe's model on the labels of the same cases, and evaluate it before and after."""
    from diagnosis_zero import config
    from diagnosis_zero.supervised import Schedule, fine_tune

    folder, found = fine_tune(config.load(recipe, set_ or ()), Schedule(epochs, batch_size, lr))
    typer.echo(found.sentence)
    typer.echo(str(folder))
