"""Opening a run: its cases, its policy, its reference."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from benchmarks.toy_runs import RECIPE, raw_policy, toy_cases, toy_recipe
from textbook import plain_model

from diagnosis_zero import config
from diagnosis_zero.engine import model as models
from diagnosis_zero.engine.generate import encode_chat
from diagnosis_zero.engine.model import Policy
from diagnosis_zero.errors import InputError
from diagnosis_zero.prompts import SHORT, build_chat
from diagnosis_zero.train import checkpoint, start


def test_a_prepared_folder_is_read_split_by_split(toy_inputs: Path, tmp_path: Path) -> None:
    found = start.splits(toy_recipe(toy_inputs, tmp_path), tmp_path / "run")
    ids = [{case.id for case in split} for split in (found.train, found.val, found.test)]
    assert sum(map(len, ids)) == len(set.union(*ids)) == 40
    assert all(ids)
    assert not (tmp_path / "run").exists()


def test_a_folder_that_is_not_there_is_named(toy_inputs: Path, tmp_path: Path) -> None:
    recipe = toy_recipe(toy_inputs, tmp_path, 'data.folder="elsewhere"')
    with pytest.raises(InputError, match=r"elsewhere.*dz prepare"):
        start.splits(recipe, tmp_path / "run")


def test_vignettes_are_made_once_and_follow_the_seed(tmp_path: Path) -> None:
    lines = RECIPE.format(inputs="none", runs=tmp_path).replace('folder = "none/data"\n', "")
    path = tmp_path / "vignettes.toml"
    path.write_text(lines + "[data.vignettes]\ndiseases = 4\ncases = 30\n", encoding="utf-8")
    recipe = config.load(path)
    first = start.splits(recipe, tmp_path / "one")
    made = (tmp_path / "one" / "data" / "cases.jsonl").stat()
    assert start.splits(recipe, tmp_path / "one") == first
    again = (tmp_path / "one" / "data" / "cases.jsonl").stat()
    assert (made.st_ino, made.st_mtime_ns) == (again.st_ino, again.st_mtime_ns)
    assert start.splits(recipe, tmp_path / "two") == first
    assert start.splits(config.load(path, ["run.seed=1"]), tmp_path / "three") != first
    assert len({case.names for split in (first.train, first.val, first.test) for case in split}) <= 4


def test_the_reference_is_the_model_of_step_0_frozen_and_only_where_it_is_needed(tmp_path: Path) -> None:
    policy = raw_policy()

    def save_model(folder: Path) -> None:
        policy.model.save_pretrained(folder)
        policy.tokenizer.save_pretrained(folder)

    initial = checkpoint.save(tmp_path, 0, save_model, {})
    assert start.reference_of(0.0, policy, initial, "float32") is None
    reference = start.reference_of(0.1, policy, initial, "float32")
    assert not any(p.requires_grad for p in reference.parameters())
    assert not reference.training
    for a, b in zip(policy.model.parameters(), reference.parameters(), strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize(
    ("ending", "opened"),
    [("<|im_start|>assistant\n", False), ("<|im_start|>assistant\n<think>\n", True), ("<think> </think>\n", False)],
)
def test_a_template_that_opens_the_reasoning_is_noticed(ending: str, opened: bool) -> None:
    policy = raw_policy()
    policy.tokenizer.chat_template = "{{ messages[0]['content'] }}" + ending
    assert start.opens_thinking(policy) is opened


def test_a_model_by_folder_without_a_warm_start_is_the_model_itself(
    toy_inputs: Path, toy_policy: Policy, tmp_path: Path
) -> None:
    said: list[str] = []
    policy = start.fresh_policy(toy_recipe(toy_inputs, tmp_path), [], said.append, lambda batch, loss: None)
    assert said == []
    for a, b in zip(policy.model.parameters(), toy_policy.model.parameters(), strict=True):
        assert torch.equal(a, b)


def test_a_model_that_cannot_be_computed_exactly_is_refused(tmp_path: Path, toy_inputs: Path) -> None:
    model = plain_model()
    model.config.attention_dropout = 0.1
    model.save_pretrained(tmp_path / "dropout")
    with pytest.raises(InputError, match="attention dropout"):
        models.load(str(tmp_path / "dropout"))


def test_longer_prompts_are_left_out_and_told(toy_policy: Policy) -> None:
    """Every third patient has more to tell; the limit is the prompt of the others."""
    cases = [replace(case, text=case.text + " Pale lips." * (i % 3 == 0)) for i, case in enumerate(toy_cases(24))]
    lengths = {case.id: len(encode_chat(toy_policy.tokenizer, build_chat(case, SHORT))) for case in cases}
    limit = min(lengths.values())
    assert sum(length > limit for length in lengths.values()) == 8
    found = start.Splits(cases, cases[:4], cases[4:15])
    said: list[str] = []
    kept = start.short_enough(found, toy_policy, SHORT, limit, said.append)
    pairs = ((found.train, kept.train), (found.val, kept.val), (found.test, kept.test))
    for before, after in pairs:
        assert after == [case for case in before if lengths[case.id] == limit]
    (line,) = said
    assert [int(word) for word in line.split() if word.isdigit()] == [limit, *(len(a) - len(b) for a, b in pairs)]


def test_nothing_is_said_where_nothing_is_left_out(toy_policy: Policy) -> None:
    found = start.Splits(toy_cases(3), [], [])
    said: list[str] = []
    assert start.short_enough(found, toy_policy, SHORT, 1000, said.append) == found
    assert said == []


@pytest.mark.parametrize(("training", "limit"), [(0, 1000), (2, 3)])
def test_a_run_needs_a_training_case(training: int, limit: int, toy_policy: Policy) -> None:
    found = start.Splits(toy_cases(training), toy_cases(2), [])
    with pytest.raises(InputError, match="no training case"):
        start.short_enough(found, toy_policy, SHORT, limit, lambda text: None)
