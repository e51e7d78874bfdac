"""verl as a process of its own: started in a process group, written to a log, and never left behind.

Everything that Ray starts on this machine for a run descends from that process. On a cluster, Ray ends the run's
actors itself when their driver is gone.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import re
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

GRACE = 30.0
"""Seconds that verl is given to shut Ray down."""
LINGER = 5.0
"""Seconds after its end in which Ray's processes go by themselves."""
_RAISED = re.compile(r"([A-Za-z_.]*(?:Error|Exception)): (.*)")
_OURS = re.compile(r"diagnosis_zero\.errors\.InputError: (.*)")
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")
_SET_PARENT_DEATH_SIGNAL = 1
TAIL = 1 << 18
"""Bytes of the log's end that are searched for why a run failed."""


@dataclass(slots=True)
class Running:
    """The process and all that was ever seen to descend from it."""

    process: subprocess.Popen[bytes]
    family: set[Any] = field(default_factory=set)

    def look(self) -> int | None:
        """Note the descendants of this moment; the exit status, None while it runs."""
        import psutil

        with contextlib.suppress(psutil.NoSuchProcess):
            self.family |= set(psutil.Process(self.process.pid).children(recursive=True))
        return self.process.poll()


def start(command: Sequence[str], log: Path, environment: Mapping[str, str]) -> Running:
    """Run the command with its output in ``log``."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as out:
        process = subprocess.Popen(  # noqa: S603 - the command is ours
            list(command),
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            env={**os.environ, **environment},
            start_new_session=True,
            preexec_fn=_end_with_parent,
        )
    return Running(process)


def _end_with_parent() -> None:
    """Linux: SIGTERM when the process that follows the run dies, so that no training goes on unobserved."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_SET_PARENT_DEATH_SIGNAL, signal.SIGTERM)


def stop(running: Running, grace: float = GRACE) -> None:
    """End it, if it still runs, and everything that it started; returns when all are gone."""
    import psutil

    if running.look() is None:
        running.process.terminate()
        try:
            running.process.wait(grace)
        except subprocess.TimeoutExpired:
            running.process.kill()
            running.process.wait()
    _, left = psutil.wait_procs(running.family, timeout=LINGER)
    for process in left:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(left, timeout=LINGER)


def reason(log: Path) -> str:
    """Why the run failed: our own error where there is one, else the last exception."""
    if raised := ours(log):
        return raised
    found = list(_RAISED.finditer(_end_of(log)))
    return f"{found[-1][1]}: {found[-1][2].strip()}" if found else "it left no exception in its log"


def ours(log: Path) -> str:
    """The first error in the log that the reward raised in one of verl's workers, which verl itself passes over."""
    found = _OURS.search(_end_of(log))
    return found[1].strip() if found else ""


def _end_of(log: Path) -> str:
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - TAIL))
        return _COLOURS.sub("", file.read().decode("utf-8", "replace"))
