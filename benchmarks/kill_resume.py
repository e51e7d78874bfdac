"""Kill a run with SIGKILL at random moments, resume each, and compare it with the run that nobody disturbed.

Every kill is a run of its own: thirty steps of a toy model (validated and saved every second step, test cases before
and after, report at the end, as ``dz train`` does it), killed once, at a moment drawn evenly over the time that the
undisturbed run takes, then resumed to its end. A run that has not yet written its recipe is started again. It is

- lost, where the resumed process fails;
- identical, where its metrics (but for times), the weights and the optimizer's state of its last checkpoint, the
  completions of every step and the answers to the test cases are those of the undisturbed run, to the last bit.

    python -m benchmarks.kill_resume --kills 100 --json OUT
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import torch
from safetensors.torch import load_file

from benchmarks import common
from benchmarks.toy_runs import output, rows, run_whole, start, taught_policy, toy_recipe, without_times, write_inputs
from diagnosis_zero.experiment import evaluation_folder
from diagnosis_zero.recipe import Recipe
from diagnosis_zero.train import checkpoint

STEPS = 30
OFTEN = ("eval.every=2", "checkpoint.every=2")
"""Saved so often that a good part of the kills falls into the writing of a checkpoint."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    parser.add_argument("--json", type=Path, help="where to write the figures")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        inputs = Path(folder) / "inputs"
        inputs.mkdir()
        write_inputs(inputs, taught_policy())
        figures = measure(inputs, Path(folder) / "runs", given.kills, given.seed)
    print({key: figures[key] for key in ("kills", "lost", "identical")}, figures["moments"])
    common.report(given.json, figures)


def measure(inputs: Path, runs: Path, kills: int, seed: int) -> dict[str, Any]:
    """Kill so many runs of the toy model and cases in ``inputs``; what became of them."""
    undisturbed = recipe_named("undisturbed", inputs, runs)
    seconds = min(run_undisturbed(recipe) for recipe in (recipe_named("first", inputs, runs), undisturbed))
    random = Random(seed)
    moments: Counter[str] = Counter()
    lost = identical = 0
    for number in range(kills):
        recipe = recipe_named(f"killed-{number}", inputs, runs)
        moments[_killed(recipe, random, seconds)] += 1
        if not _resumed(recipe):
            lost += 1
            print(output(recipe).read_text(encoding="utf-8"))
        else:
            wrong = differences(recipe, undisturbed)
            identical += not wrong
            print(f"kill {number + 1}/{kills}: {', '.join(wrong) + ' differ' if wrong else 'identical'}", flush=True)
        shutil.rmtree(recipe.run.folder)
    return {
        "kills": kills,
        "lost": lost,
        "identical": identical,
        "moments": dict(moments),
        "steps": STEPS,
        "seconds_of_a_run": seconds,
        "trained": _last_training_row(undisturbed),
    }


def recipe_named(name: str, inputs: Path, runs: Path, *overrides: str) -> Recipe:
    """The run that is killed."""
    return toy_recipe(inputs, runs, f"train.steps={STEPS}", *OFTEN, f"run.name={name}", *overrides)


def run_undisturbed(recipe: Recipe) -> float:
    """Seconds of a run that nobody disturbs."""
    began = time.monotonic()
    process = start(run_whole, recipe)
    process.join()
    if process.exitcode != 0:
        raise RuntimeError(output(recipe).read_text(encoding="utf-8"))
    return time.monotonic() - began


def _killed(recipe: Recipe, random: Random, seconds: float) -> str:
    """Kill a run at a moment drawn anew until it falls within the run; what it was doing then."""
    while True:
        process = start(run_whole, recipe)
        process.join(random.uniform(0, seconds))
        if process.exitcode is None:
            process.kill()
            process.join()
            return _doing(recipe.run.folder)
        shutil.rmtree(recipe.run.folder)


def _doing(folder: Path) -> str:
    """By what lies in the folder."""
    if not (folder / "config.toml").is_file():
        return "before the recipe was written"
    if any((folder / "checkpoints").glob(".step-*")):
        return "while a checkpoint was written"
    saved = checkpoint.steps(folder)
    if not saved:
        return "before the first checkpoint"
    return "after the last step" if saved[-1] == STEPS else "in the steps between checkpoints"


def _resumed(recipe: Recipe) -> bool:
    """Go on to the end (or start again what had not begun); whether it got there."""
    process = start(run_whole, recipe, resume=(recipe.run.folder / "config.toml").is_file())
    process.join()
    return process.exitcode == 0


def differences(one: Recipe, other: Recipe) -> list[str]:
    """In what two runs differ: nothing where they are one run to the last bit."""
    looks: dict[str, Callable[[Recipe], Any]] = {
        "metrics": without_times,
        "weights": lambda run: _bits(load_file(_last(run) / "model.safetensors")),
        "optimizer state": lambda run: _bits(checkpoint.load_state(_last(run))),
        "rollouts": _rollouts,
        "answers": lambda run: [(_evaluation(run, step) / "answers.jsonl").read_bytes() for step in (0, STEPS)],
        "checkpoints": lambda run: checkpoint.steps(run.run.folder),
    }
    return [name for name, look in looks.items() if look(one) != look(other)]


def _last(recipe: Recipe) -> Path:
    return checkpoint.folder(recipe.run.folder, STEPS)


def _evaluation(recipe: Recipe, step: int) -> Path:
    return evaluation_folder(recipe.run.folder, step)


def _rollouts(recipe: Recipe) -> dict[str, Any]:
    return {path.name: pq.read_table(path).to_pylist() for path in (recipe.run.folder / "rollouts").iterdir()}


def _bits(value: Any) -> Any:
    """Tensors as their bytes, so that ``==`` compares to the last bit."""
    if isinstance(value, dict):
        return {key: _bits(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_bits(item) for item in value]
    return np.asarray(value).tobytes() if isinstance(value, torch.Tensor) else value


def _last_training_row(recipe: Recipe) -> dict[str, Any]:
    return [row for row in rows(recipe) if row["kind"] == "train"][-1]


if __name__ == "__main__":
    main()
