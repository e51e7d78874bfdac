"""A run that was killed and resumed gives the numbers and the weights of one that was not."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import pytest
from benchmarks.toy_runs import rows, run_whole, start, toy_recipe, without_times
from safetensors.torch import load_file
from small_runs import finish, run_killed, run_signalled

from diagnosis_zero.experiment import evaluation_folder
from diagnosis_zero.recipe import Recipe
from diagnosis_zero.train import checkpoint

STEPS = 20


@pytest.fixture(scope="module")
def uninterrupted(toy_inputs: Path, tmp_path_factory: pytest.TempPathFactory) -> Recipe:
    recipe = toy_recipe(toy_inputs, tmp_path_factory.mktemp("whole"))
    finish(start(run_whole, recipe), recipe)
    return recipe


def metrics(recipe: Recipe, steps: int) -> list[dict[str, Any]]:
    return [row for row in without_times(recipe) if row["step"] <= steps]


def assert_as_uninterrupted(run: Recipe, uninterrupted: Recipe, steps: int) -> None:
    """The same first ``steps`` steps, to the last bit: metrics, weights, answers; and every rollout is there."""
    assert metrics(run, STEPS) == metrics(uninterrupted, steps)
    weights = (load_file(checkpoint.folder(r.run.folder, steps) / "model.safetensors") for r in (run, uninterrupted))
    assert_equal(*weights)
    answers = (evaluation_folder(r.run.folder, 0) / "answers.jsonl" for r in (run, uninterrupted))
    assert len({path.read_bytes() for path in answers}) == 1
    rollouts = sorted(path.name for path in (run.run.folder / "rollouts").glob("step-*"))
    assert rollouts == [f"step-{step:06d}.parquet" for step in range(1, steps + 1)]


def assert_equal(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert one.keys() == other.keys()
    for name, tensor in one.items():
        assert tensor.equal(other[name]), name


def moments(recipe: Recipe, step: int) -> dict[str, Any]:
    adam = checkpoint.load_state(checkpoint.folder(recipe.run.folder, step))["optimizer"]["adam"]
    return {f"{i} {name}": tensor for i, state in adam["state"].items() for name, tensor in state.items()}


def test_the_run_does_something_that_resuming_could_lose(uninterrupted: Recipe) -> None:
    """Negative control: steps differ, gradients flow, and the KL to the model of step 0 is at work."""
    trained = [row for row in rows(uninterrupted) if row["kind"] == "train"]
    assert [row["step"] for row in trained] == list(range(1, STEPS + 1))
    assert len({row["policy/grad_norm"] for row in trained}) == STEPS
    assert sum(row["groups/zero_variance"] < 1 for row in trained) > STEPS / 2
    assert trained[0]["policy/kl"] == pytest.approx(0, abs=1e-9)
    assert trained[-1]["policy/kl"] > 1e-4


def test_killed_at_step_11_and_resumed(toy_inputs: Path, tmp_path: Path, uninterrupted: Recipe) -> None:
    """The last checkpoint is that of step 8. Steps 9 to 11 are written again, with the same numbers."""
    recipe = toy_recipe(toy_inputs, tmp_path)
    finish(start(run_signalled, recipe, at=11), recipe, -signal.SIGKILL)
    assert rows(recipe)[-1]["step"] == 11
    assert checkpoint.steps(recipe.run.folder)[-1] == 8
    printed = finish(start(run_whole, recipe, resume=True), recipe)
    assert f"resumed from {checkpoint.folder(recipe.run.folder, 8)}" in printed
    assert_as_uninterrupted(recipe, uninterrupted, STEPS)
    assert_equal(moments(recipe, STEPS), moments(uninterrupted, STEPS))
    answers = (evaluation_folder(r.run.folder, STEPS) / "answers.jsonl" for r in (recipe, uninterrupted))
    assert len({path.read_bytes() for path in answers}) == 1


KILLED = {
    "before the first checkpoint": ("os.mkdir", ".step-000000.partial", [], 0),
    "in the first checkpoint": ("open", ".step-000000.partial/trainer_state.pt", [], 0),
    "before the first answers": ("open", "evaluations/step-000000/answers.jsonl", [0], 1),
    "after the first answers": ("open", "evaluations/step-000000/.verdicts.jsonl", [0], 1),
    "in step 3, the last checkpoint being that of step 0": ("os.rename", "rollouts/step-000003.parquet", [0], 3),
    "in the checkpoint of step 4": ("open", ".step-000004.partial/trainer_state.pt", [0], 6),
}
"""What the process dies at (event, file), the checkpoints that are there then, and the lines of metrics."""


@pytest.mark.parametrize("when", KILLED)
def test_killed_early_and_resumed(when: str, toy_inputs: Path, tmp_path: Path, uninterrupted: Recipe) -> None:
    event, path, checkpoints, lines = KILLED[when]
    recipe = toy_recipe(toy_inputs, tmp_path, "train.steps=4")
    finish(start(run_killed, recipe, event=event, path=path), recipe, -signal.SIGKILL)
    assert checkpoint.steps(recipe.run.folder) == checkpoints
    assert len(rows(recipe)) == lines
    finish(start(run_whole, recipe, resume=True), recipe)
    assert_as_uninterrupted(recipe, uninterrupted, 4)


def test_a_finished_run_resumed_is_left_as_it_is_and_can_be_made_longer(toy_inputs: Path, tmp_path: Path) -> None:
    recipe = toy_recipe(toy_inputs, tmp_path, "train.steps=2")
    finish(start(run_whole, recipe), recipe)
    before = rows(recipe)
    finish(start(run_whole, recipe, resume=True), recipe)
    assert rows(recipe) == before
    longer = toy_recipe(toy_inputs, tmp_path, "train.steps=3")
    finish(start(run_whole, longer, resume=True), longer)
    assert rows(longer)[: len(before)] == before
    assert rows(longer)[-1]["step"] == 3
