"""The supervised baseline: it starts where the run starts, learns the labels, and is evaluated like the run."""

from __future__ import annotations

from pathlib import Path

import pytest
from benchmarks.toy_runs import taught_policy, toy_cases, toy_recipe, write_inputs

from diagnosis_zero import experiment, supervised
from diagnosis_zero.cases import export
from diagnosis_zero.cases.prepare import prepare
from diagnosis_zero.config import load
from diagnosis_zero.errors import InputError
from diagnosis_zero.evaluate.compare import compare
from diagnosis_zero.evaluate.target import targets
from diagnosis_zero.experiment import evaluation_folder
from diagnosis_zero.parsing import parse
from diagnosis_zero.prompts import SHORT
from diagnosis_zero.recipe import Lora, Recipe
from diagnosis_zero.records import read_jsonl
from diagnosis_zero.supervised import Schedule, examples, fine_tune
from diagnosis_zero.types import Answer

SCHEDULE = Schedule(epochs=20, batch_size=8, lr=1e-2)


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Recipe:
    """The toy run on more cases: with few, the toy model learns the patients' numbers and not their signs."""
    folder = tmp_path_factory.mktemp("supervised")
    write_inputs(folder, taught_policy())
    prepare(iter(toy_cases(160)), folder / "more", split="random", seed=0, template=SHORT)
    changed = (f"data.folder={folder}/more", "rollout.max_tokens=40", "train.micro_batch_tokens=512")
    return toy_recipe(folder, tmp_path_factory.mktemp("runs"), "train.steps=1", *changed)


@pytest.fixture(scope="module")
def tuned(recipe: Recipe) -> tuple[Path, supervised.Comparison]:
    return fine_tune(recipe, SCHEDULE)


def test_the_labels_of_the_toy_diseases_are_learnt(tuned: tuple[Path, supervised.Comparison]) -> None:
    _, found = tuned
    assert found.before < 0.8
    assert found.after == 1.0


def test_it_begins_where_the_run_begins_and_is_compared_with_it(
    recipe: Recipe, tuned: tuple[Path, supervised.Comparison]
) -> None:
    folder, found = tuned
    run = experiment.run(recipe).run
    before = [
        [answer.text for answer in read_jsonl(evaluation_folder(home, 0) / "answers.jsonl", Answer)]
        for home in (folder, run)
    ]
    assert before[0] == before[1]
    last = targets(str(folder))[0].step
    against = compare(evaluation_folder(run, 1), evaluation_folder(folder, last))
    assert against.differing == ()
    assert (against.n, against.after) == (found.n, 1.0)


def test_the_folder_is_read_like_a_run(recipe: Recipe, tuned: tuple[Path, supervised.Comparison]) -> None:
    folder, _ = tuned
    assert folder.name == f"{recipe.run.name}-sft"
    assert load(folder / "config.toml").run.folder == folder
    assert recipe.data.folder is not None
    trained = len(export.read_cases(Path(recipe.data.folder), "train"))
    assert [one.step for one in targets(str(folder), "all")] == [0, SCHEDULE.batches(trained)]


def test_every_example_is_in_the_full_form_and_names_the_label() -> None:
    cases = toy_cases(8)
    for case, (chat, target) in zip(cases, examples(cases, "{case}"), strict=True):
        assert chat[0]["content"] == case.text
        assert parse(target).well_formed
        assert parse(target).answer == case.names[0]


def test_what_stands_there_is_never_overwritten(recipe: Recipe, tuned: tuple[Path, supervised.Comparison]) -> None:
    with pytest.raises(InputError, match="something of that name"):
        fine_tune(recipe, SCHEDULE)


def test_a_recipe_of_lora_is_refused(recipe: Recipe) -> None:
    with pytest.raises(InputError, match=r"has \[lora\]") as refused:
        fine_tune(recipe.model_copy(update={"lora": Lora()}), SCHEDULE)
    assert refused.value.mend == "Add --set lora=none."
