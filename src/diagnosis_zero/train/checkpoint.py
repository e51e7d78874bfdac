"""Checkpoints that survive a kill, a full disk and a flipped bit.

``RUN/checkpoints/step-000100/`` is a plain Hugging Face folder (whatever ``save_model`` writes) with two
files more: ``trainer_state.pt`` (tensors and plain values only, read with ``weights_only=True``) and
``checkpoint.json`` (the SHA-256 of every file). It is written aside, synced and renamed, so that a folder
of that name is whole; the hashes tell a torn or rotten one all the same.

A checkpoint is the last act of its step: metrics, rollouts and evaluations of the step are on disk before it,
so that ``cut_after`` of its step leaves exactly what the checkpoint has seen.
"""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch

from diagnosis_zero.errors import InputError
from diagnosis_zero.records import atomic_write, drop_leftovers, read_json, sha256, write_json

STATE = "trainer_state.pt"
MANIFEST = "checkpoint.json"
_STEP = re.compile(r"step-(\d+)")
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_LITTLE = 1 << 20
"""Free bytes below which a failed write is put down to the disk."""


def folder(run_dir: Path, step: int) -> Path:
    """Where the checkpoint of this step stands."""
    return run_dir / "checkpoints" / f"step-{step:06d}"


def steps(run_dir: Path) -> list[int]:
    """Steps that have a checkpoint folder (whole, weights only, or corrupt), ascending."""
    return [step for step, _ in _of_step(run_dir / "checkpoints")]


def save(run_dir: Path, step: int, save_model: Callable[[Path], None], state: Mapping[str, Any]) -> Path:
    """Write the checkpoint of ``step``; one of the same step is replaced.

    ``save_model(folder)`` writes the Hugging Face files. ``state`` holds tensors and plain values (numbers,
    strings, None, lists, tuples and dicts of them).

    Raises:
        InputError: no space left; the earlier checkpoints are untouched and nothing half-written stays.
        TypeError: ``state`` holds an object that could not be read back safely.
    """
    _refuse_objects(state, "state")
    final = folder(run_dir, step)
    aside = final.with_name(f".{final.name}.partial")
    shutil.rmtree(aside, ignore_errors=True)
    try:
        aside.mkdir(parents=True)
        save_model(aside)
        with (aside / STATE).open("wb") as handle:
            torch.save(dict(state), handle)
        _write_manifest(aside, step)
        for path in [*aside.rglob("*"), aside]:
            _sync(path)
        _put_in_place(aside, final)
    except Exception as error:
        if _no_space(error, aside):
            what = f"no space for the checkpoint of step {step} ({error})"
            mend = "Earlier checkpoints are whole: free some space and go on with --resume."
            raise InputError(what, where=final, mend=mend) from error
        raise
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    return final


def load_state(checkpoint: Path) -> dict[str, Any]:
    """The trainer's state of a whole checkpoint, on the CPU."""
    state: dict[str, Any] = torch.load(checkpoint / STATE, map_location="cpu", weights_only=True)
    return state


def fault(checkpoint: Path) -> str | None:
    """What is wrong with a checkpoint, by its hashes; None: every file is as it was written."""
    files = _listed(checkpoint)
    if not files:
        return f"{MANIFEST} cannot be read"
    for name, digest in files.items():
        path = checkpoint / name
        if not path.is_file():
            return f"{name} is missing"
        if sha256(path) != digest:
            return f"{name} is not as it was written"
    return None


def latest(run_dir: Path, warn: Callable[[str], None]) -> Path | None:
    """The newest checkpoint that a run can go on from; None where there is no checkpoint at all.

    A torn or corrupt one is passed over with a warning; one that holds only weights, in silence.

    Raises:
        InputError: there are checkpoints, but none to go on from.
    """
    found = [folder(run_dir, step) for step in reversed(steps(run_dir))]
    for checkpoint in found:
        wrong = fault(checkpoint)
        if wrong is not None:
            warn(f"{checkpoint}: {wrong}; taking the one before it")
        elif is_whole(checkpoint):
            return checkpoint
    if found:
        mend = "Start again under another run.name (or train from one of their weights: model.id=FOLDER)."
        raise InputError("no checkpoint that the run can go on from", where=found[0].parent, mend=mend)
    return None


def is_whole(checkpoint: Path) -> bool:
    """Whether a run can go on from it (not weights only), by its manifest alone."""
    return STATE in _listed(checkpoint)


def rotate(run_dir: Path, keep: int, best: int | None = None) -> None:
    """Leave the ``keep`` newest checkpoints and the one of step ``best`` whole, of the others the weights;
    remove what an interrupted save left."""
    for left in (run_dir / "checkpoints").glob(".step-*"):
        shutil.rmtree(left, ignore_errors=True)
    whole = [step for step in steps(run_dir) if is_whole(folder(run_dir, step))]
    for step in whole[:-keep]:
        if step != best:
            _leave_weights(folder(run_dir, step), step)


