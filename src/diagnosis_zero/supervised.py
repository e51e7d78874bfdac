"""The supervised baseline: what the labels alone teach, without reinforcement learning.

The model that a recipe's run begins with (its warm start included) is fine-tuned on the first accepted name of the
same training cases, asked by the same prompt, and evaluated on the same test cases in the same way. The folder looks
like a run's, so that ``dz compare`` sets it against the run of the recipe.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from diagnosis_zero import config, prompts, records
from diagnosis_zero.errors import InputError
from diagnosis_zero.evaluate.compare import Comparison, compare
from diagnosis_zero.experiment import evaluate_policy, evaluation_folder
from diagnosis_zero.parsing import render
from diagnosis_zero.recipe import Recipe
from diagnosis_zero.types import Case

if TYPE_CHECKING:
    from diagnosis_zero.engine.model import Policy
    from diagnosis_zero.train.view import View
    from diagnosis_zero.train.warmstart import Example

NO_THOUGHT = "See the case."
"""Stands where the reasoning would: cases have no reasoning to imitate, and the form wants some."""
SUFFIX = "-sft"


@dataclass(frozen=True, slots=True)
class Schedule:
    """``epochs`` passes over the training cases in batches of ``batch_size``; see ``train.warmstart`` for the rate."""

    epochs: int = 3
    batch_size: int = 8
    lr: float = 2e-5

    def batches(self, cases: int) -> int:
        return math.ceil(self.epochs * cases / self.batch_size)


def fine_tune(recipe: Recipe, schedule: Schedule, view: View | None = None) -> tuple[Path, Comparison]:
    """Fine-tune and evaluate before and after; the folder (the recipe's, with ``SUFFIX``) and the comparison.

    Raises:
        InputError: the folder exists, the recipe wants LoRA, or no training case is short enough.
    """
    from diagnosis_zero.engine import model as models
    from diagnosis_zero.train import start
    from diagnosis_zero.train.view import View
    from diagnosis_zero.train.warmstart import warm_start

    view = view or View()
    recipe = recipe.model_copy(update={"run": recipe.run.model_copy(update={"name": recipe.run.name + SUFFIX})})
    folder = _open(recipe)
    cases = start.splits(recipe, folder)
    template = prompts.load_template(recipe.prompt.template)
    warm = recipe.warmstart.batches if recipe.warmstart else 1
    policy = start.fresh_policy(recipe, cases.train, view.say, view.batches(warm))
    cases = start.short_enough(cases, policy, template, recipe.data.max_prompt_tokens, view.say)
    if recipe.model.gradient_checkpointing:
        models.enable_checkpointing(policy.model)
    _keep(recipe, policy, 0, cases.test)
    batches = schedule.batches(len(cases.train))
    view.say(
        f"fine-tuning: {batches} batches of {schedule.batch_size}, {schedule.epochs} times {len(cases.train)} cases"
    )
    warm_start(
        policy,
        examples(cases.train, template),
        batches=batches,
        batch_size=schedule.batch_size,
        lr=schedule.lr,
        seed=recipe.run.seed,
        token_budget=recipe.train.micro_batch_tokens,
        on_batch=view.batches(batches),
    )
    _keep(recipe, policy, batches, cases.test)
    return folder, compare(evaluation_folder(folder, 0), evaluation_folder(folder, batches))


def examples(cases: Sequence[Case], template: str) -> list[Example]:
    """Each case with the answer that its label is, in the full form."""
    return [(prompts.build_chat(case, template), render(NO_THOUGHT, case.names[0])) for case in cases]


def _open(recipe: Recipe) -> Path:
    if recipe.lora is not None:
        raise InputError("fine-tuning here trains every weight, and the recipe has [lora]", mend="Add --set lora=none.")
    folder = recipe.run.folder
    if folder.exists():
        raise InputError("there is something of that name", where=folder, mend="Give another: --set run.name=...")
    folder.mkdir(parents=True)
    with records.atomic_write(folder / "config.toml") as handle:
        handle.write(config.dump(recipe))
    return folder


def _keep(recipe: Recipe, policy: Policy, step: int, test: list[Case]) -> None:
    """Weights and evaluation of a step, under the names that a run gives them."""
    from diagnosis_zero.train import checkpoint

    path = checkpoint.folder(recipe.run.folder, step)
    policy.model.save_pretrained(path)
    policy.tokenizer.save_pretrained(path)
    evaluate_policy(recipe, policy, step, test[: recipe.eval.test_cases])
