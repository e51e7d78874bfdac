"""The demo takes the place of the demo before it, and of nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from diagnosis_zero import config, demo
from diagnosis_zero.errors import InputError


def earlier(folder: Path, *overrides: str) -> Path:
    recipe = config.load(config.shipped("demo"), [f'run.dir="{folder}"', *overrides])
    recipe.run.folder.mkdir(parents=True)
    (recipe.run.folder / "config.toml").write_text(config.dump(recipe), encoding="utf-8")
    return recipe.run.folder


def test_the_demo_of_another_seed_is_replaced(tmp_path: Path) -> None:
    before = earlier(tmp_path, "run.seed=3")
    demo._clear(config.load(config.shipped("demo"), [f'run.dir="{tmp_path}"']))
    assert not before.exists()


@pytest.mark.parametrize("override", ["train.steps=500", "train.lr=1e-5"])
def test_a_run_of_ones_own_under_that_name_is_kept(tmp_path: Path, override: str) -> None:
    before = earlier(tmp_path, override)
    with pytest.raises(InputError, match="not a run of the demo"):
        demo._clear(config.load(config.shipped("demo"), [f'run.dir="{tmp_path}"']))
    assert before.exists()
