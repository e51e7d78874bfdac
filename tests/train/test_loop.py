"""Whole runs: what they leave behind, what they refuse, and how they are stopped."""

from __future__ import annotations

import shutil
import signal
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import torch
from benchmarks.toy_runs import RECIPE, rows, run_whole, start, toy_recipe, without_times
from small_runs import finish, run_signalled
from transformers import AutoModelForCausalLM, AutoTokenizer

from diagnosis_zero import config, experiment
from diagnosis_zero.cases import export
from diagnosis_zero.engine.model import Policy
from diagnosis_zero.errors import InputError
from diagnosis_zero.recipe import Recipe
from diagnosis_zero.records import read_json
from diagnosis_zero.train import checkpoint
from diagnosis_zero.train.loop import learning_rate, train, watches_distance
from diagnosis_zero.types import Case, Reward, RewardFn

Called = list[tuple[int, list[str]]]


def run_here(recipe: Recipe, **options: Any) -> Called:
    """Train in this process; the (step, ids of the test cases) that were to be evaluated."""
    called: Called = []

    def evaluate(policy: Policy, step: int, cases: list[Case]) -> None:
        called.append((step, [case.id for case in cases]))

    train(recipe, partial(experiment.reward_of, recipe), evaluate, **options)
    return called


# --- a run on vignettes, from nothing

VIGNETTES = """
[model]
id = "tiny"
[data]
max_prompt_tokens = 256
[data.vignettes]
diseases = 4
cases = 40
[prompt]
template = "short"
[reward]
method = "sequence"
[rollout]
prompts = 2
group = 3
max_tokens = 12
[train]
steps = 3
lr = 1e-4
kl_coefficient = 0.01
micro_batch_tokens = 1024
[warmstart]
batches = 3
batch_size = 4
[eval]
every = 2
cases = 3
samples = 2
[checkpoint]
every = 2
[run]
name = "vignettes"
dir = "{runs}"
"""


@pytest.fixture(scope="module")
def vignettes(tmp_path_factory: pytest.TempPathFactory) -> tuple[Recipe, Called]:
    runs = tmp_path_factory.mktemp("runs")
    recipe = vignettes_recipe(runs)
    return recipe, run_here(recipe)


def vignettes_recipe(runs: Path, *overrides: str) -> Recipe:
    path = runs / "recipe.toml"
    path.write_text(VIGNETTES.format(runs=runs), encoding="utf-8")
    return config.load(path, overrides)


def test_the_folder_is_that_of_the_design(vignettes: tuple[Recipe, Called]) -> None:
    recipe, _ = vignettes
    folder = recipe.run.folder
    assert {path.name for path in folder.iterdir()} == {
        "manifest.json",
        "config.toml",
        "metrics.jsonl",
        "data",
        "rollouts",
        "checkpoints",
    }
    assert config.load(folder / "config.toml") == recipe
    assert [path.name for path in sorted((folder / "rollouts").iterdir())] == [
        f"step-{step:06d}.parquet" for step in (1, 2, 3)
    ]
    assert checkpoint.steps(folder) == [0, 2, 3]
    manifest = read_json(folder / "manifest.json")
    assert manifest["model"] == "tiny"
    assert manifest["dtype"] == "float32"
    assert sum(manifest["cases"].values()) == 40
    assert {"git", "versions", "machine", "command", "seed", "threads", "parameters"} <= manifest.keys()


TRAIN_METRICS = {
    "reward/mean",
    "reward/std",
    "reward/accuracy",
    "reward/format",
    "length/mean",
    "length/max",
    "length/truncated",
    "format/well_formed",
    "groups/zero_variance",
    "policy/loss",
    "policy/entropy",
    "policy/kl",
    "policy/clip_fraction",
    "policy/grad_norm",
    "policy/lr",
    "policy/mismatch_kl",
    "time/rollout",
    "time/update",
    "time/step",
    "tokens/generated",
}


