"""Long work on a terminal and elsewhere; both on standard error."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import typer

Report = Callable[[int, int], None]
"""Called with (done, of)."""


def say(text: str) -> None:
    """A line about what is going on."""
    typer.echo(text, err=True)


@contextmanager
def progress(doing: str) -> Iterator[Report]:
    """A bar with an estimate on a terminal, a plain line every tenth elsewhere."""
    if not sys.stderr.isatty():
        yield _plain(doing)
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(doing, total=None)
        yield lambda done, of: bar.update(task, completed=done, total=of)


def _plain(doing: str) -> Report:
    told = 0

    def report(done: int, of: int) -> None:
        nonlocal told
        tenth = 10 * done // max(1, of)
        if tenth > told:
            told = tenth
            say(f"{doing}: {done} of {of}")

    return report
