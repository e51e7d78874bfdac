"""What the loop does when the guard speaks: it tells, stops, or goes back."""

from __future__ import annotations

import signal
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from benchmarks.toy_runs import rows, start, toy_recipe
from rich.console import Console
from small_runs import finish, kill_on

from diagnosis_zero.engine.model import Policy
from diagnosis_zero.recipe import Recipe
from diagnosis_zero.train import checkpoint
from diagnosis_zero.train.loop import train
from diagnosis_zero.types import Case, Reward, RewardFn

VALIDATED, A_STEP = 3, 16
"""Rewards asked for in a look (at the three validation cases), and in a step."""


class Mixing:
    """A reward whose part ``language`` plunges at step 4, before which the run has looked so often: the guard takes it
    for mixed scripts, once."""

    def __init__(self, bad_step: int = 4, looks: int = 2) -> None:
        self.asked = 0
        self.first = VALIDATED * looks + A_STEP * (bad_step - 1)

    def __call__(self, think_opened: bool) -> RewardFn:
        return self.reward

    def reward(self, text: str, case: Case) -> Reward:
        bad = self.first <= self.asked < self.first + A_STEP
        self.asked += 1
        score = float(sum(map(ord, text)) % 3)
        return Reward(score, {"accuracy": 0.0, "language": 0.0 if bad else 1.0})


class Rising(Mixing):
    """The same, and right where it is asked after that step: its look is the best of the run."""

    def reward(self, text: str, case: Case) -> Reward:
        found = super().reward(text, case)
        right = self.asked > self.first + A_STEP
        return replace(found, parts={**found.parts, "accuracy": float(right)})


def guarded(inputs: Path, runs: Path, on_collapse: str, *overrides: str) -> Recipe:
    sets = [f'guard.on_collapse="{on_collapse}"', "train.steps=6", "eval.every=100", "checkpoint.every=2"]
    return toy_recipe(inputs, runs, *sets, "train.warmup=0", "train.lr=1e-4", *overrides)


def run(recipe: Recipe, reward: Mixing | None = None, *, resume: bool = False) -> list[int]:
    """Train; the steps at which the test cases were to be evaluated."""
    evaluated: list[int] = []

    def evaluate(policy: Policy, step: int, cases: list[Case]) -> None:
        evaluated.append(step)

    train(recipe, reward or Mixing(), evaluate, resume=resume)
    return evaluated


def trained(recipe: Recipe) -> list[int]:
    return [row["step"] for row in rows(recipe) if row["kind"] == "train"]


def events(recipe: Recipe) -> list[tuple[int, str]]:
    return [(row["step"], row["event"]) for row in rows(recipe) if row["kind"] == "event"]


def cases_of(folder: Path, step: int) -> list[str]:
    found: list[str] = pq.read_table(folder / "rollouts" / f"step-{step:06d}.parquet").column("case_id").to_pylist()
    return found


def test_a_warning_is_told_and_the_run_goes_on(toy_inputs: Path, tmp_path: Path) -> None:
    recipe = guarded(toy_inputs, tmp_path, "warn")
    assert run(recipe) == [0, 6]
    assert trained(recipe) == [1, 2, 3, 4, 5, 6]
    assert events(recipe) == [(4, "guard/script-mixed")]


