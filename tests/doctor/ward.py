"""A healthy recipe on a toy model, and ways to make it ill."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.toy_runs import raw_policy, save_policy, teach, toy_cases, toy_examples, toy_recipe

from diagnosis_zero import config
from diagnosis_zero.cases.prepare import prepare
from diagnosis_zero.doctor.examine import examine
from diagnosis_zero.doctor.notes import Note
from diagnosis_zero.engine.model import Policy
from diagnosis_zero.prompts import SHORT
from diagnosis_zero.recipe import Recipe
from diagnosis_zero.types import Case

HEALTHY = (
    "rollout.group=8",
    "rollout.max_tokens=450",
    "train.lr=1e-6",
    "eval.cases=200",
    "train.warmup=0",
    "train.micro_batch_tokens=2048",
    'guard.on_collapse="stop"',
)
"""What the toy recipe wants to be one that a doctor sends home."""


@dataclass(frozen=True, slots=True)
class Ward:
    """A folder that holds ``model``, ``data`` and the healthy ``recipe.toml``."""

    folder: Path

    @property
    def path(self) -> Path:
        return self.folder / "recipe.toml"

    def recipe(self, *overrides: str) -> Recipe:
        return config.load(self.path, overrides)

    def notes(self, *overrides: str) -> list[Note]:
        return list(examine(self.path, overrides))

    def model_like(self, folder: Path) -> Path:
        """A copy of the model, to be made ill."""
        shutil.copytree(self.folder / "model", folder)
        return folder

    def data(self, folder: Path, cases: Sequence[Case]) -> str:
        """Another data folder, as an override."""
        prepare(iter(cases), folder, split="random", seed=0, template=SHORT)
        return f'data.folder="{folder}"'


def policy(batches: int) -> Policy:
    """The toy model, taught the form for so many batches (0: random weights)."""
    raw = raw_policy(window=1024)
    return teach(raw, toy_examples(), batches) if batches else raw


def open_ward(folder: Path) -> Ward:
    ward = Ward(folder)
    save_policy(policy(60), folder / "model")
    ward.data(folder / "data", toy_cases(800))
    ward.path.write_text(config.dump(toy_recipe(folder, folder / "runs", *HEALTHY)), encoding="utf-8")
    return ward


def edit_json(path: Path, **changes: object) -> None:
    found = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**found, **changes}), encoding="utf-8")


def of(notes: Sequence[Note], check: str, level: str | None = None) -> list[Note]:
    """The notes of a check, of one level where it is given."""
    return [note for note in notes if note.check == check and level in (None, note.level)]


def complaints(notes: Sequence[Note]) -> list[Note]:
    return [note for note in notes if note.level != "ok"]
