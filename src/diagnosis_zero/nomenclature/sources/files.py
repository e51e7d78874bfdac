"""Open a source file, gzipped or not, with errors that name it."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, cast

from diagnosis_zero.errors import InputError

_GZIP_MAGIC = b"\x1f\x8b"


@contextmanager
def open_bytes(path: Path) -> Iterator[IO[bytes]]:
    """A binary stream of the file's content, unpacked where it is gzipped (by its content, not its name).

    Raises:
        InputError: no such file, or a torn gzip stream met while reading.
    """
    if not path.is_file():
        raise InputError("no such file", where=path)
    with path.open("rb") as raw:
        packed = raw.read(2) == _GZIP_MAGIC
        raw.seek(0)
        try:
            yield cast(IO[bytes], gzip.GzipFile(fileobj=raw)) if packed else raw
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise InputError(f"torn gzip file ({error})", where=path, mend="Fetch the file again.") from error


def read_lines(path: Path) -> Iterator[tuple[int, str]]:
    """(line number from 1, line without its end) of a UTF-8 text file."""
    with open_bytes(path) as stream:
        for number, raw in enumerate(stream, start=1):
            try:
                yield number, raw.decode("utf-8").rstrip("\r\n")
            except UnicodeDecodeError as error:
                raise InputError("not UTF-8", where=(path, number), mend="Convert the file.") from error


def read_json(path: Path) -> Any:
    """The one JSON document of a file."""
    with open_bytes(path) as stream:
        try:
            return json.load(stream)
        except (UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
            raise InputError(f"not JSON ({error})", where=path) from error
