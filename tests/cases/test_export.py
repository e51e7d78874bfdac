"""The files of a data folder, as we and verl read them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from diagnosis_zero.cases import export
from diagnosis_zero.errors import InputError
from diagnosis_zero.rewards.adapters import compute_score
from diagnosis_zero.types import Case, Finding

CASE = Case(
    id="7-1",
    source="rarearena",
    source_id="7",
    text='Fever, {case} and "α".\nRash.',
    names=("Marfan syndrome", "MFS"),
    ids=("OMIM:154700", "ORPHA:558"),
    findings=(Finding("HP:0001250", "Seizure", excluded=True),),
    leaks=("MFS",),
    split="train",
    extra={"line": "1"},
)


def cases(count: int) -> list[Case]:
    splits = ("train", "train", "test", "val")
    return [replace(CASE, id=str(number), split=splits[number % 4]) for number in range(count)]


def test_verls_columns_by_hand(tmp_path: Path) -> None:
    export.write_cases(tmp_path, [CASE], "Diagnose: {case}")
    (row,) = pq.read_table(tmp_path / "train.parquet").to_pylist()
    truth = json.loads(row["reward_model"].pop("ground_truth"))
    assert truth == {
        "diagnosis": ["Marfan syndrome", "MFS"],
        "orpha_id": "558",
        "ids": ["OMIM:154700", "ORPHA:558"],
    }
    assert row == {
        "prompt": [{"role": "user", "content": 'Diagnose: Fever, {case} and "α".\nRash.'}],
        "data_source": "rarearena",
        "ability": "medical",
        "reward_model": {"style": "rule"},
        "extra_info": {
            "split": "train",
            "index": 0,
            "case_id": "7-1",
            "source_id": "7",
            "text": CASE.text,
            "leaks": ["MFS"],
        },
    }


def test_a_case_without_orpha_number_says_none(tmp_path: Path) -> None:
    row = export.verl_row(replace(CASE, ids=("OMIM:154700",)), 0, "{case}")
    assert json.loads(row["reward_model"]["ground_truth"])["orpha_id"] is None


def test_cases_come_back_as_they_were_by_split_and_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export, "ROWS_A_GROUP", 10)
    written = cases(101)
    export.write_cases(tmp_path, written, "{case}")
    assert export.read_cases(tmp_path) == written
    for split in ("train", "val", "test"):
        of_split = [case for case in written if case.split == split]
        rows = pq.read_table(tmp_path / f"{split}.parquet")["extra_info"].to_pylist()
        assert export.read_cases(tmp_path, split) == of_split
        assert [row["case_id"] for row in rows] == [case.id for case in of_split]
        assert [row["index"] for row in rows] == list(range(len(of_split)))
    assert pq.ParquetFile(tmp_path / "train.parquet").num_row_groups == 6  # 51 rows, ten a group


def test_an_empty_split_is_an_empty_file_with_the_same_columns(tmp_path: Path) -> None:
    export.write_cases(tmp_path, [CASE], "{case}")
    empty = pq.read_table(tmp_path / "val.parquet")
    assert (empty.num_rows, empty.schema) == (0, export.COLUMNS)


def test_reading_what_is_not_there_says_so(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="Give a folder that `dz prepare` wrote"):
        export.read_cases(tmp_path)
    export.write_cases(tmp_path, [CASE], "{case}")
    with pytest.raises(InputError, match=r"no split 'tset'\. Did you mean 'test'"):
        export.read_cases(tmp_path, "tset")


def test_the_reward_reads_a_row_as_verl_hands_it_over() -> None:
    row = export.verl_row(CASE, 0, "{case}")
    truth, said = row["reward_model"]["ground_truth"], "<think>Tall.</think><answer>{}</answer>"
    right, wrong = (
        compute_score(row["data_source"], said.format(name), truth, row["extra_info"], method="sequence")
        for name in ("Marfan syndrome", "Q fever")
    )
    assert (right["acc"], wrong["acc"]) == (1.0, 0.0)
