"""Rows of a user's file, whatever its form: JSON Lines, one JSON array, CSV or Parquet; each with its line (of Parquet
its row).

A row that cannot be read is a ``Rejected`` and reading goes on behind it; a file that cannot be read at all is an
``InputError``. JSON Lines and CSV are read a row at a time, Parquet a thousand; a JSON array is held in memory whole.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from diagnosis_zero.cases.source import Rejected
from diagnosis_zero.errors import InputError

PARQUET = b"PAR1"
_BATCH = 1000
_BOM = b"\xef\xbb\xbf"
_PIECE = 1 << 20
_NOT_TEXT = {
    b"\xff\xfe": ("UTF-16 text", "Convert the file to UTF-8."),
    b"\xfe\xff": ("UTF-16 text", "Convert the file to UTF-8."),
    b"\x1f\x8b": ("a gzip archive", "Unpack it first."),
    b"PK\x03\x04": ("a zip archive", "Unpack it first."),
    b"version https://git-lfs": ("a Git LFS pointer, not the data itself", "Fetch the data: git lfs pull."),
}


@dataclass(frozen=True, slots=True)
class Row:
    """One object of the file: the line it starts on (from 1), its fields, and the text it was read from."""

    line: int
    fields: dict[str, Any]
    raw: str


def read_rows(path: Path) -> Iterator[Row | Rejected]:
    """Every row of a JSON Lines, JSON array, CSV, TSV or Parquet file; a byte order mark and CRLF are no matter.

    Raises:
        InputError: there is no such file, it is not UTF-8 text, or holds no row.
    """
    start = _check(path)
    if start.startswith(PARQUET):
        rows = _parquet_rows(path)
    elif path.suffix.lower() in {".csv", ".tsv"} or (path.suffix == ".txt" and start[:1] not in {b"{", b"["}):
        rows = _csv_rows(path)
    else:
        rows = _array_rows(path) if start[:1] == b"[" else _line_rows(path)
    empty = True
    for row in rows:
        empty = False
        yield row
    if empty:
        raise InputError("the file holds no row", where=path)


def shards(path: Path) -> list[Path]:
    """The Parquet files of a folder, in order of name; of anything else, itself.

    Raises:
        InputError: a folder without Parquet files.
    """
    if not path.is_dir():
        return [path]
    found = sorted(path.glob("*.parquet"))
    if not found:
        raise InputError("a folder without Parquet files", where=path, mend="Give a file, or a folder of shards.")
    return found


def count_rows(path: Path) -> int:
    """How many rows a file or a folder of shards has, for a progress bar: of text about as many as line breaks."""
    return sum(_count(file) for file in shards(path))


def _count(path: Path) -> int:
    with _open(path) as handle:
        if handle.read(len(PARQUET)) == PARQUET:
            return int(_parquet(path).metadata.num_rows)
        handle.seek(0)
        return sum(piece.count(b"\n") for piece in iter(lambda: handle.read(_PIECE), b""))


def _open(path: Path) -> BinaryIO:
    if path.is_dir():
        raise InputError("a folder, where a file is expected", where=path)
    if not path.exists():
        raise InputError("no such file", where=path, mend="Check the path.")
    try:
        return path.open("rb")
    except OSError as error:
        raise InputError(f"cannot be read ({error.strerror})", where=path) from error


def _check(path: Path) -> bytes:
    """The first bytes of the text, past a byte order mark and blanks; errors for what no row can come from."""
    with _open(path) as handle:
        start = handle.read(4096)
    if not start:
        raise InputError("the file is empty", where=path, mend="Was the download cut short?")
    for magic, (what, mend) in _NOT_TEXT.items():
        if start.startswith(magic):
            raise InputError(f"{what}, where JSON or CSV text is expected", where=path, mend=mend)
    return start.removeprefix(_BOM).lstrip()


def _line_rows(path: Path) -> Iterator[Row | Rejected]:
    with _open(path) as handle:
        for number, raw in enumerate(handle, start=1):
            raw = raw.removeprefix(_BOM) if number == 1 else raw
            if raw.strip():
                yield _json_row(path, number, raw)


def _json_row(path: Path, number: int, raw: bytes) -> Row | Rejected:
    try:
        text = raw.decode("utf-8").rstrip("\r\n")
        fields = json.loads(text)
    except UnicodeDecodeError as error:
        text = raw.decode("utf-8", errors="replace").rstrip("\r\n")
        return Rejected(str(path), number, "not_utf8", _not_utf8(raw[error.start], error.start), text)
    except (ValueError, RecursionError) as error:
        message = f"not JSON ({_why(error)}). Mend or remove the line: one JSON object a line is expected."
        return Rejected(str(path), number, "not_json", message, text)
    return _row(path, number, fields, text)


def _why(error: Exception) -> str:
    """A decoder's complaint without its own count of lines, which is not the file's."""
    return f"{error.msg} at column {error.colno}" if isinstance(error, json.JSONDecodeError) else str(error)


def _row(path: Path, number: int, fields: Any, text: str) -> Row | Rejected:
    """A decoded value as a row: an object whose strings can be written as UTF-8."""
    if not isinstance(fields, dict):
        message = f"a JSON object is expected, found {type(fields).__name__}. Mend or remove the line."
        return Rejected(str(path), number, "not_an_object", message, text)
    if "\\ud" in text.lower() and not _writable(json.dumps(fields, ensure_ascii=False)):
        message = "half of a surrogate pair (\\ud...), which is no character. Mend the escape in the text."
        return Rejected(str(path), number, "not_utf8", message, text)
    return Row(number, fields, text)


def _writable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _not_utf8(byte: int, position: int) -> str:
    return f"not UTF-8 (byte 0x{byte:02x} at position {position}). Convert the file to UTF-8."


def _array_rows(path: Path) -> Iterator[Row | Rejected]:
    """Objects of one JSON array. Behind a broken one nothing can be found again: an error, not a rejection."""
    text = _decoded(path)
    decode = json.JSONDecoder().raw_decode
    at, line, counted = _past_blanks(text, text.index("[") + 1), 1, 0
    while text[at : at + 1] != "]":
        line, counted = line + text.count("\n", counted, at), at
        try:
            fields, end = decode(text, at)
        except (ValueError, RecursionError) as error:
            raise InputError(f"not JSON ({_why(error)})", where=(path, line), mend=_MEND_ARRAY) from error
        yield _row(path, line, fields, text[at:end])
        at = _past_blanks(text, end)
        if text[at : at + 1] not in {",", "]"}:
            raise InputError("the array breaks off behind this", where=(path, line), mend=_MEND_ARRAY)
        at = at if text[at] == "]" else _past_blanks(text, at + 1)
    if text[at + 1 :].strip():
        raise InputError("there is more behind the array", where=(path, line), mend=_MEND_ARRAY)


_MEND_ARRAY = "Mend the array there, or write one JSON object a line."


def _decoded(path: Path) -> str:
    with _open(path) as handle:
        raw = handle.read().removeprefix(_BOM)
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        line = 1 + raw.count(b"\n", 0, error.start)
        message = _not_utf8(raw[error.start], error.start)
        raise InputError(message, where=(path, line)) from error


def _past_blanks(text: str, at: int) -> int:
    while text[at : at + 1].isspace():
        at += 1
    return at


def _csv_rows(path: Path) -> Iterator[Row | Rejected]:
    """Rows under a header line. The separator is the one of comma, semicolon and tab that the header has most of."""
    csv.field_size_limit(2**31 - 1)  # the default, 128 KiB, is shorter than some case reports
    with _open(path) as handle:
        lines = (line.removeprefix(_BOM).decode("utf-8", errors="surrogateescape") for line in handle)
        first = next(lines)
        separator = max(",;\t", key=first.count)
        header = _header(path, next(csv.reader([first], delimiter=separator)))
        reader = csv.reader(lines, delimiter=separator, strict=True)
        while True:
            line = reader.line_num + 2  # of the header, and of the row behind what was read
            try:
                cells = next(reader, None)
            except csv.Error as error:
                message = f"not CSV ({error}). Mend the quotes of the row that starts here."
                yield Rejected(str(path), line, "not_csv", message, "")
                continue
            if cells is None:
                return
            if cells:
                yield _csv_row(path, line, header, cells)


def _header(path: Path, names: list[str]) -> list[str]:
    names = [name.strip() for name in names]
    if not all(map(_writable, names)):
        raise InputError("the header is not UTF-8", where=(path, 1), mend="Convert the file to UTF-8.")
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise InputError(f"two columns are named {twice!r}", where=(path, 1), mend="Rename one of them.")
    return names


def _csv_row(path: Path, line: int, header: list[str], cells: list[str]) -> Row | Rejected:
    raw = ",".join(cells)
    try:
        raw.encode()
    except UnicodeEncodeError as error:
        text = raw.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
        byte = raw[error.start].encode("utf-8", "surrogateescape")[0]
        return Rejected(str(path), line, "not_utf8", _not_utf8(byte, error.start), text)
    if len(cells) != len(header):
        message = f"{len(cells)} cells under {len(header)} columns. Quote cells that hold the separator."
        return Rejected(str(path), line, "wrong_cells", message, raw)
    return Row(line, dict(zip(header, cells, strict=True)), raw)


def _parquet(path: Path) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(path)
    except pa.ArrowException as error:
        raise InputError(f"a damaged Parquet file ({error})", where=path) from error


def _parquet_rows(path: Path) -> Iterator[Row | Rejected]:
    with _parquet(path) as file:
        for number, fields in enumerate(_records(path, file), start=1):
            plain = {name: str(value) if isinstance(value, date) else value for name, value in fields.items()}
            yield Row(number, plain, json.dumps(plain, ensure_ascii=False, default=str))


def _records(path: Path, file: pq.ParquetFile) -> Iterator[dict[str, Any]]:
    try:
        for batch in file.iter_batches(batch_size=_BATCH):
            yield from batch.to_pylist()
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise InputError(f"a damaged Parquet file ({error})", where=path) from error
