"""Toy runs (``benchmarks.toy_runs``) that die or are signalled at a known moment."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from multiprocessing.process import BaseProcess

from benchmarks.toy_runs import output, run_whole
from rich.console import Console

from diagnosis_zero import experiment
from diagnosis_zero.recipe import Recipe
from diagnosis_zero.train.view import View

DEADLINE = 1200.0
"""Seconds after which a process that does not end is a failure (it takes a few, on a machine that is free)."""


def run_killed(recipe: Recipe, console: Console, *, event: str, path: str) -> None:
    """The same, up to a happening (see ``kill_on``)."""
    kill_on(event, path)
    run_whole(recipe, console)


def run_signalled(recipe: Recipe, console: Console, *, at: int, number: int = signal.SIGKILL, times: int = 1) -> None:
    """The same, with a signal after step ``at``."""
    experiment.run(recipe, view=Interrupting(console, at=at, number=number, times=times))


def finish(process: BaseProcess, recipe: Recipe, exit_code: int = 0) -> str:
    """Wait for the end of a process that is to end so; what it printed."""
    process.join(DEADLINE)
    printed = output(recipe).read_text(encoding="utf-8")
    assert process.exitcode == exit_code, printed
    return printed


def kill_on(event: str, path: str) -> None:
    """This process dies when it is about to do something to a file: ``event`` is an audit event of Python (open,
    os.mkdir, os.rename), ``path`` a part of the file's name."""

    def watch(happening: str, arguments: tuple[object, ...]) -> None:
        if happening == event and any(path in os.fspath(a) for a in arguments if isinstance(a, str | os.PathLike)):
            os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(watch)


@dataclass(slots=True)
class Interrupting(View):
    """Sends a signal to its own process when step ``at`` has its line in ``metrics.jsonl``."""

    at: int = 0
    number: int = signal.SIGKILL
    times: int = 1

    def step(self, step: int, total: int, metrics: Mapping[str, float]) -> None:
        View.step(self, step, total, metrics)
        for _ in range(self.times if step == self.at else 0):
            os.kill(os.getpid(), self.number)
