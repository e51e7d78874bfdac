"""Look at a recipe from all sides before it is run: every check in its order, each on what the ones before found.

Where the model or the cases cannot be had, stand-ins take their place, so that one error does not hide the others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import ParamSpec, TypeVar

import torch

from diagnosis_zero import config, experiment, prompts
from diagnosis_zero.cases import vignettes
from diagnosis_zero.doctor import machine, model, resources, settings
from diagnosis_zero.doctor.cases import examine_lengths, examine_splits, examine_truncation, named
from diagnosis_zero.doctor.model import Opened
from diagnosis_zero.doctor.notes import Note, error, ok
from diagnosis_zero.doctor.reward import examine_reward
from diagnosis_zero.doctor.step import examine_step, examine_trial
from diagnosis_zero.doctor.template import completion, examine_template
from diagnosis_zero.engine import model as models
from diagnosis_zero.errors import InputError
from diagnosis_zero.recipe import Recipe, Vignettes
from diagnosis_zero.train import start
from diagnosis_zero.types import Case

STAND_INS = 60
"""Made-up patients that stand in for cases that cannot be read."""
TRIAL_PARAMETERS = 500_000_000
"""Size up to which a model writes a few completions on a CPU."""

HOW_TO_PREPARE = "The shipped recipes' first lines say which command makes theirs; see docs/data.md."

P = ParamSpec("P")
T = TypeVar("T")


def examine(path: Path, overrides: Sequence[str] = ()) -> Iterator[Note]:
    """What is to be said of the recipe, note by note as it is found. Writes into a temporary folder only."""
    try:
        recipe = config.load(path, overrides)
        template = prompts.load_template(recipe.prompt.template)
    except InputError as fault:
        yield error("recipe", ": ".join(filter(None, (fault.where, fault.what))), fault.mend or "Mend the recipe.")
        return
    yield ok("recipe", f"{path} reads, and its batch adds up")
    yield from machine.packages(recipe)
    yield from machine.run_folder(recipe)
    yield from settings.stability(recipe)
    with TemporaryDirectory(prefix="dz-doctor-") as scratch:
        yield from _experiment(recipe, template, Path(scratch))


def _experiment(recipe: Recipe, template: str, scratch: Path) -> Iterator[Note]:
    """Cases, model and reward: everything that needs more than the recipe's text."""
    splits, unread = _tried("cases", start.splits, recipe, scratch)
    yield from (replace(note, mend=f"{note.mend} {HOW_TO_PREPARE}") for note in unread)
    if splits is not None:
        yield from examine_splits(recipe, splits)
    cases = [case for case in splits.train if named(case)] if splits is not None else []
    training = len(cases)
    if not training:
        yield ok("cases", f"{STAND_INS} made-up patients stand in for them in what follows")
        cases = _stand_in_cases(recipe)
    examples = start.worked_examples(recipe, cases)
    opened, unopened = _tried("model", model.open_model, recipe, cases, examples)
    yield from unopened
    if opened is None:
        opened = model.stand_in(recipe, cases)
        yield ok("model", "a tiny model stands in for it in what follows")
    think_opened = start.opens_thinking(opened.dummy)
    lengths, fit, prompt_tokens = examine_lengths(recipe, opened.dummy, cases)
    if opened.shape is not None:
        yield from model.architecture(opened, recipe.data.max_prompt_tokens, recipe.rollout.max_tokens)
        yield from model.weights(opened, recipe.model.id)
        yield from examine_template(opened.dummy, template, cases[0], think_opened)
        yield from lengths if training else ()
        yield from examine_truncation(recipe, opened.dummy, cases, examples, completion(""))
    if training:
        yield from settings.arithmetic(recipe, training)
    yield from resources.examine_resources(recipe, opened, prompt_tokens, training)
    yield from _rewarded(recipe, opened, cases, fit or list(cases), think_opened, scratch)


def _rewarded(
    recipe: Recipe, opened: Opened, cases: Sequence[Case], fit: Sequence[Case], think_opened: bool, scratch: Path
) -> Iterator[Note]:
    """The checks that score answers."""
    reward, wrong = _tried("reward", experiment.reward_of, recipe, think_opened)
    yield from wrong
    if reward is None:
        return
    yield from _guarded("reward", examine_reward(opened.dummy, reward, recipe, cases, think_opened))
    reward_for = partial(experiment.reward_of, recipe)
    yield from _guarded("step", examine_step(recipe, opened.dummy, reward_for, fit, scratch))
    if _can_write(recipe, opened):
        policy, unloaded = _tried("trial", models.load, recipe.model.id, dtype=recipe.model.dtype)
        yield from unloaded
        if policy is not None:
            yield from _guarded("trial", examine_trial(recipe, policy, reward, fit, think_opened))


def _can_write(recipe: Recipe, opened: Opened) -> bool:
    """Whether the model is here as it will be when training begins, and quick enough to be asked."""
    here = opened.folder is not None and any(opened.folder.glob("*.safetensors"))
    return here and recipe.warmstart is None and (torch.cuda.is_available() or opened.parameters <= TRIAL_PARAMETERS)


def _stand_in_cases(recipe: Recipe) -> list[Case]:
    world = start.world_of(recipe.data.vignettes or Vignettes())
    return list(vignettes.generate(world, STAND_INS, recipe.run.seed))


def _tried(check: str, work: Callable[P, T], *given: P.args, **named: P.kwargs) -> tuple[T | None, list[Note]]:
    """What ``work`` gives, or the note that its ``InputError`` makes."""
    try:
        return work(*given, **named), []
    except InputError as fault:
        return None, [_told(check, fault)]


def _guarded(check: str, notes: Iterator[Note]) -> Iterator[Note]:
    """The notes, up to the failure that ends them: an error of its own."""
    try:
        yield from notes
    except InputError as fault:
        yield _told(check, fault)
    except (RuntimeError, ValueError, OSError) as fault:  # what torch, transformers and the disk raise
        what = f"failed: {type(fault).__name__}: {str(fault).partition(chr(10))[0]}"
        yield error(check, what, "The run would fail in the same way; if nothing above explains it, please report it.")


def _told(check: str, fault: InputError) -> Note:
    where = f"{fault.where}: " if fault.where else ""
    return error(check, f"{where}{fault.what}", fault.mend or "Mend it and ask again.")
