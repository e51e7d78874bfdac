"""Provoke collapses on a tiny model: is the guard in time, and is it silent while nothing is wrong?

For every trouble and seed two runs: one that only tells (what the guard says and when, what the run loses if nobody
acts) and one that rewinds (what it ends with). Besides, healthy runs of every objective, in which each alarm is false.

- in time: the first alarm of level ``collapse`` came when ``val/accuracy`` of the weights at that step, measured on the
  same cases, was above 80 % of the best look so far;
- ends well: ``val/accuracy`` of what a rewinding run hands over (its last step; the best checkpoint where the guard
  stopped it) is within 5 % of the best look of the run, rewound looks among them;
- healthy: a run that nothing was done to and that kept its score to the end.

Thresholds of ``train/guard.py`` are set on the seeds ``SET_ON`` (``--tune``) and shown on ``SHOWN_ON``.

With ``--work`` each run's result is kept, and the same command goes on where it stopped; with ``--minutes`` it stops
itself (exit status 3) rather than begin another run after so long.

    python -m benchmarks.collapse --json OUT [--work DIR [--minutes N]]
"""

from __future__ import annotations

import argparse
import math
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from benchmarks import common
from benchmarks.small_clinic import FOREIGN, make_inputs, recipe
from diagnosis_zero import prompts, records
from diagnosis_zero.cases import export
from diagnosis_zero.engine import model as models
from diagnosis_zero.engine.model import Policy
from diagnosis_zero.experiment import reward_of
from diagnosis_zero.parsing import parse
from diagnosis_zero.recipe import Recipe
from diagnosis_zero.train import checkpoint, metrics, rewinds
from diagnosis_zero.train.guard import DETECTORS
from diagnosis_zero.train.loop import train
from diagnosis_zero.train.rollout import rollout
from diagnosis_zero.train.view import View
from diagnosis_zero.types import Case, Reward, RewardFn, SamplingParams

SET_ON, SHOWN_ON = (0, 1, 2), (50, 51, 52)
HEALTHY_STEPS = 100
IN_TIME, ENDS_WELL = 0.2, 0.05
"""Shares of the best score that may be lost when the alarm comes, and at the end of a run that rewinds."""

_COLLAPSES = {f"guard/{name}" for name, (level, _) in DETECTORS.items() if level == "collapse"}

Payment = Callable[[Reward, str, Case], float]
"""The score that a bad reward gives; the parts, which are logged, stay true."""


@dataclass(frozen=True, slots=True)
class Trouble:
    """What is done to a sound run. ``train`` goes over the section of that name, past the checks of a recipe."""

    train: Mapping[str, Any] = field(default_factory=dict)
    pays: Payment | None = None
    nan_in: range = range(0)
    """Steps (as they are made, rewound ones too) whose gradient holds a NaN."""
    steps: int = 40


def _for_length(reward: Reward, text: str, case: Case) -> float:
    """A bonus for thoroughness that nobody bounded: thirty letters more pay as much as the right diagnosis."""
    return reward.score + len(text) / 30


def _for_a_safe_answer(reward: Reward, text: str, case: Case) -> float:
    """A judge who nods at one fashionable diagnosis whatever the patient has."""
    return reward.score / 10 + (parse(text).answer or "").startswith("L")


def _for_foreign_words(reward: Reward, text: str, case: Case) -> float:
    """A reward of words that a model can also earn in another script."""
    return reward.score + text.count(FOREIGN)


TROUBLES = {
    # a warm-up that goes on to twenty times the sound rate
    "learning rate too high": Trouble({"lr": 1e-2, "warmup": 40}),
    "reward hack by length": Trouble(pays=_for_length),
    "bad reward, KL off": Trouble(pays=_for_a_safe_answer),
    "NaN injected": Trouble(nan_in=range(15, 30)),
    "entropy collapse": Trouble({"entropy_coefficient": -3.0}, steps=60),
    "language drift": Trouble(pays=_for_foreign_words),
}