def cut_after(run_dir: Path, step: int, keep_in: Path | None = None) -> None:
    """Take away all that a run wrote after ``step``: checkpoints, rollouts, evaluations and lines of metrics.

    Before a resume it is lost future that will be written again; a rewind keeps it in the folder ``keep_in``. Files
    that a kill left half-written go in any case. Interrupted, it is done by calling it again: checkpoints go first, the
    newest before the others.
    """
    for place in (run_dir, run_dir / "rollouts", *(run_dir / "evaluations").glob("*")):
        drop_leftovers(place)
    for kind in ("checkpoints", "rollouts", "evaluations"):
        for number, path in reversed(_of_step(run_dir / kind)):
            if number > step:
                _take_away(path, None if keep_in is None else keep_in / kind)
    metrics = run_dir / "metrics.jsonl"
    if metrics.is_file():
        _cut_lines(metrics, step, None if keep_in is None else keep_in / metrics.name)


# --- parts of saving


def _refuse_objects(value: object, name: str) -> None:
    """Objects would need pickle to be read back; better found at the first save than at the resume."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            _refuse_objects(item, f"{name}[{key!r}]")
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            _refuse_objects(item, f"{name}[{index}]")
    elif not (value is None or type(value) in (int, float, bool, str) or isinstance(value, torch.Tensor)):
        raise TypeError(f"{name} is a {type(value).__name__}: only tensors and plain values can be saved")


def _write_manifest(checkpoint: Path, step: int) -> None:
    names = sorted(str(path.relative_to(checkpoint)) for path in checkpoint.rglob("*") if path.is_file())
    files = {name: sha256(checkpoint / name) for name in names if name != MANIFEST}
    write_json(checkpoint / MANIFEST, {"step": step, "files": files})


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _put_in_place(aside: Path, final: Path) -> None:
    """Rename; an older folder of that name steps aside first, since a rename cannot replace a full folder."""
    old = final.with_name(f".{final.name}.old")
    shutil.rmtree(old, ignore_errors=True)
    if final.exists():
        final.rename(old)
    aside.rename(final)
    _sync(final.parent)
    shutil.rmtree(old, ignore_errors=True)


def _no_space(error: BaseException | None, place: Path) -> bool:
    """Libraries wrap the system's error in their own, so the free space is asked too."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in _FULL:
            return True
        error = error.__cause__ or error.__context__
    return place.exists() and shutil.disk_usage(place).free < _LITTLE


# --- parts of keeping and cutting


def _of_step(parent: Path) -> list[tuple[int, Path]]:
    """(step, path) of the entries named step-N or step-N.*, ascending."""
    if not parent.is_dir():
        return []
    named = [(_STEP.fullmatch(path.name.split(".")[0]), path) for path in parent.iterdir()]
    return sorted((int(match[1]), path) for match, path in named if match)


def _listed(checkpoint: Path) -> dict[str, str]:
    """Hashes by file name; none where the manifest is missing or torn."""
    try:
        files = read_json(checkpoint / MANIFEST)["files"]
    except (InputError, KeyError, TypeError):
        return {}
    return files if isinstance(files, dict) else {}


def _leave_weights(checkpoint: Path, step: int) -> None:
    """The manifest first: a kill between the two leaves a checkpoint of weights with a file too many."""
    files = {name: digest for name, digest in _listed(checkpoint).items() if name != STATE}
    write_json(checkpoint / MANIFEST, {"step": step, "files": files})
    (checkpoint / STATE).unlink(missing_ok=True)


def _take_away(path: Path, to: Path | None) -> None:
    if to is not None:
        to.mkdir(parents=True, exist_ok=True)
        path.rename(to / path.name)
    elif path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink()


def _cut_lines(metrics: Path, step: int, keep_in: Path | None) -> None:
    """Lines of later steps go, and with them a line that a kill left torn; the bytes of the others stay."""
    if keep_in is not None and not keep_in.exists():  # else it is done a second time, and they may be cut already
        keep_in.parent.mkdir(parents=True, exist_ok=True)
        with metrics.open("rb") as lines, atomic_write(keep_in, "wb") as kept:
            shutil.copyfileobj(lines, kept)
    with metrics.open("rb") as lines, atomic_write(metrics, "wb") as cut:
        cut.writelines(_up_to(lines, step))


def _up_to(lines: Iterator[bytes], step: int) -> Iterator[bytes]:
    for line in lines:
        try:
            row = json.loads(line)
        except ValueError:
            continue
        if line.endswith(b"\n") and row["step"] <= step:
            yield line
