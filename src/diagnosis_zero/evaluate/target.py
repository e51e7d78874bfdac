"""What is to be evaluated: a model by itself, or checkpoints of a run."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from diagnosis_zero.errors import InputError
from diagnosis_zero.records import read_json

_STEP = re.compile(r"step-(\d+)")


@dataclass(frozen=True, slots=True)
class Target:
    """One set of weights: ``model`` loads it, ``name`` and ``step`` stand in tables, ``slug`` names its folder."""

    name: str
    step: int
    model: str
    slug: str
    dtype: str = "auto"
    """The number format that a run computes in: its answers before and after training are compared in one."""
    weights: str = ""
    """Of a checkpoint: tells its weights from those of another run's step of the same number."""


def is_run(model_or_run: str) -> bool:
    """Whether this names a folder that training wrote."""
    return (Path(model_or_run) / "checkpoints").is_dir()


def targets(model_or_run: str, steps: str = "last", base: str | None = None) -> list[Target]:
    """Which weights to evaluate, by ascending step.

    Args:
        steps: of a run: "last", "ends" (first and last), "all", or numbers ("0,100,200").
        base: the model that the run began with, evaluated as step 0 where no checkpoint of that step stands.

    Raises:
        InputError: no checkpoint of a step that was asked for; names those that there are.
    """
    if not is_run(model_or_run):
        return [Target(model_or_run, 0, model_or_run, slug(model_or_run))]
    run = Path(model_or_run)
    models = {step: str(path) for step, path in _checkpoints(run / "checkpoints")}
    if base is not None:
        models.setdefault(0, base)
    wanted = _wanted(steps, sorted(models), run)
    name = run.resolve().name
    dtype = _dtype(run / "manifest.json")
    return [
        Target(name, step, models[step], f"step-{step:06d}", dtype, _weights(Path(models[step]))) for step in wanted
    ]


def _dtype(manifest: Path) -> str:
    """As the manifest has it; a run on verl, whose checkpoints are bfloat16, leaves it to the machine."""
    return str(read_json(manifest).get("dtype", "auto")) if manifest.is_file() else "auto"


def _weights(checkpoint: Path) -> str:
    """A digest of the hashes that the checkpoint's manifest has of its weights; what else is kept there may go."""
    manifest = checkpoint / "checkpoint.json"
    files = read_json(manifest).get("files", {}) if manifest.is_file() else {}
    hashes = "".join(files[name] for name in sorted(files) if name.endswith(".safetensors"))
    return hashlib.sha256(hashes.encode()).hexdigest() if hashes else ""


def slug(name: str) -> str:
    """A model's id as the name of a folder."""
    last = Path(name).name if Path(name).exists() else name
    return re.sub(r"[^A-Za-z0-9._-]+", "-", last).strip("-.") or "model"


def _checkpoints(folder: Path) -> list[tuple[int, Path]]:
    found = ((_STEP.fullmatch(path.name), path) for path in folder.iterdir() if path.is_dir())
    return sorted((int(name[1]), path) for name, path in found if name)


def _wanted(steps: str, known: Sequence[int], run: Path) -> Sequence[int]:
    if not known:
        raise InputError("no checkpoint in it yet", where=run)
    if steps == "all":
        return known
    if steps == "ends":
        return sorted({known[0], known[-1]})
    if steps == "last":
        return known[-1:]
    try:
        numbers = sorted({int(step) for step in steps.split(",")})
    except ValueError as error:
        raise InputError(f"--steps is {steps!r}", mend="Give last, ends, all, or numbers like 0,100,200.") from error
    for number in numbers:
        if number not in known:
            raise InputError(f"no checkpoint of step {number}", where=run, mend=f"There are: {_joined(known)}.")
    return numbers


def _joined(numbers: Sequence[int]) -> str:
    return ", ".join(map(str, numbers))
