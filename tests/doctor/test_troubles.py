"""The troubles that people report with GRPO (docs/doctor.md numbers them), each provoked in a recipe that is otherwise
healthy. That the healthy recipe has no complaint is the control of them all (test_examine)."""

from __future__ import annotations

import json
import shutil
import sys
from dataclasses import replace
from pathlib import Path
from time import sleep

import pytest
import torch
from benchmarks.toy_runs import save_policy, toy_cases
from safetensors.torch import load_file, save_file
from ward import Ward, complaints, edit_json, of, policy

from diagnosis_zero import experiment
from diagnosis_zero.cases import export
from diagnosis_zero.doctor import cases, machine, reward, settings
from diagnosis_zero.doctor import model as files
from diagnosis_zero.doctor.notes import Note
from diagnosis_zero.doctor.resources import disk_bytes, judge_disk, judge_memory, judge_time
from diagnosis_zero.doctor.step import judge_step, judge_trial
from diagnosis_zero.doctor.template import as_generated, completion
from diagnosis_zero.engine import tiny
from diagnosis_zero.prompts import SHORT
from diagnosis_zero.train import start
from diagnosis_zero.train.forecast import Forecast
from diagnosis_zero.types import Case, Completion, Group, Reward, RewardFn

HEALTHY_STEP = {
    "step": 1,
    "policy/grad_norm": 1.0,
    "policy/loss": 1e-9,
    "policy/kl": 0.0,
    "policy/mismatch_kl": 1e-7,
    "policy/skipped": 0,
}


def reward_notes(ward: Ward, *overrides: str, opened: bool = False, score: RewardFn | None = None) -> list[Note]:
    recipe = ward.recipe(*overrides)
    score = score or experiment.reward_of(recipe, opened)
    return list(reward.examine_reward(policy(0), score, recipe, toy_cases(40), opened))


def splits_notes(ward: Ward, train: list[Case], val: list[Case], test: list[Case], *overrides: str) -> list[Note]:
    return list(cases.examine_splits(ward.recipe(*overrides), start.Splits(train, val, test)))


# --- 1: the reward is flat or zero, and nothing says why


def test_01_a_model_that_never_earns_anything_is_told_before_the_run(ward: Ward, tmp_path: Path) -> None:
    """Random weights: no form, no reward, no variance, and the faults that explain it."""
    raw = save_policy(policy(0), tmp_path / "raw")
    notes = ward.notes(f'model.id="{raw}"', "rollout.max_tokens=24")
    (silent,), (form,) = of(notes, "trial.silent", "warning"), of(notes, "trial.form", "warning")
    assert "100% of the groups have no variance" in silent.what
    assert "answer_missing" in form.what


def test_01_a_prompt_that_never_asks_for_the_form_is_told(ward: Ward, tmp_path: Path) -> None:
    (tmp_path / "prompt.txt").write_text("{case}\nWhich disease is it?", encoding="utf-8")
    (note,) = of(ward.notes(f'prompt.template="{tmp_path}/prompt.txt"'), "prompt.form", "warning")
    assert "<think> and <answer>" in note.what


@pytest.mark.parametrize("weights", ["{accuracy=0.0}", "{format=-2.0}"])
def test_01_accuracy_that_weighs_nothing_is_told(ward: Ward, weights: str) -> None:
    (note,) = reward_notes(ward, f"reward.weights={weights}")
    assert (note.level, note.check) == ("error", "reward.weights")


# --- 2: the chat template has opened <think> already


def opening(ward: Ward, folder: Path, end: str) -> str:
    ill = ward.model_like(folder)
    (ill / "chat_template.jinja").write_text(tiny.CHAT_TEMPLATE.replace("assistant\n", f"assistant\n{end}"))
    return f'model.id="{ill}"'


def test_02_a_template_that_opens_the_reasoning_is_taken_into_account(ward: Ward, tmp_path: Path) -> None:
    notes = ward.notes(opening(ward, tmp_path / "model", "<think>\n"), "rollout.max_tokens=64")
    (note,) = of(notes, "template.think", "ok")
    assert "opens <think> itself" in note.what
    assert of(notes, "reward.gold", "ok")


def test_02_a_reward_that_does_not_know_of_the_opened_tag_is_found(ward: Ward) -> None:
    """The trouble itself: the completions lack the tag, and the reward looks for it."""
    blind = experiment.reward_of(ward.recipe(), think_opened=False)
    (note,) = of(reward_notes(ward, opened=True, score=blind), "reward.gold", "error")
    assert "think_unopened" in note.what


