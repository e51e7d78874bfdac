"""``dz train`` as a person calls it."""

from __future__ import annotations

from pathlib import Path

import pytest
import typer
from benchmarks.toy_runs import RECIPE, raw_policy, write_inputs
from typer.testing import CliRunner, Result

from diagnosis_zero.cli import train as command
from diagnosis_zero.errors import InputError

app = typer.Typer()
app.callback()(lambda: None)
command.register(app)


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("train")
    write_inputs(folder, raw_policy())
    path = folder / "toy.toml"
    path.write_text(RECIPE.format(inputs=folder, runs=folder / "runs"), encoding="utf-8")
    return path


def dz(*words: object) -> Result:
    return CliRunner().invoke(app, ["train", *map(str, words)], catch_exceptions=False)


SMALL = ("--set", "train.steps=1", "--set", "eval.cases=1", "--set", "eval.test_cases=3", "--set", "rollout.group=2")


def test_a_run_ends_with_its_comparison_and_the_bare_path_of_the_report(recipe: Path) -> None:
    done = dz(recipe, *SMALL)
    assert done.exit_code == 0
    lines = done.stdout.splitlines()
    assert lines[-1] == str(recipe.parent / "runs" / "toy" / "report.html")
    assert "3 cases" in lines[-2]
    assert Path(lines[-1]).is_file()


def test_a_run_goes_on_by_resume_and_refuses_without(recipe: Path) -> None:
    sets = (*SMALL, "--set", "run.name=again")
    dz(recipe, *sets)
    with pytest.raises(InputError, match="a run of this name exists"):
        dz(recipe, *sets)
    with pytest.raises(InputError, match="another experiment"):
        dz(recipe, *sets, "--set", "reward.method=ontology", "--set", "reward.catalogue=none", "--resume")
    done = dz(recipe, *sets, "--set", "train.steps=2", "--resume")
    assert f"resumed from {recipe.parent / 'runs' / 'again' / 'checkpoints' / 'step-000001'}" in done.stdout


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("train.stepz=3", "unknown key 'train.stepz'.*Did you mean 'steps'"),
        ("rollout.group=1", "rollout.group = 1"),
        ("data.folder=elsewhere", "elsewhere"),
        ("model.id=no/such/folder", "cannot load model 'no/such/folder'"),
        ("prompt.template=unheard", "no template of this name"),
    ],
)
def test_what_is_wrong_is_said_in_a_line(recipe: Path, setting: str, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        dz(recipe, "--set", setting, "--set", "run.name=wrong")
    assert "\n" not in str(caught.value)