def test_every_step_and_every_validation_has_its_line(vignettes: tuple[Recipe, Called]) -> None:
    recipe, _ = vignettes
    found = rows(recipe)
    assert [(row["step"], row["kind"]) for row in found] == [
        (0, "val"),
        (1, "train"),
        (2, "train"),
        (2, "val"),
        (3, "train"),
        (3, "val"),
    ]
    for row in found:
        wanted = TRAIN_METRICS if row["kind"] == "train" else {"val/accuracy", "val/reward", "val/sampled_accuracy"}
        assert wanted <= row.keys()
    first = found[1]
    assert first["policy/kl"] == pytest.approx(0, abs=1e-8)  # the reference is the model of step 0
    assert first["policy/mismatch_kl"] < 1e-6
    assert first["tokens/generated"] <= 2 * 3 * 12


def test_test_cases_are_for_before_and_after_alone(vignettes: tuple[Recipe, Called]) -> None:
    recipe, called = vignettes
    folder = recipe.run.folder
    test = [case.id for case in export.read_cases(folder / "data", "test")]
    assert called == [(0, test), (3, test)]
    trained = {row["case_id"] for path in (folder / "rollouts").iterdir() for row in pq.read_table(path).to_pylist()}
    assert trained <= {case.id for case in export.read_cases(folder / "data", "train")}


def test_a_rollout_file_holds_the_step(vignettes: tuple[Recipe, Called]) -> None:
    recipe, _ = vignettes
    kept = pq.read_table(recipe.run.folder / "rollouts" / "step-000002.parquet").to_pylist()
    (line,) = [row for row in rows(recipe) if row["step"] == 2 and row["kind"] == "train"]
    assert len(kept) == 6
    assert sum(row["tokens"] for row in kept) == line["tokens/generated"]
    assert sum(row["score"] for row in kept) / 6 == pytest.approx(line["reward/mean"])


