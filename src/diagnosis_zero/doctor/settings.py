"""The recipe's numbers: how the batch adds up, and settings that are known to end in a collapse."""

from __future__ import annotations

from collections.abc import Iterator

from diagnosis_zero import config
from diagnosis_zero.doctor.notes import Note, ok, warning
from diagnosis_zero.recipe import Recipe

HIGHEST_LR = 1e-5
"""Learning rate above which full training of a pretrained model by policy gradients tends to blow up; published runs
use 3e-7 to 5e-6."""
LORA_LR = 10
"""How many times as large a rate an adapter wants and bears ("LoRA Without Regret", Schulman et al. 2025)."""


def arithmetic(recipe: Recipe, training: int) -> Iterator[Note]:
    """Prompts, groups, completions, updates, steps, passes. ``training``: the number of training cases."""
    prompts, group, train = recipe.rollout.prompts, recipe.rollout.group, recipe.train
    steps = config.total_steps(recipe, training)
    yield ok(
        "batch",
        f"a step: {prompts} prompts x {group} = {prompts * group} completions, {train.minibatches} update(s) of "
        f"{prompts * group // train.minibatches}; the run: {steps} steps, {steps * prompts / training:.2g} passes over "
        f"{training} cases",
    )
    if prompts > training:
        what = f"a step takes {prompts} prompts, there are {training} training cases: cases repeat within a step"
        yield warning("batch", what, f"Set rollout.prompts to {training} or less.")
    if group < 4:
        what = f"groups of {group}: most hold no right and wrong answer side by side, and teach nothing"
        yield warning("batch.group", what, "Set rollout.group to 8 or 16.")
    if train.warmup >= steps:
        what = f"the learning rate warms up for {train.warmup} of {steps} steps"
        yield warning("batch.warmup", what, "Set train.warmup to a tenth of the steps or less.")
    if recipe.eval.every > steps:
        what = f"validation comes every {recipe.eval.every} steps, the run has {steps}"
        yield warning("batch.eval", what, "Lower eval.every: between start and end nothing would be measured.")


def stability(recipe: Recipe) -> Iterator[Note]:
    """Settings that runs are known to die of."""
    found = list(_risks(recipe))
    yield from found
    if not found:
        yield ok("stability", "no setting that is known to end in a collapse; the guard acts on one")


def _risks(recipe: Recipe) -> Iterator[Note]:
    train, temperature = recipe.train, recipe.rollout.temperature
    if recipe.model.id != "tiny":
        yield from _lr(train.lr, LORA_LR if recipe.lora else 1)
    if train.max_grad_norm > 10:
        what = f"train.max_grad_norm = {train.max_grad_norm:g}: a late blow-up of the gradient is hardly clipped"
        yield warning("stability.clip", what, "Set train.max_grad_norm = 1.0.")
    if train.kl_coefficient and train.kl_estimator == "k1" and train.kl_place == "loss":
        what = "k1 in the loss: its gradient is zero on average, so that the KL is not held at all"
        yield warning("stability.kl", what, 'Set train.kl_estimator = "k3", or train.kl_place = "reward".')
    if train.kl_coefficient > 0.1:
        what = f"train.kl_coefficient = {train.kl_coefficient:g}: the policy can hardly leave the reference"
        yield warning("stability.kl", what, "Set it to 0.001 to 0.01, or 0.")
    if not 0.6 <= temperature <= 1.3:
        why = "samples are too alike to compare" if temperature < 0.6 else "text falls apart"
        what = f"rollout.temperature = {temperature:g}: {why}, and entropy collapses or explodes"
        yield warning("stability.temperature", what, "Set it to 1.0.")
    if train.entropy_coefficient > 0.01:
        what = f"train.entropy_coefficient = {train.entropy_coefficient:g}: the bonus outweighs small rewards"
        yield warning("stability.entropy", what, "Set it to 0.001 or less, or 0.")
    if recipe.guard.on_collapse == "warn":
        what = 'guard.on_collapse = "warn": a collapse is told and training goes on'
        yield warning("stability.guard", what, 'Set it to "stop" or "rewind" for a run that nobody watches.')


def _lr(lr: float, times: int) -> Iterator[Note]:
    """``times``: how many times the learning rate of full training the trained weights bear."""
    if lr > HIGHEST_LR * times:
        what = f"train.lr = {lr:g}: pretrained models blow up above about {HIGHEST_LR * times:g}"
        if times > 1:
            what += " (with an adapter)"
        yield warning("stability.lr", what, f"Set train.lr to {1e-6 * times:g}, with train.warmup = 10.")
