"""Going back: what a collapsing run wrote after its last good checkpoint is put aside, whole even after a kill.

A rewind is first written down, then carried out; a resume carries out what a kill left undone, and only then asks for
the newest checkpoint.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from diagnosis_zero.records import drop_leftovers, read_json, write_json
from diagnosis_zero.train import checkpoint
from diagnosis_zero.train.metrics import MetricsLog

FOLDER = "rewinds"
PENDING, DONE = "pending.json", "rewind.json"


def count(run_dir: Path) -> int:
    """How often the run has gone back."""
    return sum(1 for _ in (run_dir / FOLDER).glob("*"))


def write_down(run_dir: Path, step: int, target: int, why: str) -> Path:
    """The folder of the rewind that is to be: from ``step`` back to ``target``."""
    aside = run_dir / FOLDER / f"{count(run_dir) + 1}-at-step-{step}"
    aside.mkdir(parents=True)
    write_json(aside / PENDING, {"target": target, "message": f"from step {step} back to step {target}: {why}"})
    return aside


def carry_out(run_dir: Path, aside: Path, sinks: Sequence[str]) -> MetricsLog:
    """Put aside what was written after the target, tell it in the metrics; their log, open."""
    asked = read_json(aside / PENDING)
    checkpoint.cut_after(run_dir, asked["target"], keep_in=aside)
    log = MetricsLog(run_dir, sinks)
    if not any(row.get("message") == asked["message"] for row in log.rows):
        log.event(asked["target"], "rewind", asked["message"])
    log.sync()
    (aside / PENDING).rename(aside / DONE)
    return log


def finish(run_dir: Path, sinks: Sequence[str]) -> None:
    """Carry out a rewind that a kill interrupted, or forget one that was not yet written down."""
    for aside in sorted((run_dir / FOLDER).glob("*")):
        if (aside / PENDING).is_file():
            carry_out(run_dir, aside, sinks).close()
            continue
        drop_leftovers(aside)
        if not any(aside.iterdir()):
            aside.rmdir()