def test_a_checkpoint_is_a_plain_hugging_face_folder(vignettes: tuple[Recipe, Called]) -> None:
    recipe, _ = vignettes
    folder = checkpoint.folder(recipe.run.folder, 3)
    model = AutoModelForCausalLM.from_pretrained(folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    ids = tokenizer.apply_chat_template([{"role": "user", "content": "a rash"}], return_tensors="pt", return_dict=True)
    written = model.generate(**ids, max_new_tokens=3, do_sample=False, pad_token_id=tokenizer.pad_token_id)
    assert written.shape[1] <= ids["input_ids"].shape[1] + 3


def test_a_tiny_model_resumed_reads_and_writes_as_before(vignettes: tuple[Recipe, Called], tmp_path: Path) -> None:
    """Its tokenizer, made by the project, is read back from the checkpoint of step 2; step 3 is done again."""
    recipe, _ = vignettes
    again = tmp_path / recipe.run.name
    shutil.copytree(recipe.run.folder, again)
    shutil.rmtree(checkpoint.folder(again, 3))
    moved = config.load(again / "config.toml", [f'run.dir="{tmp_path}"'])
    assert [step for step, _ in run_here(moved, resume=True)] == [3]
    assert without_times(moved) == without_times(recipe)


def test_a_prompt_over_the_limit_is_left_out_of_the_run(toy_inputs: Path, tmp_path: Path) -> None:
    recipe = toy_recipe(toy_inputs, tmp_path, "data.max_prompt_tokens=20", "train.steps=1", "eval.cases=1")
    with pytest.raises(InputError, match="no training case has a prompt of at most 20 tokens"):
        run_here(recipe)


# --- refusals


@pytest.fixture(scope="module")
def short_run(toy_inputs: Path, tmp_path_factory: pytest.TempPathFactory) -> Recipe:
    recipe = toy_recipe(toy_inputs, tmp_path_factory.mktemp("short"), "train.steps=1", "eval.cases=2")
    run_here(recipe)
    return recipe


def changed(recipe: Recipe, *overrides: str) -> Recipe:
    return config.load(recipe.run.folder / "config.toml", overrides)


def test_a_folder_that_is_taken_is_refused(short_run: Recipe) -> None:
    before = (short_run.run.folder / "metrics.jsonl").read_bytes()
    with pytest.raises(InputError, match=r"a run of this name exists.*--resume.*run\.name"):
        run_here(short_run)
    assert (short_run.run.folder / "metrics.jsonl").read_bytes() == before


def test_a_start_that_came_to_nothing_does_not_take_the_name(toy_inputs: Path, tmp_path: Path) -> None:
    """The recipe named a model that is not there; mended, it starts."""
    wrong = toy_recipe(toy_inputs, tmp_path, 'model.id="nowhere/at/all"')
    with pytest.raises(InputError, match="cannot load model"):
        run_here(wrong)
    right = toy_recipe(toy_inputs, tmp_path, "train.steps=1", "eval.cases=1")
    run_here(right)
    assert config.load(right.run.folder / "config.toml") == right


def test_what_is_no_run_is_never_touched(toy_inputs: Path, tmp_path: Path) -> None:
    recipe = toy_recipe(toy_inputs, tmp_path)
    (recipe.run.folder / "data").mkdir(parents=True)
    with pytest.raises(InputError, match=r"something else of that name.*run\.name"):
        run_here(recipe)
    assert (recipe.run.folder / "data").is_dir()


def test_nothing_to_resume(toy_inputs: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no run to resume.*Leave out --resume"):
        run_here(toy_recipe(toy_inputs, tmp_path), resume=True)


def test_another_experiment_is_not_resumed_unless_forced(short_run: Recipe) -> None:
    other = changed(short_run, "run.seed=7", "train.steps=2")
    with pytest.raises(InputError, match=r"another experiment: run\.seed \(was 0, now 7\).*--force"):
        run_here(other, resume=True)
    assert config.load(short_run.run.folder / "config.toml") == short_run
    assert [step for step, _ in run_here(other, resume=True, force=True)] == [2]
    assert config.load(short_run.run.folder / "config.toml") == other
    assert [row["step"] for row in rows(other) if row["kind"] == "train"] == [1, 2]


def test_other_content_of_the_same_files_is_another_experiment(toy_inputs: Path, tmp_path: Path) -> None:
    inputs = shutil.copytree(toy_inputs, tmp_path / "inputs")
    recipe = toy_recipe(inputs, tmp_path, "train.steps=1", "eval.cases=1")
    run_here(recipe)
    cases = inputs / "data" / "cases.jsonl"
    cases.write_text(cases.read_text(encoding="utf-8").replace("Patient", "Person", 1), encoding="utf-8")
    longer = changed(recipe, "train.steps=2")
    with pytest.raises(InputError, match=r"another experiment: the file of data\.folder has changed.*--force"):
        run_here(longer, resume=True)
    assert [step for step, _ in run_here(longer, resume=True, force=True)] == [2]
    assert [step for step, _ in run_here(longer, resume=True)] == [2]  # what was insisted on is the run's now


def test_forced_onto_other_vignettes_a_run_makes_them(tmp_path: Path) -> None:
    recipe = vignettes_recipe(tmp_path, "train.steps=1")
    run_here(recipe)
    before = export.read_cases(recipe.run.folder / "data")
    run_here(changed(recipe, "data.vignettes.diseases=5", "train.steps=2"), resume=True, force=True)
    assert len({case.names for case in before}) == 4
    assert len({case.names for case in export.read_cases(recipe.run.folder / "data")}) == 5


def test_a_run_does_not_go_on_from_a_reference_that_rotted(toy_inputs: Path, tmp_path: Path) -> None:
    recipe = toy_recipe(toy_inputs, tmp_path, "train.steps=1", "eval.cases=1")
    run_here(recipe)
    weights = checkpoint.folder(recipe.run.folder, 0) / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    with pytest.raises(InputError, match=r"model\.safetensors is not as it was written, and the run rests on it"):
        run_here(changed(recipe, "train.steps=2"), resume=True)


def test_hyperparameters_may_change_on_resume(toy_inputs: Path, tmp_path: Path) -> None:
    recipe = toy_recipe(toy_inputs, tmp_path, "train.steps=1", "train.warmup=0", "eval.cases=1")
    run_here(recipe)
    run_here(changed(recipe, "train.lr=1e-5", "train.steps=2"), resume=True)
    assert [row["policy/lr"] for row in rows(recipe) if row["kind"] == "train"] == [1e-3, 1e-5]


def test_fewer_steps_than_are_done_evaluate_the_policy_under_its_own_step(toy_inputs: Path, tmp_path: Path) -> None:
    recipe = toy_recipe(toy_inputs, tmp_path, "train.steps=2", "eval.cases=1")
    run_here(recipe)
    assert [step for step, _ in run_here(changed(recipe, "train.steps=1"), resume=True)] == [2]


# --- stopping


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_finishes_the_step_and_saves(number: int, toy_inputs: Path, tmp_path: Path) -> None:
    recipe = toy_recipe(toy_inputs, tmp_path, "train.steps=8")
    printed = finish(start(run_signalled, recipe, at=3, number=number), recipe)
    assert "stopped after step 3, saved: go on with --resume" in printed
    assert [row["step"] for row in rows(recipe) if row["kind"] == "train"] == [1, 2, 3]
    assert checkpoint.latest(recipe.run.folder, print) == checkpoint.folder(recipe.run.folder, 3)
    assert (recipe.run.folder / "report.html").is_file()
    assert not experiment.evaluation_folder(recipe.run.folder, 3).exists()


def test_a_stopped_run_goes_on_where_it_was(toy_inputs: Path, tmp_path: Path) -> None:
    stopped = toy_recipe(toy_inputs, tmp_path / "stopped", "train.steps=4")
    finish(start(run_signalled, stopped, at=2, number=signal.SIGINT), stopped)
    finish(start(run_whole, stopped, resume=True), stopped)
    whole = toy_recipe(toy_inputs, tmp_path / "whole", "train.steps=4")
    finish(start(run_whole, whole), whole)
    assert without_times(stopped) == without_times(whole)


def test_every_regular_checkpoint_has_a_score(toy_inputs: Path, tmp_path: Path) -> None:
    """Else the best of them could not be told, and a rewind would go back to step 0."""
    recipe = toy_recipe(toy_inputs, tmp_path, "train.steps=4", "eval.every=3", "checkpoint.every=2")
    run_here(recipe)
    assert [row["step"] for row in rows(recipe) if row["kind"] == "val"] == [0, 2, 3, 4]


def test_a_second_signal_stops_at_once(toy_inputs: Path, tmp_path: Path) -> None:
    recipe = toy_recipe(toy_inputs, tmp_path, "train.steps=8")
    printed = finish(start(run_signalled, recipe, at=3, number=signal.SIGINT, times=2), recipe, exit_code=1)
    assert "KeyboardInterrupt" in printed
    assert checkpoint.steps(recipe.run.folder) == [0]


def test_the_handlers_of_signals_are_given_back(short_run: Recipe) -> None:
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    run_here(changed(short_run, "run.seed=7", "train.steps=2"), resume=True)
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before


# --- the numbers of a run


def test_warm_up_by_hand() -> None:
    assert [learning_rate(step, 1.0, 3) for step in range(1, 6)] == [0.25, 0.5, 0.75, 1.0, 1.0]
    assert learning_rate(1, 2e-6, 0) == 2e-6


def test_distance_is_watched_closely_while_the_learning_rate_is_new() -> None:
    assert all(watches_distance(step, warmup=5) for step in range(1, 26))
    assert [step for step in range(26, 40) if watches_distance(step, warmup=5)] == [28, 32, 36]


def test_looking_and_saving_do_not_touch_the_numbers(toy_inputs: Path, tmp_path: Path) -> None:
    """Every draw is counted, not carried: a run that validates at each step trains as one that never does."""
    seldom = toy_recipe(toy_inputs, tmp_path / "seldom", "train.steps=3")
    often = toy_recipe(toy_inputs, tmp_path / "often", "train.steps=3", "eval.every=1", "checkpoint.every=1")
    other = toy_recipe(toy_inputs, tmp_path / "other", "train.steps=3", "run.seed=1")
    numbers = []
    for recipe in (seldom, often, other):
        run_here(recipe)
        numbers.append([row for row in without_times(recipe) if row["kind"] == "train"])
    assert numbers[0] == numbers[1]
    assert numbers[0] != numbers[2]


def test_whole_checkpoints_are_the_newest_and_the_best(toy_inputs: Path, tmp_path: Path) -> None:
    recipe = toy_recipe(
        toy_inputs, tmp_path, "train.steps=5", "eval.every=1", "eval.cases=1", "checkpoint.every=1", "train.lr=1e-9"
    )
    run_here(recipe)
    folder = recipe.run.folder
    whole = [step for step in checkpoint.steps(folder) if checkpoint.is_whole(checkpoint.folder(folder, step))]
    assert checkpoint.steps(folder) == [0, 1, 2, 3, 4, 5]
    assert whole == [0, 4, 5]  # at this rate nothing changes: the first is as good as any


def with_scores(score: Any) -> Any:
    def reward_for(think_opened: bool) -> RewardFn:
        return lambda text, case: Reward(score(text), {"accuracy": 0.0})

    return reward_for


def test_a_gradient_that_is_not_finite_is_told_and_the_run_goes_on(toy_inputs: Path, tmp_path: Path) -> None:
    """Rewards near the largest number: their differences make a gradient that overflows."""
    recipe = toy_recipe(
        toy_inputs, tmp_path, 'train.normalise="mean"', "train.steps=2", "eval.cases=1", "rollout.temperature=3.0"
    )
    train(recipe, with_scores(lambda text: 3e38 * (sum(map(ord, text)) % 2)), lambda policy, step, cases: None)
    events = [row for row in rows(recipe) if row["kind"] == "event"]
    assert [row["step"] for row in events] == [1, 2]
    trained = [row for row in rows(recipe) if row["kind"] == "train"]
    assert [row["policy/skipped"] for row in trained] == [1, 1]
    first, last = (checkpoint.load_state(checkpoint.folder(recipe.run.folder, s))["optimizer"] for s in (0, 2))
    assert all(torch.equal(first["masters"][name], last["masters"][name]) for name in first["masters"])


def test_without_a_kl_term_no_reference_is_held(toy_inputs: Path, tmp_path: Path) -> None:
    recipe = toy_recipe(toy_inputs, tmp_path, "train.kl_coefficient=0.0", "train.steps=1", "eval.cases=1")
    run_here(recipe)
    (line,) = [row for row in rows(recipe) if row["kind"] == "train"]
    assert "policy/kl" not in line


def test_epochs_say_how_long_a_run_is(toy_inputs: Path, tmp_path: Path) -> None:
    """25 training cases, 4 prompts a step: one pass takes 7 steps."""
    text = RECIPE.format(inputs=toy_inputs, runs=tmp_path).replace("steps = 20", "epochs = 1")
    path = tmp_path / "epochs.toml"
    path.write_text(text, encoding="utf-8")
    recipe = config.load(path, ["eval.cases=1", "rollout.group=2", "rollout.max_tokens=4"])
    run_here(recipe)
    trained = pq.read_table(recipe.run.folder / "rollouts").column("case_id").to_pylist()
    train_ids = {case.id for case in export.read_cases(toy_inputs / "data", "train")}
    assert rows(recipe)[-1]["step"] == -(-len(train_ids) // 4)
    assert set(trained) == train_ids


def test_one_completion_of_each_step_is_shown_where_it_is_asked_for(
    toy_inputs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = toy_recipe(toy_inputs, tmp_path, "train.steps=2", "run.show_completion=true")
    run_here(recipe)
    printed = capsys.readouterr().out
    for step in (1, 2):
        first = pq.read_table(recipe.run.folder / "rollouts" / f"step-{step:06d}.parquet").to_pylist()[0]
        assert f"step {step}, case {first['case_id']} (" in printed
        assert first["text"] in printed
