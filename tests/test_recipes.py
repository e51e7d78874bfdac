"""Every shipped recipe is read, adds up, and says what it claims to reproduce."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import pytest
from pydantic import BaseModel

from diagnosis_zero import config
from diagnosis_zero import recipe as recipe_keys
from diagnosis_zero.cases.teacher import TEACHERS
from diagnosis_zero.errors import InputError
from diagnosis_zero.rewards.accuracy import METHODS
from diagnosis_zero.train import loss
from diagnosis_zero.train.advantage import NORMALISE
from diagnosis_zero.train.metrics import SINKS

FOLDER = Path(__file__).resolve().parents[1] / "recipes"
RECIPES = sorted(path.stem for path in FOLDER.glob("*.toml"))


def test_the_recipes_are_there() -> None:
    assert {"demo", "smollm2", "seed-qwen2.5-1.5b", "seed-qwen2.5-3b", "seed-qwen2.5-7b"} <= set(RECIPES)


@pytest.mark.parametrize("name", RECIPES)
def test_recipe_is_read_and_round_trips(name: str, tmp_path: Path) -> None:
    recipe = config.load(config.shipped(name))
    assert recipe.run.name == name
    written = tmp_path / "config.toml"
    written.write_text(config.dump(recipe), encoding="utf-8")
    assert config.load(written) == recipe


@pytest.mark.parametrize("size", ["1.5B", "3B", "7B"])
def test_seed_recipe_holds_the_originals_hyperparameters(size: str) -> None:
    recipe = config.load(config.shipped(f"seed-qwen2.5-{size.lower()}"))
    assert recipe.model.id == f"Qwen/Qwen2.5-{size}-Instruct"
    assert (recipe.rollout.prompts, recipe.rollout.group) == (8, 16)
    assert (recipe.data.max_prompt_tokens, recipe.rollout.max_tokens) == (1024, 1024)
    train = recipe.train
    assert (train.epochs, train.lr, train.minibatches) == (5, 3e-7, 1)
    assert (train.kl_coefficient, train.kl_estimator, train.kl_place) == (0.001, "k3", "loss")
    assert (train.clip_low, train.clip_high, train.entropy_coefficient) == (0.2, 0.2, 0.0)
    assert (train.aggregation, train.normalise, train.objective) == ("token-mean", "std", "grpo")
    assert recipe.reward.method == "sequence"
    assert recipe.reward.weights == {"accuracy": 1.0, "extracted": 0.1, "format": 0.0, "hypernym": 0.0}
    assert recipe.warmstart is None
    assert (recipe.eval.every, recipe.checkpoint.every) == (10, 50)


@pytest.mark.parametrize("objective", sorted(recipe_keys.OBJECTIVE_DEFAULTS))
def test_every_objective_has_a_recipe_that_is_what_its_name_says(objective: str) -> None:
    train = config.load(config.shipped(objective)).train
    assert train.objective == objective
    expected = {
        "grpo": (0.2, 0.2, "token-mean", "std", "score", 1),
        "dr-grpo": (0.2, 0.2, "dr-grpo", "mean", "score", 1),
        "dapo": (0.2, 0.28, "token-mean", "std", "penalise", 4),
        "gspo": (3e-4, 4e-4, "sequence-mean", "std", "score", 4),
        "cispo": (1.0, 4.0, "token-mean", "std", "score", 4),
    }
    bounds = (train.clip_low, train.clip_high)
    assert (*bounds, train.aggregation, train.normalise, train.overlong, train.minibatches) == expected[objective]


def test_names_that_a_recipe_may_choose_are_those_the_modules_offer() -> None:
    """The configuration spells the names out, since it must not import torch; they must not drift apart."""

    def choices(section: type[BaseModel], key: str) -> set[str]:
        return set(get_args(section.model_fields[key].annotation))

    assert choices(recipe_keys.Train, "objective") == set(loss.OBJECTIVES) == set(recipe_keys.OBJECTIVE_DEFAULTS)
    assert choices(recipe_keys.Train, "aggregation") == set(loss.AGGREGATIONS)
    assert choices(recipe_keys.Train, "kl_estimator") == set(loss.KL_ESTIMATORS)
    assert choices(recipe_keys.Train, "normalise") == set(NORMALISE)
    assert choices(recipe_keys.Reward, "method") == set(METHODS)
    assert choices(recipe_keys.Warmstart, "teacher") == set(TEACHERS)
    assert set(get_args(recipe_keys.Sink)) == set(SINKS)


def test_shipped_recipe_by_a_wrong_name() -> None:
    with pytest.raises(InputError, match="Did you mean 'smollm2'"):
        config.shipped("smolm2")
    with pytest.raises(InputError, match="Did you mean 'lora'"):
        config.load("recipes/lor.toml")


def test_shipped_recipe_by_its_name_from_any_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    assert config.load("lora") == config.load(config.shipped("lora"))
    mine = config.dump(config.load("lora", ["run.name=mine"]))
    (tmp_path / "lora").write_text(mine, encoding="utf-8")
    assert config.load("lora").run.name == "mine", "a file of one's own comes first"
