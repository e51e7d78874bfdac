"""The whole system in minutes on a laptop: ``dz demo``."""

from __future__ import annotations

import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from diagnosis_zero import config, experiment, records
from diagnosis_zero.errors import InputError
from diagnosis_zero.evaluate.compare import Comparison
from diagnosis_zero.recipe import Recipe
from diagnosis_zero.types import Case

QUICK = (
    "run.name=demo-quick",
    "data.vignettes.diseases=12",
    "data.vignettes.cases=400",
    "warmstart.batches=40",
    "train.steps=6",
    "eval.cases=20",
    "eval.every=3",
    "eval.test_cases=40",
)
"""A small rehearsal of the same path, for tests and continuous integration: too short to learn much."""


@dataclass(frozen=True, slots=True)
class Demo:
    """What the demo did: ``summary`` is ``RUN/summary.json``, ``lines`` are for a person to read."""

    outcome: experiment.Outcome
    summary: dict[str, Any]
    lines: tuple[str, str, str]


def run(seed: int = 0, *, quick: bool = False, folder: Path = Path("runs")) -> Demo:
    """Make patients, teach a tiny model the form, train it by GRPO, evaluate it before and after, report."""
    began = time.monotonic()
    overrides = [f"run.seed={seed}", f'run.dir="{folder}"', *(QUICK if quick else ())]
    recipe = config.load(config.shipped("demo"), overrides)
    _clear(recipe)
    outcome = experiment.run(recipe)
    if outcome.greedy is None or outcome.sampled is None:
        raise InputError("the demo was stopped before its end", where=outcome.run, mend="Start it again.")
    summary = _summary(seed, time.monotonic() - began, outcome.greedy, outcome.sampled)
    summary["knowable"] = _knowable(outcome.run)
    records.write_json(outcome.run / "summary.json", summary)
    return Demo(outcome, summary, _lines(recipe, summary, outcome.sampled))


def _clear(recipe: Recipe) -> None:
    """A demo replaces the demo before it, whatever its seed, and nothing else."""
    folder = recipe.run.folder
    if not folder.exists():
        return
    before = folder / "config.toml"
    if not before.is_file() or set(config.differences(config.load(before), recipe)) - {"run.seed", "run.dir"}:
        raise InputError("this folder is not a run of the demo as it is now", where=folder, mend="Move it away.")
    shutil.rmtree(folder)


def _summary(seed: int, seconds: float, greedy: Comparison, sampled: Comparison) -> dict[str, Any]:
    return {
        "seed": seed,
        "seconds": round(seconds, 1),
        "n": sampled.n,
        "before": {"greedy": greedy.before, "mean4": sampled.before},
        "after": {"greedy": greedy.after, "mean4": sampled.after},
        "p": sampled.p,
        "p_greedy": greedy.p,
    }


def _knowable(run_dir: Path) -> float:
    """Share of the test patients that the most probable disease is right for: no reader does better on average."""
    cases = list(records.read_jsonl(run_dir / "evaluations" / "cases.jsonl", Case))
    return fmean(case.extra["oracle_id"] in case.ids for case in cases)


def _lines(recipe: Recipe, summary: dict[str, Any], sampled: Comparison) -> tuple[str, str, str]:
    before, after = summary["before"], summary["after"]
    vignettes = recipe.data.vignettes
    assert vignettes is not None
    return (
        f"held-out accuracy, mean of {recipe.eval.samples} samples: {before['mean4']:.1%} -> {after['mean4']:.1%} "
        f"({sampled.difference:+.1%}, 95 % interval {sampled.low:+.1%} to {sampled.high:+.1%}, p = {summary['p']:.1g})",
        f"held-out accuracy, greedy: {before['greedy']:.1%} -> {after['greedy']:.1%} (p = {summary['p_greedy']:.1g})",
        f"{summary['n']} patients, {vignettes.diseases} diseases: chance {1 / vignettes.diseases:.1%}, knowable "
        f"{summary['knowable']:.1%}; {summary['seconds']:.0f} s in all",
    )
