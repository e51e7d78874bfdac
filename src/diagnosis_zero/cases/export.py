"""A data folder: ``cases.jsonl`` is the truth, and {train,val,test}.parquet are the same cases in verl's columns, each
one file or shards (train-00000.parquet, ...)."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

import pyarrow as pa
import pyarrow.parquet as pq

from diagnosis_zero import records
from diagnosis_zero.cases.split import SPLITS
from diagnosis_zero.errors import InputError, nearest
from diagnosis_zero.prompts import build_chat
from diagnosis_zero.types import Case

ROWS_A_GROUP = 1000
"""Rows held in memory for each split while a Parquet file is written."""

_TEXT = pa.string()
COLUMNS = pa.schema(
    [
        ("prompt", pa.list_(pa.struct([("role", _TEXT), ("content", _TEXT)]))),
        ("data_source", _TEXT),
        ("ability", _TEXT),
        ("reward_model", pa.struct([("style", _TEXT), ("ground_truth", _TEXT)])),
        (
            "extra_info",
            pa.struct(
                [
                    ("split", _TEXT),
                    ("index", pa.int64()),
                    ("case_id", _TEXT),
                    ("source_id", _TEXT),
                    ("text", _TEXT),
                    ("leaks", pa.list_(_TEXT)),
                ]
            ),
        ),
    ]
)


def read_cases(folder: Path, split: str | None = None) -> list[Case]:
    """All cases of a data folder, or those of one split, in their order. Errors as in ``iter_cases``."""
    return list(iter_cases(folder, split))


def iter_cases(folder: Path, split: str | None = None) -> Iterator[Case]:
    """The same, one at a time.

    Raises:
        InputError: ``folder`` is not one that ``dz prepare`` wrote, or ``split`` is none of train, val, test.
    """
    if split is not None and split not in SPLITS:
        raise InputError(f"no split {split!r}", mend=nearest(split, list(SPLITS)))
    if not (folder / "cases.jsonl").is_file():
        raise InputError("no cases.jsonl in it", where=folder, mend="Give a folder that `dz prepare` wrote.")
    for case in records.read_jsonl(folder / "cases.jsonl", Case):
        if split is None or case.split == split:
            yield case


def write_cases(folder: Path, cases: Iterable[Case], template: str, shard_rows: int | None = None) -> None:
    """``cases.jsonl`` and the Parquet of every split, in one pass over cases that have their split."""
    written = Counter[str]()
    with ExitStack() as stack:
        lines = stack.enter_context(records.atomic_write(folder / "cases.jsonl"))
        files = {split: stack.enter_context(_Parquet(folder, split, shard_rows)) for split in SPLITS}
        for case in cases:
            assert case.split in SPLITS
            lines.write(records.to_line(case) + "\n")
            files[case.split].add(verl_row(case, written[case.split], template))
            written[case.split] += 1


class _Parquet:
    """The rows of one split, written a group at a time; with ``shard_rows`` a new file begins after so many."""

    def __init__(self, folder: Path, split: str, shard_rows: int | None) -> None:
        self.folder, self.split, self.shard_rows = folder, split, shard_rows
        self.rows: list[dict[str, Any]] = []
        self.in_shard = self.shards = 0

    def __enter__(self) -> Self:
        self._open()
        return self

    def __exit__(self, *_: object) -> None:
        self._flush()
        self.file.close()

    def add(self, row: dict[str, Any]) -> None:
        if self.in_shard == self.shard_rows:
            self._flush()
            self.file.close()
            self._open()
        self.rows.append(row)
        self.in_shard += 1
        if len(self.rows) == ROWS_A_GROUP:
            self._flush()

    def _open(self) -> None:
        name = self.split if self.shard_rows is None else f"{self.split}-{self.shards:05}"
        self.file = pq.ParquetWriter(self.folder / f"{name}.parquet", COLUMNS, compression="zstd")
        self.in_shard, self.shards = 0, self.shards + 1

    def _flush(self) -> None:
        if self.rows:
            self.file.write_table(pa.Table.from_pylist(self.rows, schema=COLUMNS))
            self.rows.clear()


def verl_row(case: Case, index: int, template: str) -> dict[str, Any]:
    """A case as verl's datasets and reward managers take it; ``index`` counts within the split."""
    return {
        "prompt": list(build_chat(case, template)),
        "data_source": case.source,
        "ability": "medical",
        "reward_model": {"style": "rule", "ground_truth": json.dumps(_truth(case), ensure_ascii=False)},
        "extra_info": {
            "split": case.split,
            "index": index,
            "case_id": case.id,
            "source_id": case.source_id,
            "text": case.text,
            "leaks": list(case.leaks),
        },
    }


def _truth(case: Case) -> Mapping[str, Any]:
    orpha = (identifier.removeprefix("ORPHA:") for identifier in case.ids if identifier.startswith("ORPHA:"))
    return {"diagnosis": list(case.names), "orpha_id": next(orpha, None), "ids": list(case.ids)}
