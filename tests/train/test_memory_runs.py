"""Whole runs that need less memory: with LoRA, and with moments of 8 bits. Killed and resumed they give the same."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from benchmarks.toy_runs import rows, run_whole, start, toy_recipe, without_times
from safetensors.torch import load_file
from small_runs import finish, run_signalled
from transformers import AutoModelForCausalLM

from diagnosis_zero.cli.export import export
from diagnosis_zero.engine import lora
from diagnosis_zero.engine.generate import encode_chat, load_generator
from diagnosis_zero.evaluate.target import targets
from diagnosis_zero.recipe import Recipe
from diagnosis_zero.train import checkpoint

STEPS = 8
RUNS = {
    "lora": ("lora.rank=4", "lora.alpha=8.0", "train.lr=1e-2", "model.gradient_checkpointing=true"),
    "8 bits": ("train.optimizer=adamw8bit",),
}


@pytest.fixture(scope="module")
def runs(toy_inputs: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Recipe]:
    """Uninterrupted ones, side by side."""
    recipes = {kind: recipe_of(kind, toy_inputs, tmp_path_factory.mktemp("whole")) for kind in RUNS}
    processes = {kind: start(run_whole, recipe) for kind, recipe in recipes.items()}
    for kind, process in processes.items():
        finish(process, recipes[kind])
    return recipes


def recipe_of(kind: str, inputs: Path, folder: Path) -> Recipe:
    return toy_recipe(inputs, folder, f"train.steps={STEPS}", *RUNS[kind])


@pytest.fixture
def lora_run(runs: dict[str, Recipe]) -> Recipe:
    return runs["lora"]


def at(recipe: Recipe, step: int) -> Path:
    return checkpoint.folder(recipe.run.folder, step)


def state(recipe: Recipe) -> dict[str, Any]:
    return flat(checkpoint.load_state(at(recipe, STEPS)))


def flat(tree: Any, name: str = "") -> dict[str, Any]:
    if isinstance(tree, dict | list | tuple):
        parts = tree.items() if isinstance(tree, dict) else enumerate(tree)
        return {key: value for part, sub in parts for key, value in flat(sub, f"{name}/{part}").items()}
    return {name: tree.tolist() if isinstance(tree, torch.Tensor) else tree}


@pytest.mark.parametrize("kind", RUNS)
def test_killed_and_resumed_it_gives_the_same_to_the_last_bit(
    kind: str, runs: dict[str, Recipe], toy_inputs: Path, tmp_path: Path
) -> None:
    recipe = recipe_of(kind, toy_inputs, tmp_path)
    finish(start(run_signalled, recipe, at=6), recipe, -signal.SIGKILL)
    assert checkpoint.steps(recipe.run.folder)[-1] == 4
    finish(start(run_whole, recipe, resume=True), recipe)
    assert without_times(recipe) == without_times(runs[kind])
    assert state(recipe) == state(runs[kind])


@pytest.mark.parametrize("kind", RUNS)
def test_the_policy_moves_away_from_its_reference(kind: str, runs: dict[str, Recipe]) -> None:
    trained = [row for row in rows(runs[kind]) if row["kind"] == "train"]
    assert trained[0]["policy/kl"] == pytest.approx(0, abs=1e-9)
    assert trained[-1]["policy/kl"] > 1e-5
    assert all(row["policy/mismatch_kl"] < 1e-6 for row in trained)


def test_step_0_is_the_model_and_later_steps_are_thin(lora_run: Recipe, toy_inputs: Path) -> None:
    given = load_file(toy_inputs / "model" / "model.safetensors")
    first = load_file(at(lora_run, 0) / "model.safetensors")
    assert first.keys() == given.keys()
    assert all(torch.equal(first[name], given[name]) for name in given)
    assert not (at(lora_run, STEPS) / "model.safetensors").exists()
    masters = checkpoint.load_state(at(lora_run, STEPS))["optimizer"]["masters"]
    assert all("lora_" in name for name in masters)


def test_a_checkpoint_is_loaded_as_training_left_it(lora_run: Recipe) -> None:
    """What ``dz evaluate RUN`` does; the adapter's numbers are the trainer's."""
    model = load_generator(targets(str(lora_run.run.folder))[0].model, dtype="float32").policy.model
    masters = checkpoint.load_state(at(lora_run, STEPS))["optimizer"]["masters"]
    found = {name: parameter for name, parameter in model.named_parameters() if "lora_" in name}
    assert found.keys() == masters.keys()
    assert all(torch.equal(found[name], masters[name]) for name in masters)


def test_exported_it_is_a_plain_model_with_the_adapter_in_it(lora_run: Recipe, tmp_path: Path) -> None:
    out = tmp_path / "exported"
    export(lora_run.run.folder, out, "last")
    generator = load_generator(str(at(lora_run, STEPS)), dtype="float32")
    ids = torch.tensor([encode_chat(generator.policy.tokenizer, [{"role": "user", "content": "stiff joints"}])])
    merged = AutoModelForCausalLM.from_pretrained(out, dtype=torch.float32).eval()
    before = AutoModelForCausalLM.from_pretrained(at(lora_run, 0), dtype=torch.float32).eval()
    trained = generator.policy.model
    trained.set_attn_implementation("sdpa")
    with torch.no_grad():
        expected, got, old = (model(input_ids=ids).logits for model in (trained, merged, before))
    torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-4)
    assert (got - old).abs().max() > 1e-3
    assert not lora.is_adapted(merged)


def test_the_report_and_the_metrics_are_a_runs_own(lora_run: Recipe) -> None:
    assert (lora_run.run.folder / "report.html").is_file()
    answers = lora_run.run.folder / "evaluations" / f"step-{STEPS:06d}" / "answers.jsonl"
    assert json.loads(answers.read_text(encoding="utf-8").splitlines()[0])


def test_resumed_without_its_adapter_it_would_be_another_experiment(lora_run: Recipe, toy_inputs: Path) -> None:
    plain = toy_recipe(toy_inputs, Path(lora_run.run.dir), f"train.steps={STEPS}")
    printed = finish(start(run_whole, plain, resume=True), plain, 1)
    assert "another experiment" in printed
    assert "lora.rank (was 4, now None)" in printed
