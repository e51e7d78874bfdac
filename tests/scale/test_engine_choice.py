"""`--engine` before anything is loaded."""

from __future__ import annotations

from pathlib import Path

import pytest
import typer
from benchmarks import toy_runs
from click.testing import Result
from typer.testing import CliRunner

from diagnosis_zero.cli import train as command
from diagnosis_zero.errors import InputError
from diagnosis_zero.records import write_json
from diagnosis_zero.scale import preflight

RECIPE = """
[model]
id = "nowhere"
[data]
folder = "nowhere"
[train]
steps = 1
[run]
name = "run"
dir = "{folder}"
"""

app = typer.Typer()
app.callback()(lambda: None)
command.register(app)


def dz(folder: Path, *words: str) -> Result:
    recipe = folder / "recipe.toml"
    recipe.write_text(RECIPE.format(folder=folder), encoding="utf-8")
    return CliRunner().invoke(app, ["train", str(recipe), *words], catch_exceptions=False)


@pytest.mark.parametrize(("began", "other"), [("verl", "local"), (None, "verl")])
def test_a_run_goes_on_with_the_engine_that_it_began_with(tmp_path: Path, began: str | None, other: str) -> None:
    write_json(tmp_path / "run" / "manifest.json", {"engine": began} if began else {})  # the local engine names none
    with pytest.raises(InputError, match=f"of the engine '{began or 'local'}'"):
        dz(tmp_path, "--engine", other, "--resume")


def test_a_dry_run_is_of_verl(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="--dry-run is for --engine verl"):
        dz(tmp_path, "--dry-run")


@pytest.mark.skipif(preflight.has_verl(), reason="verl is here, and judges")
def test_a_dry_run_that_verl_did_not_judge_says_so(tmp_path: Path) -> None:
    toy_runs.write_inputs(tmp_path, toy_runs.raw_policy())
    here = (f"model.id={tmp_path}/model", f"data.folder={tmp_path}/data")
    printed = dz(tmp_path, "--engine", "verl", "--dry-run", *(word for key in here for word in ("--set", key)))
    assert "has not judged these options. Run: pip install" in printed.stderr
    assert printed.stdout.startswith("python -m verl.trainer.main_ppo ")