def test_02_a_template_that_closes_the_reasoning_is_an_error(ward: Ward, tmp_path: Path) -> None:
    notes = ward.notes(opening(ward, tmp_path / "model", "<think>\n\n</think>\n\n"), "rollout.max_tokens=24")
    assert of(notes, "template.think", "error")


def test_02_tags_that_vanish_in_decoding_are_an_error(ward: Ward, tmp_path: Path) -> None:
    ill = policy(0)
    ill.tokenizer.add_special_tokens({"additional_special_tokens": ["<think>", "</think>"]})
    ill.model.resize_token_embeddings(len(ill.tokenizer))
    notes = ward.notes(f'model.id="{save_policy(ill, tmp_path / "model")}"', "rollout.max_tokens=24")
    assert of(notes, "template.form", "error")
    assert of(notes, "reward.gold", "error")


# --- 3: completions are cut off


@pytest.mark.parametrize(("tokens", "level"), [(8, "error"), (64, "warning"), (450, "ok")])
def test_03_a_limit_that_cuts_answers_off_is_forecast(ward: Ward, tokens: int, level: str) -> None:
    """The toy model writes short completions; what a model of a usual size writes is forecast all the same."""
    recipe, form = ward.recipe(f"rollout.max_tokens={tokens}"), completion("")
    (note,) = cases.examine_truncation(recipe, policy(0), toy_cases(), [], form)
    assert (note.level, note.check) == (level, "truncation")


def test_03_a_warm_start_that_teaches_longer_texts_is_forecast(ward: Ward) -> None:
    form, examples = completion(""), [([], "word " * 100)] * 3 + [([], "word")] * 7
    (note,) = cases.examine_truncation(ward.recipe("rollout.max_tokens=64"), policy(0), toy_cases(), examples, form)
    assert note.level == "warning"
    assert "3 of 10 worked examples" in note.what


def test_03_an_end_of_turn_that_ends_nothing_is_an_error(ward: Ward, tmp_path: Path) -> None:
    ill = ward.model_like(tmp_path / "model")
    template = tiny.CHAT_TEMPLATE.replace(tiny.END, "</s>")
    (ill / "chat_template.jinja").write_text(template)
    (note,) = of(ward.notes(f'model.id="{ill}"', "rollout.max_tokens=24"), "template.stop", "error")
    assert "'</s>'" in note.what
    assert tiny.END in note.what


def test_03_completions_of_the_real_model_that_are_cut_are_told(ward: Ward) -> None:
    """The toy model needs about 20 tokens for an answer."""
    (note,) = of(ward.notes("rollout.max_tokens=14"), "trial.truncated", "warning")
    assert "not ended after 14 tokens" in note.what


# --- 4 to 7, 12: numbers


def test_04_a_loss_of_zero_is_explained_beside_a_gradient_that_is_not(ward: Ward) -> None:
    (note,) = of(ward.notes("train.kl_coefficient=0.0"), "step")
    assert note.level == "ok"
    assert "a loss near 0 is usual" in note.what
    assert float(note.what.split("gradient norm ")[1].split(",")[0]) > 0


def test_05_a_kl_that_is_not_finite_is_an_error() -> None:
    assert complaints(list(judge_step(HEALTHY_STEP))) == []
    (note,) = complaints(list(judge_step({**HEALTHY_STEP, "policy/kl": float("nan")})))
    assert note.level == "error"
    assert "policy/kl" in note.what


def test_05_k1_in_the_loss_is_told_and_in_the_reward_not(ward: Ward) -> None:
    k1 = 'train.kl_estimator="k1"'
    (note,) = complaints(list(settings.stability(ward.recipe(k1))))
    assert note.check == "stability.kl"
    assert complaints(list(settings.stability(ward.recipe(k1, 'train.kl_place="reward"')))) == []


def test_06_weights_that_are_not_finite_are_found(ward: Ward, tmp_path: Path) -> None:
    ill = ward.model_like(tmp_path / "model")
    tensors = load_file(ill / "model.safetensors")
    name = "model.layers.1.mlp.up_proj.weight"
    tensors[name][3, 5] = torch.nan
    save_file(tensors, ill / "model.safetensors", metadata={"format": "pt"})
    (note,) = of(ward.notes(f'model.id="{ill}"', "rollout.max_tokens=24"), "model.weights", "error")
    assert name in note.what


