"""What guard, metrics and the saving of rollouts cost: their share of a training step, in processor time.

A real run, with stopwatches around what is not rollout or update: the metrics of the rollout, the Parquet file of its
completions, the lines of ``metrics.jsonl`` (with the TensorBoard sink), the guard, and the forward pass of one group
that ``policy/step_kl`` takes, at each step at first and at every fourth later. The share is largest where steps are
shortest: ``toy`` is a model of 48 channels on which nobody would train, ``demo`` is the run of ``dz demo``,
``smollm2`` a model of ordinary speed. The guard reads a history, so it is timed on one of 2,000 steps besides.

    python -m benchmarks.overhead [--run smollm2] --json OUT
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import fmean
from typing import Any, TypeVar
from unittest.mock import patch

import torch
from rich.console import Console

from benchmarks import common, small_clinic
from diagnosis_zero import config
from diagnosis_zero.experiment import reward_of
from diagnosis_zero.recipe import Recipe
from diagnosis_zero.train import guard, loop, metrics, observe, step
from diagnosis_zero.train.view import View

STEPS = {"toy": 21, "demo": 21, "smollm2": 3}
"""Each in the phase in which ``policy/step_kl`` is measured at every step."""
LONG = 2000
"""Steps of the long history."""
T = TypeVar("T")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", choices=STEPS, default="demo")
    parser.add_argument("--json", type=Path, help="where to write the figures")
    given = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        figures = measure(Path(folder), given.run)
    common.show(f"Processor seconds a step, {given.run}", [figures["seconds"]])
    for name in ("closely", "later", "long"):
        print(f"overhead, {name}: {figures['overhead_' + name]:.2%} of the step")
    common.report(given.json, figures)


def measure(folder: Path, run: str) -> dict[str, Any]:
    """Seconds of each part a step, and the share of all but rollout and update: at the first steps, at later ones, and
    at later ones after a long history."""
    recipe = _recipe(folder, run)
    watch = Stopwatch()
    timed = (
        patch.object(loop, "_step", watch.around("step", loop._step)),
        patch.object(observe, "rollout_metrics", watch.around("metrics", observe.rollout_metrics)),
        patch.object(observe, "write_rollouts", watch.around("rollouts", observe.write_rollouts)),
        patch.object(metrics.MetricsLog, "write", watch.around("log", metrics.MetricsLog.write)),
        patch.object(loop, "step_kl", watch.around("step_kl", step.step_kl)),
        patch.object(guard, "check", watch.around("guard", guard.check)),
    )
    for one in timed:
        one.start()
    try:
        loop.train(recipe, partial(reward_of, recipe), lambda policy, step, cases: None, view=View(Console(quiet=True)))
    finally:
        for one in timed:
            one.stop()
    # the first step is left out: it loads and warms up what later steps only use
    seconds = {name: fmean(found[1:]) for name, found in watch.seconds.items()}
    rows = metrics.read(recipe.run.folder / metrics.FILE)
    seconds[f"guard after {LONG} steps"] = long = _guard_after(rows, LONG)
    return {"run": run, "steps": len(watch.seconds["step"]) - 1, "seconds": seconds, **_shares(seconds, long)}


def _shares(seconds: dict[str, float], guard_long: float) -> dict[str, float]:
    """``step`` holds all parts but the guard."""
    kl = seconds["step_kl"]
    bare = seconds["step"] - kl - sum(seconds[part] for part in ("metrics", "rollouts", "log"))
    own = seconds["metrics"] + seconds["rollouts"] + seconds["log"]
    costs = {
        "closely": own + seconds["guard"] + kl,
        "later": own + seconds["guard"] + kl / loop.LATER,
        "long": own + guard_long + kl / loop.LATER,
    }
    return {f"overhead_{name}": cost / (bare + cost) for name, cost in costs.items()}


def _recipe(folder: Path, run: str) -> Recipe:
    sets = [f"train.steps={STEPS[run]}", "eval.every=1000", "eval.cases=1", 'run.sinks=["tensorboard"]']
    if run == "demo":
        return config.load(config.shipped("demo"), [*sets, f'run.dir="{folder}"'])
    if run == "smollm2":
        sets += ["model.id=smollm2", "data.max_prompt_tokens=512", "train.lr=1e-6", "rollout.max_tokens=64"]
    return small_clinic.recipe(small_clinic.make_inputs(folder, 0), folder / "runs", 0, *sets)


def _guard_after(rows: list[metrics.Row], steps: int) -> float:
    """Processor seconds of one look of the guard at a history of so many steps, made by repeating a run's own."""
    trained = [row for row in rows if row["kind"] == "train"]
    long = [trained[step % len(trained)] | {"step": step} for step in range(1, steps + 1)]
    began = time.process_time()
    for _ in range(10):
        guard.check(long)
    return (time.process_time() - began) / 10


class Stopwatch:
    """Keeps the processor seconds of every call of functions, by name."""

    def __init__(self) -> None:
        self.seconds: defaultdict[str, list[float]] = defaultdict(list)

    def around(self, name: str, function: Callable[..., T]) -> Callable[..., T]:
        def timed(*given: Any, **more: Any) -> T:
            began = time.process_time()
            try:
                return function(*given, **more)
            finally:
                self.seconds[name].append(time.process_time() - began)

        return timed


if __name__ == "__main__":
    main()