HEALTHY = (
    *(("train.objective=" + objective,) for objective in ("grpo", "dr-grpo", "dapo", "gspo", "cispo")),
    ("train.objective=dapo", "train.minibatches=4"),
    ("train.kl_coefficient=0.01",),
    ("train.kl_coefficient=0.01", "train.kl_place=reward", "train.kl_estimator=k1"),
    ("train.lr=1e-3", "train.overlong=mask"),
    ("train.lr=2e-4", "rollout.prompts=4", "rollout.group=16"),
    ("train.lr=1e-3",),
)
"""Recipes that nothing was done to; each runs on two of the seeds that the thresholds are shown on."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="where to write the figures")
    parser.add_argument("--work", type=Path, help="keeps inputs and each run's result: go on where it was broken off")
    parser.add_argument("--tune", action="store_true", help="on the seeds that thresholds are set on")
    parser.add_argument("--trouble", action="append", choices=TROUBLES, help="only this one; may be repeated")
    parser.add_argument("--minutes", type=float, default=math.inf, help="begin no further run after so long")
    given = parser.parse_args()
    torch.set_num_threads(1)
    until = time.monotonic() + given.minutes * 60
    with tempfile.TemporaryDirectory() as folder:
        shelf = Shelf(given.work or Path(folder), until)
        try:
            figures = measure(shelf, SET_ON if given.tune else SHOWN_ON, given.trouble or list(TROUBLES))
        except OutOfTimeError:
            print("not finished: the same command goes on")
            sys.exit(3)
    common.show("Provoked collapses", [_row(one) for one in figures["provoked"]])
    print({key: value for key, value in figures.items() if not isinstance(value, list)})
    common.report(given.json, figures)


class OutOfTimeError(Exception):
    """Another run would begin too late."""


@dataclass(frozen=True, slots=True)
class Shelf:
    """The folder that keeps inputs, runs and results; and the moment after which no run begins."""

    folder: Path
    until: float = math.inf

    def once(self, name: str, make: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """The result of a run, from the folder where it stands there."""
        path = self.folder / "results" / f"{name}.json"
        if not path.is_file():
            if time.monotonic() > self.until:
                raise OutOfTimeError
            records.write_json(path, make())
        found: dict[str, Any] = records.read_json(path)
        print({key: value for key, value in found.items() if key != "looks"}, flush=True)
        return found


def measure(
    shelf: Shelf, seeds: Sequence[int], troubles: Sequence[str], *, healthy_steps: int = HEALTHY_STEPS
) -> dict[str, Any]:
    """Every trouble on every seed, told and then rewound; and the healthy runs."""
    pairs = [(name, seed) for seed in seeds for name in troubles]
    told = [_judged(tell(shelf, name, seed)) for name, seed in pairs]
    rewound = [rewind(shelf, name, seed) for name, seed in pairs]
    sound = [(number, seed) for seed in seeds[:2] for number in range(len(HEALTHY))]
    watched = [watch_healthy(shelf, number, seed, healthy_steps) for number, seed in sound]
    healthy = [one for one in watched if not _collapsed(one)]
    return {
        "runs": len(pairs),
        "collapsed_unguarded": sum(one["lost_unguarded"] > IN_TIME for one in told),
        "alarmed": sum(one["alarm_step"] is not None for one in told),
        "in_time": sum(one["in_time"] for one in told),
        "ended_well": sum(one["ended_well"] for one in rewound),
        "healthy_steps": sum(one["steps"] for one in healthy),
        "false_alarms": sum(len(one["collapses"]) for one in healthy),
        "false_warnings": sum(len(one["warnings"]) for one in healthy),
        "seeds_set_on": list(SET_ON),
        "seeds_shown_on": list(seeds),
        "provoked": [{**one, **other} for one, other in zip(told, rewound, strict=True)],
        "healthy": healthy,
        "collapsed_of_itself": [one for one in watched if _collapsed(one)],
    }


# --- provoked runs


def tell(shelf: Shelf, name: str, seed: int) -> dict[str, Any]:
    """When the guard speaks of a trouble, and what the run loses if nobody acts."""
    label = f"told-{_file_name(name)}-{seed}"

    def make() -> dict[str, Any]:
        sets = ("guard.on_collapse=warn", "checkpoint.every=1", f"train.steps={TROUBLES[name].steps}")
        run = _run(shelf.folder, label, seed, TROUBLES[name], *sets)
        return {"trouble": name, "seed": seed, **_told(run)}

    return shelf.once(label, make)


def rewind(shelf: Shelf, name: str, seed: int) -> dict[str, Any]:
    """What the run ends with if it rewinds."""
    label = f"rewound-{_file_name(name)}-{seed}"

    def make() -> dict[str, Any]:
        sets = ("guard.on_collapse=rewind", "checkpoint.every=2", f"train.steps={TROUBLES[name].steps}")
        run = _run(shelf.folder, label, seed, TROUBLES[name], *sets)
        return {"trouble": name, "seed": seed, **_rewound(run)}

    return shelf.once(label, make)


def _judged(told: Mapping[str, Any]) -> dict[str, Any]:
    """With ``in_time``. A loss of exactly a fifth is too much, whatever its last bit says."""
    return {**told, "in_time": told["alarm_step"] is not None and round(told["lost_at_alarm"], 9) < IN_TIME}


def _file_name(name: str) -> str:
    return name.replace(" ", "-").replace(",", "")


def _told(run: Recipe) -> dict[str, Any]:
    """When the guard spoke, what the score was then, and where the run went without it."""
    rows = metrics.read(run.run.folder / metrics.FILE)
    looks = metrics.series(rows, "val/accuracy")
    alarms = [row for row in rows if row["kind"] == "event" and row["event"] in _COLLAPSES]
    alarm = alarms[0] if alarms else None
    best = max(score for step, score in looks if alarm is None or step <= alarm["step"])
    now = looks[-1][1] if alarm is None else _score(run, alarm["step"])
    return {
        "alarm_step": alarm and alarm["step"],
        "detector": alarm and alarm["event"].removeprefix("guard/"),
        "best": best,
        "at_alarm": now,
        "lost_at_alarm": 1 - now / best,
        "lost_unguarded": 1 - looks[-1][1] / max(score for _, score in looks),
        "looks": looks,
    }


def _rewound(run: Recipe) -> dict[str, Any]:
    """What a run that rewinds ends with, against the best it ever had."""
    folder = run.run.folder
    rows = metrics.read(folder / metrics.FILE)
    taken_back = [metrics.read(path) for path in sorted((folder / rewinds.FOLDER).glob(f"*/{metrics.FILE}"))]
    best = max(score for history in (rows, *taken_back) for _, score in metrics.series(history, "val/accuracy"))
    finished = rows[-1]["kind"] == "val" and rows[-1]["step"] == run.train.steps
    among = checkpoint.steps(folder)
    best_kept = metrics.best_step(rows, among=among)
    handed_over = among[-1] if finished or best_kept is None else best_kept
    end = dict(metrics.series(rows, "val/accuracy"))[handed_over]
    return {
        "rewinds": len(taken_back),
        "finished": finished,
        "end": end,
        "lost_at_end": 1 - end / best,
        "ended_well": 1 - end / best < ENDS_WELL,
    }


def _score(run: Recipe, step: int) -> float:
    """``val/accuracy`` of the weights after a step."""
    policy = models.load(str(checkpoint.folder(run.run.folder, step)), dtype=run.model.dtype)
    cases = export.read_cases(Path(str(run.data.folder)), "val")[: run.eval.cases]
    params = SamplingParams(run.rollout.max_tokens, temperature=0.0)
    groups = rollout(policy, cases, prompts.load_template(run.prompt.template), reward_of(run), 1, params)
    return math.fsum(group.rewards[0].parts["accuracy"] >= 1 for group in groups) / len(groups)


# --- healthy runs


def watch_healthy(shelf: Shelf, number: int, seed: int, steps: int) -> dict[str, Any]:
    """What the guard says of a sound run."""
    label = f"healthy-{number}-{seed}"
    return shelf.once(label, partial(_watch_healthy, shelf.folder, label, number, seed, steps))


def _collapsed(watched: Mapping[str, Any]) -> bool:
    """Whether a run that nothing was done to lost its score all the same: an alarm in it is not false."""
    scores: list[float] = [score for _, score in watched["looks"]]
    return 1 - scores[-1] / max(scores) > IN_TIME


def _watch_healthy(work: Path, label: str, number: int, seed: int, steps: int) -> dict[str, Any]:
    run = _run(work, label, seed, Trouble(), f"train.steps={steps}", "eval.every=5", *HEALTHY[number])
    rows = metrics.read(run.run.folder / metrics.FILE)
    events = [f"{row['step']}: {row['event']}: {row['message']}" for row in rows if row["kind"] == "event"]
    return {
        "recipe": " ".join(HEALTHY[number]),
        "seed": seed,
        "steps": steps,
        "collapses": [event for event in events if event.split(": ")[1] in _COLLAPSES],
        "warnings": [event for event in events if event.split(": ")[1] not in _COLLAPSES],
        "looks": metrics.series(rows, "val/accuracy"),
    }


# --- one run


def _run(work: Path, label: str, seed: int, trouble: Trouble, *overrides: str) -> Recipe:
    """Train under a trouble; the run's recipe, whose folder is read next."""
    inputs = make_inputs(work, seed)
    sound = recipe(inputs, work / "runs" / label, seed, *overrides)
    run = sound.model_copy(update={"train": sound.train.model_copy(update=dict(trouble.train))})
    shutil.rmtree(run.run.folder, ignore_errors=True)
    clock = _Clock(console=Console(quiet=True))
    train(
        run, lambda opened: _paying(reward_of(run, opened), trouble.pays), _injector(clock, trouble.nan_in), view=clock
    )
    return run