def test_06_numbers_that_overflow_in_a_step_are_found(ward: Ward) -> None:
    """Logits divided by such a temperature are infinite."""
    assert of(ward.notes("rollout.temperature=1e-42", "rollout.max_tokens=24"), "step", "error")


@pytest.mark.parametrize("setting", ["train.lr=1e-4", "train.max_grad_norm=100.0", "train.kl_coefficient=0.5"])
def test_07_settings_that_end_in_a_blow_up_are_told(ward: Ward, setting: str) -> None:
    (note,) = complaints(list(settings.stability(ward.recipe(setting))))
    assert note.check.startswith("stability.")
    assert setting.split("=")[0] in note.what


def test_07_an_adapter_bears_ten_times_the_learning_rate(ward: Ward) -> None:
    adapter = "lora.rank=8"
    assert not complaints(list(settings.stability(ward.recipe("train.lr=9e-5", adapter))))
    (note,) = complaints(list(settings.stability(ward.recipe("train.lr=2e-4", adapter))))
    assert note.check == "stability.lr"
    assert "1e-05" in note.mend


def test_12_a_sampler_that_disagrees_with_the_trainer_is_told() -> None:
    (note,) = complaints(list(judge_step({**HEALTHY_STEP, "policy/mismatch_kl": 0.05})))
    assert note.check == "step.gap"


# --- 8, 9, 11: memory and time


def expected(update: int, rollout: int = 0) -> Forecast:
    return Forecast({"weights": 4, "moments": 8}, {"update": update, "rollout": rollout}, {}, {"all": 1.0})


def test_08_the_largest_part_of_memory_is_named_with_its_mend(ward: Ward) -> None:
    for parts, largest, mend in (
        (expected(100, 50), "update", "micro_batch_tokens"),
        (expected(5, 100), "rollout", "rollout.group"),
        (expected(3, 2), "moments", "smaller model"),
    ):
        (note,) = judge_memory(parts, 10, "cpu")
        assert note.what.split(": ")[-1].startswith(largest)
        assert mend in note.mend


@pytest.mark.parametrize(("free", "level"), [(111, "error"), (120, "warning"), (140, "ok")])
def test_09_a_run_that_does_not_fit_is_told(free: int, level: str) -> None:
    """12 bytes held and 100 passing make 112; above 85 % of what is free a forecast is no promise."""
    (note,) = judge_memory(expected(100), free, "cuda")
    assert note.level == level


def test_09_a_recipe_that_does_not_fit_this_machine_is_told(ward: Ward) -> None:
    notes = ward.notes("rollout.prompts=1000000", "rollout.max_tokens=64")
    (note,) = of(notes, "memory", "error")
    assert "rollout" in note.what


def test_09_checkpoints_that_do_not_fit_the_disk_are_told() -> None:
    """100 parameters in bf16: five checkpoints, all with weights (200 bytes), three of them whole (1,200 more). With an
    adapter of 10: one of 200 bytes and four of 20."""
    assert disk_bytes(200, 200, 1200, steps=40, every=10, keep=1) == 5 * 200 + 3 * 1200
    assert disk_bytes(200, 20, 120, steps=40, every=10, keep=1) == 200 + 4 * 20 + 3 * 120
    assert [note.level for free in (4599, 4600) for note in judge_disk(4600, free)] == ["error", "ok"]


@pytest.mark.parametrize(("device", "mend"), [("cpu", "take a GPU"), ("cuda", "more GPUs")])
def test_11_a_run_of_weeks_is_told(device: str, mend: str) -> None:
    (slow,), (quick,) = judge_time(600.0, 5000, device), judge_time(6.0, 5000, device)
    assert (slow.level, quick.level) == ("warning", "ok")
    assert "34.7 days for 5000 steps" in slow.what
    assert mend in slow.mend


