"""A whole experiment: trained, evaluated before and after, reported."""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
from benchmarks.toy_runs import taught_policy, toy_recipe, write_inputs

from diagnosis_zero import experiment
from diagnosis_zero import recipe as recipe_keys
from diagnosis_zero.cases import export
from diagnosis_zero.experiment import SAMPLED, Outcome, evaluation_folder, judge_of, reward_of
from diagnosis_zero.parsing import render
from diagnosis_zero.recipe import Recipe
from diagnosis_zero.records import read_json, read_jsonl
from diagnosis_zero.train.view import View
from diagnosis_zero.types import Answer, Case, RewardFn, Verdict


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("experiment")
    write_inputs(folder, taught_policy())
    return folder


@pytest.fixture(scope="module")
def done(inputs: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Recipe, Outcome]:
    recipe = toy_recipe(inputs, tmp_path_factory.mktemp("runs"), "train.steps=2", "eval.samples=2", "eval.every=2")
    return recipe, experiment.run(recipe)


def test_before_and_after_are_evaluated_on_all_test_cases(inputs: Path, done: tuple[Recipe, Outcome]) -> None:
    recipe, _ = done
    wanted = [case.id for case in export.read_cases(inputs / "data", "test")]
    for step in (0, 2):
        for suffix, samples in (("", 1), (SAMPLED, 2)):
            folder = evaluation_folder(recipe.run.folder, step, suffix)
            answers = list(read_jsonl(folder / "answers.jsonl", Answer))
            assert [(a.case_id, a.sample) for a in answers] == [(i, s) for i in wanted for s in range(samples)]
            assert {answer.step for answer in answers} == {step}
            assert len(list(read_jsonl(folder / "verdicts.jsonl", Verdict))) == len(answers)
            assert read_json(folder / "summary.json")["judge"] == "sequence"
    kept = read_jsonl(recipe.run.folder / "evaluations" / "cases.jsonl", Case)
    assert [case.id for case in kept] == wanted


def test_the_outcome_compares_and_names_the_report(inputs: Path, done: tuple[Recipe, Outcome]) -> None:
    recipe, outcome = done
    assert outcome.run == recipe.run.folder
    assert outcome.report == recipe.run.folder / "report.html"
    assert outcome.report.read_text(encoding="utf-8").startswith("<!doctype html>")
    assert outcome.greedy is not None
    assert outcome.sampled is not None
    test = len(export.read_cases(inputs / "data", "test"))
    assert outcome.greedy.n == outcome.sampled.n == test
    folder = evaluation_folder(recipe.run.folder, 0)
    labels = [verdict.label == 2 for verdict in read_jsonl(folder / "verdicts.jsonl", Verdict)]
    assert outcome.greedy.before == pytest.approx(sum(labels) / test)
    assert 0 < outcome.greedy.before < 1  # the toy model half knows its diseases


@dataclass(slots=True)
class Impatient(View):
    """Asks for a stop after the first step."""

    def step(self, step: int, total: int, metrics: Mapping[str, float]) -> None:
        os.kill(os.getpid(), signal.SIGINT)


def test_a_stopped_run_has_a_report_and_no_comparison_and_a_resumed_one_has_both(inputs: Path, tmp_path: Path) -> None:
    recipe = toy_recipe(inputs, tmp_path, "train.steps=3")
    stopped = experiment.run(recipe, view=Impatient())
    assert (stopped.greedy, stopped.sampled) == (None, None)
    assert stopped.report.is_file()
    resumed = experiment.run(recipe, resume=True)
    assert resumed.greedy is not None
    assert resumed.greedy.n == len(export.read_cases(inputs / "data", "test"))
    assert resumed.sampled is None  # the recipe draws no samples


def test_the_ontology_without_a_catalogue_judges_by_the_words_of_the_names(inputs: Path, tmp_path: Path) -> None:
    recipe = toy_recipe(
        inputs, tmp_path, "train.steps=1", 'reward.method="ontology"', 'reward.catalogue="none"', "eval.test_cases=3"
    )
    outcome = experiment.run(recipe)
    assert outcome.greedy is not None
    assert outcome.greedy.n == 3
    assert read_json(evaluation_folder(recipe.run.folder, 1) / "summary.json")["judge"] == "ontology"


def test_the_reward_knows_that_the_template_opened_the_reasoning(inputs: Path, tmp_path: Path) -> None:
    case = Case("a", "made", "a", "text", ("Gout",))
    completion = "stiff joints</think><answer>Gout</answer>"
    recipe = toy_recipe(inputs, tmp_path)
    assert experiment.reward_of(recipe, True)(completion, case).parts["format"] == 1
    assert experiment.reward_of(recipe, False)(completion, case).parts["format"] == 0


def test_the_judge_is_of_another_kind_than_the_reward(inputs: Path, tmp_path: Path) -> None:
    """An answer that the formula on letters accepts for another subtype, and one that differs in its spelling alone."""
    case = Case("c", "made", "c", "A patient.", ("Usher syndrome type 2",))
    answers = {name: render("sign", f"usher syndrome type {name}") for name in "23"}
    recipe = toy_recipe(inputs, tmp_path)  # its reward goes by letters
    vignettes = recipe.model_copy(update={"data": recipe_keys.Data(vignettes=recipe_keys.Vignettes())})

    def opinions(reward: RewardFn) -> list[float]:
        return [reward(answers[name], case).parts["accuracy"] for name in "23"]

    assert opinions(reward_of(recipe)) == [1.0, 1.0]
    assert opinions(judge_of(recipe)) == [1.0, 0.0]
    assert opinions(judge_of(vignettes)) == [1.0, 0.0]
    by_meaning = recipe.model_copy(update={"reward": recipe_keys.Reward(method="ontology", catalogue="none")})
    assert opinions(judge_of(by_meaning)) == [1.0, 1.0]
