"""The one typed configuration of a run: a TOML file, plus ``--set section.key=value`` from the command line.

Only ``cli`` and ``train.loop`` read it; inner functions take values. Paths in a recipe are relative to the
folder that the command is started in. A key that does not exist is an error that names the nearest one.
The keys stand in ``recipe``.
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

import tomli_w
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from diagnosis_zero.errors import InputError, nearest
from diagnosis_zero.recipe import Recipe

FIXED_ON_RESUME = ("model", "lora", "data", "prompt", "reward", "run.seed", "warmstart", "train.optimizer")
"""Keys that make another experiment of a run: a resume refuses to change them unless it is forced."""


def load(path: str | Path, overrides: Sequence[str] = ()) -> Recipe:
    """Read a recipe, a file or the name of one that comes with the package (``smollm2``); each override is
    ``section.key=value`` with the value in TOML (or a bare word).

    Raises:
        InputError: no such file, not TOML, an unknown key, a value of the wrong type or range, or a batch
            that does not add up; it names the file (or the override), the key and the mend.
    """
    path = Path(path) if Path(path).is_file() else shipped(str(path))
    tree = _read_toml(path)
    origin = {_override(tree, text): f"--set {text}" for text in overrides}
    try:
        recipe = Recipe.model_validate(tree)
    except ValidationError as error:
        raise _explain(error.errors()[0], path, origin) from error
    for what, mend in faults(recipe):
        raise InputError(what, where=path, mend=mend)
    return recipe


def dump(recipe: Recipe) -> str:
    """The recipe as TOML, every key spelled out; ``load`` gives the same recipe back."""
    return tomli_w.dumps(recipe.model_dump(mode="json", exclude_none=True))


def shipped(name: str) -> Path:
    """The recipe of this name that comes with the package (in a wheel) or the checkout.

    Raises:
        InputError: there is none; names the nearest.
    """
    here = Path(__file__).resolve().parent
    folders = [folder for folder in (here / "recipes", here.parents[1] / "recipes") if folder.is_dir()]
    found = {path.stem: path for folder in reversed(folders) for path in folder.glob("*.toml")}
    if name not in found:
        hint = nearest(Path(name).stem, list(found))
        raise InputError(f"no recipe {name!r}", mend=f"Give a file, or one that comes with the package by name. {hint}")
    return found[name]


def faults(recipe: Recipe) -> list[tuple[str, str]]:
    """What does not add up between the keys: (what, how to mend it) for each."""
    data, rollout, train = recipe.data, recipe.rollout, recipe.train
    found: list[tuple[str, str]] = []
    if (data.folder is None) == (data.vignettes is None):
        found.append(("data needs exactly one of folder and vignettes", "Remove one, or add data.folder."))
    if train.steps is None and train.epochs is None:
        found.append(("train has neither steps nor epochs", "Add train.steps or train.epochs."))
    if rollout.prompts % train.minibatches:
        divisors = [n for n in range(1, rollout.prompts + 1) if rollout.prompts % n == 0]
        found.append(
            (
                f"{rollout.prompts} prompts do not divide into {train.minibatches} minibatches",
                f"Set train.minibatches to one of {', '.join(map(str, divisors))}.",
            )
        )
    longest = data.max_prompt_tokens + rollout.max_tokens
    if train.micro_batch_tokens < longest:
        found.append(
            (
                f"train.micro_batch_tokens = {train.micro_batch_tokens} cannot hold a prompt and completion "
                f"({data.max_prompt_tokens} + {rollout.max_tokens} tokens)",
                f"Set it to {longest} or more, or lower data.max_prompt_tokens or rollout.max_tokens.",
            )
        )
    if train.overlong_buffer is not None and train.overlong_buffer >= rollout.max_tokens:
        found.append(
            (
                f"train.overlong_buffer = {train.overlong_buffer} is not below rollout.max_tokens = "
                f"{rollout.max_tokens}",
                f"Set it to about a fifth of it ({math.ceil(rollout.max_tokens / 5)}), or remove it.",
            )
        )
    if train.overlong_buffer is not None and train.overlong != "penalise":
        found.append(
            (
                f'train.overlong_buffer has no effect with train.overlong = "{train.overlong}"',
                'Remove it, or set train.overlong = "penalise".',
            )
        )
    if train.dual_clip is not None and train.objective == "cispo":
        found.append(("train.dual_clip has no effect with cispo, which bounds every ratio", "Remove it."))
    return found


def total_steps(recipe: Recipe, cases: int) -> int:
    """Steps of the run on this many training cases. Epochs follow on one another in one stream of prompts, so
    that no case is left out for want of a full batch; the last step is filled from one pass more."""
    epochs, steps = recipe.train.epochs, recipe.train.steps
    by_epochs = math.inf if epochs is None else math.ceil(epochs * cases / recipe.rollout.prompts)
    return int(min(by_epochs, math.inf if steps is None else steps))


def differences(old: Recipe, new: Recipe) -> dict[str, tuple[Any, Any]]:
    """Keys whose values differ, as ``{"train.lr": (old, new)}``; an absent key reads None."""
    before, after = (_flat(recipe.model_dump(mode="json", exclude_none=True)) for recipe in (old, new))
    keys = [*before, *(key for key in after if key not in before)]
    return {key: (before.get(key), after.get(key)) for key in keys if before.get(key) != after.get(key)}


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(
            f"not TOML ({error})", where=path, mend="Write [section] lines, and key = value lines below each."
        ) from error


def _override(tree: dict[str, Any], text: str) -> tuple[str, ...]:
    """Put one override into the tree; the key's parts."""
    key, equals, value = text.partition("=")
    parts = tuple(part.strip() for part in key.split("."))
    if not equals or not all(parts):
        raise InputError(f"cannot read --set {text!r}", mend="Write --set section.key=value.")
    node = tree
    for part in parts[:-1]:
        node = node.setdefault(part, {})
        if not isinstance(node, dict):
            raise InputError(
                f"{part!r} in --set {text!r} is a key, not a section", mend="Write --set section.key=value."
            )
    node[parts[-1]] = _value(value.strip())
    return parts


def _value(text: str) -> Any:
    """A TOML value; what is not TOML is a bare word; ``none`` takes an optional key away."""
    if text == "none":
        return None
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def _explain(error: ErrorDetails, path: Path, origin: Mapping[tuple[str, ...], str]) -> InputError:
    """The first error of pydantic in our words: which key, what was wrong, the nearest known key."""
    location = tuple(str(part) for part in error["loc"])
    key = ".".join(location)
    where = next((text for parts, text in origin.items() if _one_within_other(parts, location)), str(path))
    if error["type"] == "extra_forbidden":
        return InputError(f"unknown key {key!r}", where=where, mend=nearest(location[-1], _known(location[:-1])))
    if error["type"] == "missing":
        return InputError(f"{key!r} is missing", where=where, mend="Add it to the recipe.")
    return InputError(f"{key} = {error['input']!r}: {error['msg']}", where=where)


def _one_within_other(one: tuple[str, ...], other: tuple[str, ...]) -> bool:
    shorter = min(len(one), len(other))
    return one[:shorter] == other[:shorter]


def _known(location: Sequence[str]) -> list[str]:
    """Keys of the section at this place."""
    section: type[BaseModel] = Recipe
    for part in location:
        annotation = section.model_fields[part].annotation
        candidates = (annotation, *get_args(annotation))
        section = next(c for c in candidates if isinstance(c, type) and issubclass(c, BaseModel))
    return list(section.model_fields)


def _flat(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in tree.items():
        found |= _flat(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {f"{prefix}{key}": value}
    return found