# --- 14, 15: packages


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where packages can be made believe."""
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


def believe(place: Path, name: str, version: str, *requirements: str) -> None:
    folder = place / f"{name}-{version}.dist-info"
    folder.mkdir()
    lines = ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}"]
    (folder / "METADATA").write_text("\n".join([*lines, *(f"Requires-Dist: {r}" for r in requirements)]) + "\n")


def test_14_an_inference_engine_that_wants_another_torch_is_told(ward: Ward, installed: Path) -> None:
    believe(installed, "vllm", "0.6.3", "torch==2.4.0", "packaging>=20", "ray; extra == 'cluster'")
    assert len(machine.unmet("vllm")) == 1
    (note,) = complaints(list(machine.packages(ward.recipe())))
    assert note.level == "warning"
    assert "vllm 0.6.3 wants torch==2.4.0" in note.what


def test_15_a_package_of_ours_that_is_too_old_is_an_error(ward: Ward, installed: Path) -> None:
    believe(installed, "rapidfuzz", "2.0.0")
    (note,) = complaints(list(machine.packages(ward.recipe())))
    assert note.level == "error"
    assert "pip install 'rapidfuzz" in note.mend


def test_15_a_module_that_the_recipe_needs_is_looked_for(ward: Ward, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = ward.recipe('run.sinks=["wandb"]')
    monkeypatch.setitem(sys.modules, "wandb", None)
    (note,) = complaints(list(machine.packages(recipe)))
    assert "wandb" in note.what


# --- 16, 17: going on


@pytest.fixture(scope="module")
def begun(ward: Ward, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Three checkpoints of a run, as an override that names its folder."""
    place = f'run.dir="{tmp_path_factory.mktemp("begun")}"'
    recipe = ward.recipe(place, "train.steps=2", "checkpoint.every=1", "rollout.max_tokens=24", "eval.test_cases=2")
    experiment.run(recipe)
    return place


def folder_notes(ward: Ward, *overrides: str) -> list[Note]:
    return list(machine.run_folder(ward.recipe("rollout.max_tokens=24", *overrides)))


def test_16_a_run_of_that_name_is_told_and_what_a_resume_would_change(ward: Ward, begun: str) -> None:
    (note,) = folder_notes(ward, begun, "train.lr=2e-6")
    assert note.level == "warning"
    assert "step-000002" in note.what
    assert "train.lr" in note.what
    assert "--resume" in note.mend


def test_16_a_resume_with_other_data_is_an_error(ward: Ward, begun: str) -> None:
    (note,) = folder_notes(ward, begun, "data.max_prompt_tokens=32")
    assert note.level == "error"
    assert "data.max_prompt_tokens" in note.what


def test_16_a_corrupt_checkpoint_is_told(ward: Ward, begun: str, tmp_path: Path) -> None:
    there = ward.recipe(begun).run.folder
    shutil.copytree(there, tmp_path / "toy")
    (tmp_path / "toy" / "checkpoints" / "step-000002" / "config.json").write_text("{}")
    torn, _ = folder_notes(ward, f'run.dir="{tmp_path}"')
    assert "config.json is not as it was written" in torn.what


def test_16_a_folder_of_something_else_is_never_taken(ward: Ward, tmp_path: Path) -> None:
    (tmp_path / "toy").mkdir()
    (tmp_path / "toy" / "thesis.txt").write_text("years of work")
    (note,) = folder_notes(ward, f'run.dir="{tmp_path}"')
    assert note.level == "error"


def test_16_and_17_a_step_is_saved_loaded_and_gone_on_from(ward: Ward) -> None:
    assert of(ward.notes("rollout.max_tokens=24"), "step.resume", "ok")


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda f: f.write_bytes(f.read_bytes()[:-100]), "damaged"),
        (lambda f: f.rename(f.with_name("pytorch_model.bin")), "pickled"),
        (lambda f: f.unlink(), "all of its weight files are not here"),
    ],
)
def test_17_weights_that_are_no_sound_safetensors_are_told(ward: Ward, tmp_path: Path, make: object, said: str) -> None:
    ill = ward.model_like(tmp_path / "model")
    assert callable(make)
    make(ill / "model.safetensors")
    opened = files.open_model(ward.recipe(f'model.id="{ill}"'), toy_cases(), [])
    (note,) = files.weights(opened, str(ill))
    assert note.level == "error"
    assert said in note.what


def test_17_weights_that_are_still_to_be_fetched_are_no_error(ward: Ward, tmp_path: Path) -> None:
    ill = ward.model_like(tmp_path / "model")
    shards = {"weight_map": {"model.embed_tokens.weight": "a.safetensors", "model.norm.weight": "model.safetensors"}}
    (ill / "model.safetensors.index.json").write_text(json.dumps(shards))
    opened = files.open_model(ward.recipe(f'model.id="{ill}"'), toy_cases(), [])
    (note,) = files.weights(opened, "somebody/model-1B")
    assert note.level == "warning"
    assert "1 of its weight files" in note.what
    assert "hf download somebody/model-1B" in note.mend


# --- 18, 19, 22: the reward


def test_18_a_part_that_does_not_exist_is_named(ward: Ward) -> None:
    (note,) = of(ward.notes("reward.weights={acuracy=1.0}"), "reward", "error")
    assert "acuracy" in note.what
    assert "accuracy" in note.mend


