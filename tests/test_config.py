"""A recipe is read whole, written whole, and every mistake in it is named with its mend."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from diagnosis_zero import config
from diagnosis_zero import recipe as recipe_keys
from diagnosis_zero.errors import InputError

MINIMAL = """
[model]
id = "tiny"
[data]
folder = "data/x"
[train]
steps = 10
[run]
name = "x"
"""


@pytest.fixture
def recipe_file(tmp_path: Path) -> Path:
    path = tmp_path / "x.toml"
    path.write_text(MINIMAL, encoding="utf-8")
    return path


def message(path: Path, *overrides: str) -> str:
    with pytest.raises(InputError) as caught:
        config.load(path, overrides)
    return str(caught.value)


def test_minimal_recipe_takes_the_defaults(recipe_file: Path) -> None:
    recipe = config.load(recipe_file)
    assert recipe.train.objective == "grpo"
    assert (recipe.train.clip_low, recipe.train.clip_high) == (0.2, 0.2)
    assert recipe.warmstart is None
    assert recipe.run.folder == Path("runs/x")


def test_override_wins_over_the_file_and_reads_toml_values(recipe_file: Path) -> None:
    recipe = config.load(
        recipe_file,
        [
            "train.lr=1e-6",
            "train.steps=3",
            "model.dtype=float32",
            "train.betas=[0.8, 0.9]",
            "run.sinks=['wandb']",
            "warmstart.batches=4",
            "train.lr = 2e-6",
        ],
    )
    assert recipe.train.lr == 2e-6  # the last one counts
    assert recipe.train.steps == 3
    assert recipe.model.dtype == "float32"
    assert recipe.train.betas == (0.8, 0.9)
    assert recipe.run.sinks == ("wandb",)
    assert recipe.warmstart is not None
    assert recipe.warmstart.batches == 4


def test_override_none_takes_an_optional_key_away(recipe_file: Path) -> None:
    recipe = config.load(recipe_file, ["data.folder=none", "data.vignettes.cases=100"])
    assert recipe.data.folder is None
    assert recipe.data.vignettes is not None


def test_catalogue_none_is_a_choice_and_survives_the_round_trip(recipe_file: Path) -> None:
    recipe = config.load(recipe_file, ["reward.catalogue=none"])
    assert recipe.reward.source is None
    recipe_file.write_text(config.dump(recipe), encoding="utf-8")
    assert config.load(recipe_file) == recipe
    assert config.load(recipe_file, ["reward.catalogue=c.sqlite"]).reward.source == "c.sqlite"


def test_objective_brings_its_defaults_and_the_recipe_wins(recipe_file: Path) -> None:
    dapo = config.load(recipe_file, ["train.objective=dapo"]).train
    assert (dapo.clip_low, dapo.clip_high, dapo.overlong) == (0.2, 0.28, "penalise")
    dr_grpo = config.load(recipe_file, ["train.objective=dr-grpo", "train.normalise=std"]).train
    assert (dr_grpo.aggregation, dr_grpo.normalise) == ("dr-grpo", "std")


def test_unknown_key_names_file_and_nearest(recipe_file: Path) -> None:
    recipe_file.write_text(MINIMAL.replace("steps", "stpes"), encoding="utf-8")
    assert message(recipe_file) == f"{recipe_file}: unknown key 'train.stpes'. Did you mean 'steps'?"


def test_unknown_key_in_a_nested_optional_section(recipe_file: Path) -> None:
    text = message(recipe_file, "data.folder=none", "data.vignettes.desease=3")
    assert "unknown key 'data.vignettes.desease'. Did you mean 'diseases'?" in text


def test_unknown_section_from_the_command_line_names_the_override(recipe_file: Path) -> None:
    text = message(recipe_file, "trian.lr=1e-6")
    assert text == "--set trian.lr=1e-6: unknown key 'trian'. Did you mean 'train'?"


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("train.lr=fast", "train.lr = 'fast': Input should be a valid number"),
        ("train.steps=1.5", "train.steps = 1.5"),
        ("train.steps=true", "train.steps = True"),
        ("train.lr=nan", "train.lr"),
        ("train.lr=-1e-6", "greater than 0"),
        ("rollout.group=1", "greater than or equal to 2"),
        ("train.objective=gpro", "'grpo', 'dr-grpo', 'dapo', 'gspo' or 'cispo'"),
        ("run.name='../x'", "run.name"),
        ("train", "Write --set section.key=value"),
        ("=3", "Write --set section.key=value"),
        ("train.lr.x=3", "train.lr"),
        ("train.steps.x=3", "'steps' in --set 'train.steps.x=3' is a key, not a section. Write --set"),
    ],
)
def test_wrong_value_names_the_key(recipe_file: Path, override: str, words: str) -> None:
    assert words in message(recipe_file, override)


@pytest.mark.parametrize(
    ("overrides", "what", "mend"),
    [
        (["data.folder=none"], "exactly one of folder and vignettes", "data.folder"),
        (["train.steps=none"], "neither steps nor epochs", "train.epochs"),
        (["rollout.prompts=6", "train.minibatches=4"], "6 prompts do not divide into 4", "one of 1, 2, 3, 6"),
        (["train.micro_batch_tokens=2047"], "(1024 + 1024 tokens)", "2048 or more"),
        (["train.overlong_buffer=1024"], "not below rollout.max_tokens", "205"),
        (["train.overlong_buffer=99"], 'no effect with train.overlong = "score"', '"penalise"'),
        (["train.objective=cispo", "train.dual_clip=3.0"], "no effect with cispo", "Remove it"),
    ],
)
def test_batch_that_does_not_add_up_says_how_to_mend_it(
    recipe_file: Path, overrides: list[str], what: str, mend: str
) -> None:
    text = message(recipe_file, *overrides)
    assert what in text
    assert mend in text


def test_missing_key_missing_file_and_broken_toml(tmp_path: Path, recipe_file: Path) -> None:
    recipe_file.write_text(MINIMAL.replace('id = "tiny"', ""), encoding="utf-8")
    assert "'model.id' is missing" in message(recipe_file)
    recipe_file.write_text("[model\nid=1", encoding="utf-8")
    assert "line 1" in message(recipe_file)
    recipe_file.write_bytes(b'[model]\nid = "\xff"')
    assert "not TOML" in message(recipe_file)
    assert "none.toml'. Give a file, or one that comes with the package" in message(tmp_path / "none.toml")


@given(
    lr=st.floats(1e-12, 1.0),
    beta=st.floats(0.0, 1.0),
    seed=st.integers(-(2**63), 2**63 - 1),
    weights=st.dictionaries(st.text("abc_é .", min_size=1), st.floats(-2.0, 2.0)),
    objective=st.sampled_from(sorted(recipe_keys.OBJECTIVE_DEFAULTS)),
)
def test_dump_is_read_back_as_the_same_recipe(
    tmp_path_factory: pytest.TempPathFactory,
    lr: float,
    beta: float,
    seed: int,
    weights: dict[str, float],
    objective: recipe_keys.Objective,
) -> None:
    recipe = recipe_keys.Recipe(
        model=recipe_keys.Model(id='a "quoted" path'),
        data=recipe_keys.Data(vignettes=recipe_keys.Vignettes()),
        reward=recipe_keys.Reward(weights=weights),
        train=recipe_keys.Train(steps=1, lr=lr, betas=(beta, beta), objective=objective),
        run=recipe_keys.Run(name="x", seed=seed, sinks=("tensorboard",)),
    )
    path = tmp_path_factory.mktemp("dump") / "config.toml"
    path.write_text(config.dump(recipe), encoding="utf-8")
    assert config.load(path) == recipe


def test_total_steps_takes_what_ends_first_and_leaves_no_case_out(recipe_file: Path) -> None:
    by_steps = config.load(recipe_file)
    assert config.total_steps(by_steps, cases=1_000_000) == 10
    by_epochs = config.load(recipe_file, ["train.steps=none", "train.epochs=3", "rollout.prompts=8"])
    assert config.total_steps(by_epochs, cases=20) == 8  # 60 prompts: seven full steps and one more for the last 4
    both = config.load(recipe_file, ["train.epochs=3", "train.steps=5"])
    assert config.total_steps(both, cases=20) == 5


def test_differences_name_the_keys(recipe_file: Path) -> None:
    old = config.load(recipe_file)
    new = config.load(recipe_file, ["train.lr=3e-6", "warmstart.batches=2"])
    changed = config.differences(old, new)
    assert changed["train.lr"] == (1e-6, 3e-6)
    assert changed["warmstart.batches"] == (None, 2)
    assert config.differences(old, old) == {}


def test_importing_the_configuration_does_not_load_torch() -> None:
    code = "import sys, diagnosis_zero.config; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