def test_a_stop_keeps_the_checkpoints_before_the_collapse(
    toy_inputs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = guarded(toy_inputs, tmp_path, "stop")
    assert run(recipe) == [0]
    assert trained(recipe) == [1, 2, 3, 4]
    assert checkpoint.steps(recipe.run.folder) == [0, 2]
    assert "stopped by the guard after step 4: reward/language" in capsys.readouterr().out


def test_a_rewind_goes_back_slower_and_by_another_way(toy_inputs: Path, tmp_path: Path) -> None:
    """To the checkpoint of the best validation, that of step 0; what is taken back is kept."""
    recipe = guarded(toy_inputs, tmp_path, "rewind")
    folder = recipe.run.folder
    assert run(recipe) == [0, 6]
    assert trained(recipe) == [1, 2, 3, 4, 5, 6]
    assert events(recipe) == [(0, "rewind")]
    lines = [row for row in rows(recipe) if row["kind"] == "train"]
    assert [row["policy/lr"] for row in lines] == [5e-5] * 6
    assert lines[0]["policy/kl"] == pytest.approx(0, abs=1e-9)  # the weights of step 0 again
    (kept,) = (folder / "rewinds").iterdir()
    assert kept.name == "1-at-step-4"
    assert sorted(path.name for path in (kept / "rollouts").iterdir()) == [
        f"step-{i:06d}.parquet" for i in (1, 2, 3, 4)
    ]
    assert [path.name for path in (kept / "checkpoints").iterdir()] == ["step-000002"]
    assert (kept / "metrics.jsonl").read_text(encoding="utf-8").count("guard/script-mixed") == 1
    assert cases_of(folder, 1) != cases_of(kept, 1)


def test_the_best_look_is_not_given_up_where_the_alarm_comes_with_it(toy_inputs: Path, tmp_path: Path) -> None:
    stopped = guarded(toy_inputs, tmp_path / "stop", "stop", "eval.every=4", "checkpoint.every=3")
    run(stopped, Rising())
    assert checkpoint.steps(stopped.run.folder) == [0, 3, 4]
    rewound = guarded(toy_inputs, tmp_path / "rewind", "rewind", "eval.every=4", "checkpoint.every=3")
    run(rewound, Rising())
    assert events(rewound) == [(4, "guard/script-mixed"), (4, "rewind")]
    assert [row["policy/lr"] for row in rows(rewound) if row["kind"] == "train"] == [1e-4] * 4 + [5e-5] * 2
    assert [path.name for path in (rewound.run.folder / "rewinds").iterdir()] == ["1-at-step-4"]


def test_a_resumed_run_remembers_its_rewinds(toy_inputs: Path, tmp_path: Path) -> None:
    recipe = guarded(toy_inputs, tmp_path, "rewind")
    run(recipe)
    longer = guarded(toy_inputs, tmp_path, "rewind", "train.steps=7")
    assert run(longer, Mixing(bad_step=100), resume=True) == [7]
    assert rows(longer)[-1]["kind"] == "val"
    assert [row["policy/lr"] for row in rows(longer) if row["kind"] == "train"] == [5e-5] * 7


def rewind_and_die(recipe: Recipe, console: Console, *, event: str, path: str) -> None:
    kill_on(event, path)
    run(recipe, Mixing(looks=4))


@pytest.mark.parametrize(
    ("event", "path"),
    [
        ("os.rename", "1-at-step-4/checkpoints/step-000002"),  # that of step 3 is away already
        ("os.rename", "1-at-step-4/rollouts/step-000002"),
        ("os.rename", "1-at-step-4/rewind.json"),  # all is done but the last
        ("open", "1-at-step-4/.pending.json"),  # nothing is done
    ],
)
def test_a_kill_in_the_midst_of_a_rewind_leaves_no_half_of_it(
    toy_inputs: Path, tmp_path: Path, event: str, path: str
) -> None:
    """Step 3 or 2 would else be taken for the newest to go on from, with a lower rate and no word of why."""
    recipe = guarded(toy_inputs, tmp_path, "rewind", "checkpoint.every=1")
    finish(start(rewind_and_die, recipe, event=event, path=path), recipe, -signal.SIGKILL)
    assert run(recipe, Mixing(bad_step=100), resume=True) == ([0, 6] if "pending" not in path else [6])
    done = "pending" not in path
    assert events(recipe) == ([(0, "rewind")] if done else [])
    assert trained(recipe) == [1, 2, 3, 4, 5, 6]
    assert {row["policy/lr"] for row in rows(recipe) if row["kind"] == "train"} == {5e-5 if done else 1e-4}
    kept = recipe.run.folder / "rewinds" / "1-at-step-4"
    assert kept.exists() == done
    if done:
        assert [path.name for path in sorted((kept / "checkpoints").iterdir())] == [f"step-{i:06d}" for i in (1, 2, 3)]
        assert '"step": 4' in (kept / "metrics.jsonl").read_text(encoding="utf-8")


def test_a_checkpoint_that_rotted_is_not_gone_back_to(
    toy_inputs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """That of step 3 has the best look, and a flipped bit."""

    class RightOnce(Mixing):
        def reward(self, text: str, case: Case) -> Reward:
            if self.asked == self.first:
                flip_a_bit(checkpoint.folder(recipe.run.folder, 3) / checkpoint.STATE)
            found = super().reward(text, case)
            right = self.first - VALIDATED < self.asked <= self.first
            return replace(found, parts={**found.parts, "accuracy": float(right)})

    recipe = guarded(toy_inputs, tmp_path, "rewind", "checkpoint.every=3")
    run(recipe, RightOnce())
    said = capsys.readouterr().out
    assert f"step-000003: {checkpoint.STATE} is not as it was written; not gone back to" in said
    assert "rewind from step 4 back to step 0" in said
    assert trained(recipe) == [1, 2, 3, 4, 5, 6]


def flip_a_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def test_rewinds_are_counted(toy_inputs: Path, tmp_path: Path) -> None:
    recipe = guarded(toy_inputs, tmp_path, "rewind", "guard.rewinds=0")
    assert run(recipe) == [0]
    assert trained(recipe) == [1, 2, 3, 4]