def test_18_a_reward_that_takes_any_disease_is_an_error(ward: Ward) -> None:
    right = experiment.reward_of(ward.recipe())
    (note,) = of(
        reward_notes(ward, score=lambda text, case: right(as_generated(policy(0), completion(case.names[0])), case)),
        "reward.wrong",
        "error",
    )
    assert "40 of 40" in note.what


def test_18_names_that_only_look_alike_are_found_and_not_by_their_meaning(ward: Ward) -> None:
    """The original's formula takes type 2 for type 3; the ontology reward does not."""
    types = [replace(c, names=(f"Familial long QT syndrome type {2 + i % 2}",)) for i, c in enumerate(toy_cases(6))]

    def levels(*overrides: str) -> list[str]:
        recipe = ward.recipe(*overrides)
        found = reward.examine_reward(policy(0), experiment.reward_of(recipe), recipe, types, False)
        return [note.level for note in found if note.check == "reward.wrong"]

    assert levels() == ["error"]
    assert levels('reward.method="ontology"', 'reward.catalogue="none"') == ["ok"]


def test_18_a_case_without_a_name_is_an_error(ward: Ward) -> None:
    some = toy_cases(60)
    found = splits_notes(ward, [*some[:9], replace(some[9], names=(" ",))], some[10:], some[:0])
    (note,) = of(found, "cases.names", "error")
    assert "case-9" in note.what


def test_18_a_case_without_any_name_does_not_stop_the_examination(ward: Ward, tmp_path: Path) -> None:
    export.write_cases(tmp_path, [replace(case, split="train") for case in toy_cases(60)], SHORT)
    lines = (tmp_path / "cases.jsonl").read_text(encoding="utf-8").splitlines()
    nameless = json.dumps({**json.loads(lines[0]), "names": []})
    (tmp_path / "cases.jsonl").write_text("\n".join([nameless, *lines[1:]]), encoding="utf-8")
    notes = ward.notes(f'data.folder="{tmp_path}"', "rollout.max_tokens=24")
    assert of(notes, "cases.names", "error")
    assert of(notes, "reward.gold", "ok")


def test_19_a_slow_reward_is_timed(ward: Ward) -> None:
    right = experiment.reward_of(ward.recipe())

    def judged_far_away(text: str, case: Case) -> Reward:
        sleep(0.02)
        return right(text, case)

    many = "rollout.prompts=400"
    (slow,) = of(reward_notes(ward, many, score=judged_far_away), "reward.time")
    assert slow.level == "warning"
    assert [note.level for note in reward.scoring_time(0.001, 3200)] == ["ok"]


def test_22_thought_that_earns_nothing_is_told(ward: Ward) -> None:
    unpaid = "reward.weights={format=0.0}"
    (note,) = of(reward_notes(ward, unpaid), "reward.drift", "warning")
    assert "no reasoning" in note.what
    assert "text after the answer" in note.what
    paid = "reward.weights={format=0.0, reasoning=0.1, nothing_after=0.1}"
    assert complaints(reward_notes(ward, paid)) == []


def test_22_a_reward_that_is_earned_without_a_diagnosis_is_an_error(ward: Ward) -> None:
    (note,) = of(reward_notes(ward, "reward.weights={extracted=1.0}"), "reward.hack", "error")
    assert "no disease in the full form" in note.what


# --- 20, 21: batches and groups


@pytest.mark.parametrize(
    ("overrides", "check"),
    [
        (["rollout.prompts=600"], "batch"),
        (["rollout.group=2"], "batch.group"),
        (["train.warmup=20"], "batch.warmup"),
        (["eval.every=21"], "batch.eval"),
    ],
)
def test_20_a_batch_that_does_not_add_up_is_told(ward: Ward, overrides: list[str], check: str) -> None:
    found = list(settings.arithmetic(ward.recipe(*overrides), training=500))
    (note,) = complaints(found)
    assert note.check == check


def test_20_the_arithmetic_is_spelled_out(ward: Ward) -> None:
    (note,) = settings.arithmetic(ward.recipe("train.minibatches=2"), training=40)
    assert "4 prompts x 8 = 32 completions, 2 update(s) of 16" in note.what
    assert "20 steps, 2 passes over 40 cases" in note.what


def group(*scores: float) -> Group:
    parts = {"accuracy": 1.0}
    texts = tuple(Completion("<think>a</think><answer>b</answer>", "stop", (1, 2)) for _ in scores)
    return Group(toy_cases(1)[0], (1,), texts, tuple(Reward(score, parts) for score in scores))


