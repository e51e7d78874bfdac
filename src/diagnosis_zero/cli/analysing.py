"""Behaviour analysis as several commands need it: with the run's own reward where its recipe still reads."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from diagnosis_zero.cli.progress import progress, say
from diagnosis_zero.errors import InputError

if TYPE_CHECKING:
    from diagnosis_zero.types import RewardFn


def analysed(run: Path, *, only_stale: bool) -> list[Path]:
    """Analyse a run folder or an evaluation folder; the files written."""
    from diagnosis_zero.behaviour.analyse import analyse

    with progress(f"analysing {run}") as report:
        return analyse(run, reward=_reward(run), only_stale=only_stale, workers=os.cpu_count() or 1, progress=report)


def bring_up_to_date(run: Path) -> None:
    """Analyse what is new in a run's evaluations, if it has any."""
    from diagnosis_zero.experiment import has_answers

    if has_answers(run):
        analysed(run, only_stale=True)


def _reward(run: Path) -> RewardFn | None:
    """The reward that the run was trained on; None, and a word about it, where its recipe cannot be read any more."""
    from diagnosis_zero import config
    from diagnosis_zero.experiment import reward_on

    recipe = run / "config.toml"
    if not recipe.is_file():
        return None
    try:
        return reward_on(run, config.load(recipe))
    except InputError as error:
        say(f"no parts of the reward for each answer: {error}")
        return None
