"""A folder that appears whole or not at all: written aside, then renamed into its place."""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from diagnosis_zero.errors import InputError


@contextmanager
def appearing(folder: Path, overwrite: bool = False) -> Iterator[Path]:
    """A folder to write into, which becomes ``folder`` when the block ends well and vanishes when it does not.

    Raises:
        InputError: ``folder`` is taken (an older data folder without ``overwrite``, or anything else), or nothing
            can be written beside it.
    """
    folder = folder.resolve()
    _check_free(folder, overwrite)
    aside = folder.with_name(f".{folder.name}.{secrets.token_hex(4)}")
    missing = [parent for parent in folder.parents if not parent.exists()]
    try:
        _make(aside)
        yield aside
        _put(aside, folder)
    except BaseException:
        shutil.rmtree(aside, ignore_errors=True)
        for parent in missing:
            with suppress(OSError):
                parent.rmdir()
        raise


def _check_free(folder: Path, overwrite: bool) -> None:
    if not folder.exists() or _is_empty(folder):
        return
    if not (folder / "cases.jsonl").is_file() or not (folder / "manifest.json").is_file():
        what = "there is something else of that name, which is never replaced"
        raise InputError(what, where=folder, mend="Choose another --out.")
    if not overwrite:
        mend = "Choose another --out, or add --overwrite to replace it."
        raise InputError("there is a data folder of that name", where=folder, mend=mend)


def _is_empty(folder: Path) -> bool:
    return folder.is_dir() and not any(folder.iterdir())


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True)
    except OSError as error:
        mend = "Choose another --out."
        raise InputError(f"cannot be written to ({error.strerror})", where=folder.parent, mend=mend) from error


def _put(aside: Path, folder: Path) -> None:
    """Rename ``aside`` to ``folder``; what stood there goes only when the new one is in place."""
    if not folder.exists():
        aside.replace(folder)
        return
    old = aside.with_name(f"{aside.name}.old")
    folder.replace(old)
    try:
        aside.replace(folder)
    except BaseException:
        old.replace(folder)
        raise
    shutil.rmtree(old)
