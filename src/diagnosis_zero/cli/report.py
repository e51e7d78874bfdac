"""``dz analyse`` and ``dz report``."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from diagnosis_zero.cli.progress import progress, say
from diagnosis_zero.errors import InputError

if TYPE_CHECKING:
    from diagnosis_zero.types import RewardFn

Runs = Annotated[list[Path], typer.Argument(help="Run folders; several are overlaid.", show_default=False)]


def register(app: typer.Typer) -> None:
    app.command("analyse")(analyse)
    app.command("report")(report)


def analyse(
    runs: Annotated[list[Path], typer.Argument(help="Run folders or evaluation folders.", show_default=False)],
) -> None:
    """Measure what every completion does: form, reasoning, language, length, reward parts."""
    for run in runs:
        for file in _analyse(run, only_stale=False):
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
        if any((run / "evaluations").glob("*/answers.jsonl")):
            _analyse(run, only_stale=True)
    typer.echo(str(build(runs, out, redact=redact)))
    if figures:
        from diagnosis_zero.report.figures import write

        for file in write(runs, figures, redact=redact):
            typer.echo(str(file))


def _analyse(run: Path, *, only_stale: bool) -> list[Path]:
    from diagnosis_zero.behaviour.analyse import analyse

    with progress(f"analysing {run}") as report:
        return analyse(run, reward=_reward_of(run), only_stale=only_stale, workers=os.cpu_count() or 1, progress=report)


def _reward_of(run: Path) -> RewardFn | None:
    """The reward that the run was trained on; None, and a word about it, where its recipe cannot be read any more."""
    from diagnosis_zero import config
    from diagnosis_zero.behaviour.analyse import evaluation_folders, read_prompt
    from diagnosis_zero.experiment import reward_of

    recipe = run / "config.toml"
    if not recipe.is_file():
        return None
    try:
        think_opened = any(read_prompt(folder).think_opened for folder in evaluation_folders(run))
        return reward_of(config.load(recipe), think_opened)
    except InputError as error:
        say(f"no parts of the reward for each answer: {error}")
        return None