def test_21_groups_without_variance_are_told() -> None:
    for groups, level in (([group(1, 1), group(0, 0)], "warning"), ([group(1, 1), group(0, 1)], "ok")):
        (note,) = of(list(judge_trial(groups, 10, 10, opened=False)), "trial.silent")
        assert note.level == level


# --- 23: entropy, garbling, mixed language


@pytest.mark.parametrize("temperature", [0.3, 1.6])
def test_23_a_temperature_that_ends_in_one_answer_or_in_garble_is_told(ward: Ward, temperature: float) -> None:
    (note,) = complaints(list(settings.stability(ward.recipe(f"rollout.temperature={temperature}"))))
    assert note.check == "stability.temperature"


def test_23_mixed_language_is_told_where_neither_reward_nor_guard_minds_it(ward: Ward) -> None:
    unwatched = 'guard.on_collapse="warn"'
    (note,) = of(reward_notes(ward, unwatched), "reward.drift", "warning")
    assert "another script in the reasoning" in note.what
    assert of(list(settings.stability(ward.recipe(unwatched))), "stability.guard", "warning")
    assert complaints(reward_notes(ward, unwatched, "reward.weights={language=0.1}")) == []


# --- 24: evaluation differs from training


def test_24_a_run_without_held_out_cases_is_told(ward: Ward) -> None:
    some = toy_cases(100)
    assert of(splits_notes(ward, some[:90], [], some[90:]), "cases.held_out", "warning")
    assert of(splits_notes(ward, some[:90], some[90:], some[90:]), "cases.held_out", "warning")  # ten cases say little
    assert complaints(splits_notes(ward, some[:30], some[30:90], some[90:])) == []


def test_24_held_out_cases_that_are_trained_on_are_told(ward: Ward) -> None:
    train, held_out = toy_cases(100)[:30], toy_cases(100)[30:]
    copied = [replace(held_out[0], text=train[0].text), *held_out[1:]]
    (note,) = complaints(splits_notes(ward, train, held_out[1:], copied[:1]))
    assert (note.level, note.check) == ("error", "cases.overlap")
    assert "1 of 70" in note.what
    related = [replace(case, source_id=train[0].source_id) for case in held_out[:5]]
    (note,) = complaints(splits_notes(ward, train, held_out[5:], related))
    assert "5 of 70 held-out cases come from an article" in note.what


def test_24_cases_that_name_their_answer_are_told(ward: Ward) -> None:
    some = [replace(case, leaks=("Gout",)) for case in toy_cases(100)]
    found = of(splits_notes(ward, some[:30], some[30:90], some[90:]), "cases.leaks", "warning")
    assert ["training" in note.what for note in found] == [True, False]


def test_24_cases_that_were_prepared_with_another_prompt_are_told(ward: Ward) -> None:
    some = toy_cases(100)
    (note,) = complaints(splits_notes(ward, some[:30], some[30:90], some[90:], 'prompt.template="diagnosis"'))
    assert note.check == "prompt.template"


@pytest.mark.parametrize(("limit", "level"), [(1, "error"), (64, "ok")])
def test_prompts_over_the_limit_are_counted(ward: Ward, limit: int, level: str) -> None:
    recipe = ward.recipe(f"data.max_prompt_tokens={limit}")
    (note,), fit, _ = cases.examine_lengths(recipe, policy(0), toy_cases(30))
    assert (note.level, len(fit)) == (level, 30 * (level == "ok"))


def test_a_share_of_prompts_over_the_limit_is_told_with_the_limit_that_keeps_all(ward: Ward) -> None:
    some = [replace(case, text=case.text + " Pale lips." * 20 * (i % 3 == 0)) for i, case in enumerate(toy_cases(30))]
    (note,), fit, _ = cases.examine_lengths(ward.recipe(), policy(0), some)
    assert (note.level, len(fit)) == ("warning", 20)
    assert "10 of 30" in note.what


def test_a_window_or_vocabulary_that_is_too_small_is_an_error(ward: Ward, tmp_path: Path) -> None:
    small = ward.model_like(tmp_path / "model")
    edit_json(small / "config.json", max_position_embeddings=512, vocab_size=300)
    opened = files.open_model(ward.recipe(f'model.id="{small}"'), toy_cases(), [])
    assert [note.check for note in files.architecture(opened, 64, 450)] == ["model.window", "model.vocabulary"]
    assert [note.check for note in files.architecture(opened, 62, 450)] == ["model.vocabulary"]