def _paying(sound: RewardFn, pays: Payment | None) -> RewardFn:
    def reward(text: str, case: Case) -> Reward:
        found = sound(text, case)
        return found if pays is None else replace(found, score=pays(found, text, case))

    return reward


@dataclass(slots=True)
class _Clock(View):
    """Counts the steps that are made, rewound ones too."""

    made: int = 0

    def step(self, step: int, total: int, metrics: Mapping[str, float]) -> None:
        self.made += 1


def _injector(clock: _Clock, nan_in: range) -> Callable[[Policy, int, list[Case]], None]:
    """Called with the policy before the first step: puts a NaN into a gradient of some steps."""

    def spoil(gradient: torch.Tensor) -> torch.Tensor:
        return gradient * math.nan if clock.made + 1 in nan_in else gradient

    def prepare(policy: Policy, step: int, cases: list[Case]) -> None:
        if step == 0 and nan_in:
            next(policy.model.parameters()).register_hook(spoil)

    return prepare


def _row(found: Mapping[str, Any]) -> dict[str, Any]:
    keys = [
        "trouble",
        "seed",
        "detector",
        "alarm_step",
        "best",
        "lost_at_alarm",
        "lost_unguarded",
        "rewinds",
        "lost_at_end",
    ]
    return {key.replace("_", " "): found[key] for key in keys}


if __name__ == "__main__":
    main()
