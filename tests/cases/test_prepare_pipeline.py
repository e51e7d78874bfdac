"""The whole way from a file to a data folder: everything is accounted for, nothing half-written stays."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rarearena_rows import row, write_rows

from diagnosis_zero import licences, prompts, records
from diagnosis_zero.cases import export, rarearena
from diagnosis_zero.cases.export import read_cases
from diagnosis_zero.cases.length import token_counter
from diagnosis_zero.cases.prepare import hash_of, prepare
from diagnosis_zero.cases.source import Rejected
from diagnosis_zero.errors import InputError
from diagnosis_zero.types import Case, Chat


def prepared(folder: Path, rows: Sequence[Any], **options: Any) -> dict[str, Any]:
    path = write_rows(folder / "RDC.json", rows)
    return prepare(rarearena.read(path), folder / "out", inputs=[path], **options)


def rejected(folder: Path) -> list[Rejected]:
    return list(records.read_jsonl(folder / "out" / "rejected.jsonl", Rejected))


def test_a_folder_of_twenty_cases(tmp_path: Path) -> None:
    manifest = prepared(tmp_path, [row(number) for number in range(1, 21)])
    assert {name: manifest[name] for name in ("read", "kept", "dropped", "splits")} == {
        "read": 20,
        "kept": 20,
        "dropped": {},
        "splits": {"train": 12, "val": 2, "test": 6},
    }
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "cases.jsonl",
        "manifest.json",
        "rejected.jsonl",
        "test.parquet",
        "train.parquet",
        "val.parquet",
    ]
    assert json.loads((tmp_path / "out" / "manifest.json").read_text()) == manifest
    assert [case.id for case in read_cases(tmp_path / "out", "test")] == [f"{7000000 + n}-1" for n in range(15, 21)]


def test_the_manifest_says_where_the_data_came_from(tmp_path: Path) -> None:
    manifest = prepared(tmp_path, [row(1)], seed=3, settings={"task": "rdc"})
    assert manifest["inputs"] == [{"path": str(tmp_path / "RDC.json"), "sha256": records.sha256(tmp_path / "RDC.json")}]
    assert (manifest["seed"], manifest["split"], manifest["settings"]["task"]) == (3, "seed", "rdc")
    assert manifest["settings"]["template"] == prompts.DIAGNOSIS
    assert manifest["versions"]["pyarrow"]


def test_the_same_input_gives_the_same_files(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        prepared(tmp_path / name, [row(number) for number in range(1, 50)], split="random", seed=5)
    for file in ("cases.jsonl", "train.parquet", "val.parquet", "test.parquet"):
        assert records.sha256(tmp_path / "one" / "out" / file) == records.sha256(tmp_path / "two" / "out" / file)


def test_a_bad_row_stops_with_its_line_and_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"RDC\.json:3: not JSON"):
        prepared(tmp_path, [row(1), row(2), "{", row(3)])
    assert [path.name for path in tmp_path.iterdir()] == ["RDC.json"]


def test_bad_rows_are_set_aside_with_their_reason_and_counted(tmp_path: Path) -> None:
    rows = [row(1), "{", row(2), row(1, case_report="twice"), row(3, case_report=""), row(4, diagnosis="")]
    manifest = prepared(tmp_path, rows, skip_bad=True)
    assert (manifest["read"], manifest["kept"]) == (6, 2)
    assert manifest["dropped"] == {"not_json": 1, "duplicate_id": 1, "empty_text": 1, "missing_diagnosis": 1}
    assert [(item.line, item.reason) for item in rejected(tmp_path)] == [
        (2, "not_json"),
        (4, "duplicate_id"),
        (5, "empty_text"),
        (6, "missing_diagnosis"),
    ]
    assert rejected(tmp_path)[0].raw == "{"


def test_a_duplicate_id_names_both_lines(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"RDC\.json:3: the id '7000001-1' stands already in line 1"):
        prepared(tmp_path, [row(1), row(2), row(1)])


def test_limit_reads_so_many_rows_and_no_more(tmp_path: Path) -> None:
    assert prepared(tmp_path, [row(1), row(2), "{"], limit=2)["read"] == 2


def test_no_case_left_is_an_error_with_the_reasons(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no case is left \(empty_text: 2\)"):
        prepared(tmp_path, [row(1, case_report=""), row(2, case_report="")], skip_bad=True)
    assert not (tmp_path / "out").exists()


def test_leaks_are_counted_and_marked_and_dropped_only_when_asked(tmp_path: Path) -> None:
    rows = [row(1), row(2, case_report="Known disease 2."), row(3, test_results="Named disease 3 was found.")]
    manifest = prepared(tmp_path, rows)
    assert manifest["kept"] == 3
    assert manifest["leakage"] == {"found": 2, "dropped": 0, "kept": {"train": 0, "val": 1, "test": 1}}
    assert [case.leaks for case in read_cases(tmp_path / "out")] == [
        (),
        ("Disease 2",),
        ("Disease 3", "Named disease 3"),
    ]
    manifest = prepared(tmp_path, rows, drop_leaks=True, overwrite=True)
    assert (manifest["kept"], manifest["dropped"]) == (1, {"leak": 2})
    assert manifest["leakage"]["found"] == manifest["leakage"]["dropped"] == 2
    assert [(item.line, item.reason, item.raw) for item in rejected(tmp_path)] == [
        (2, "leak", "7000002-1"),
        (3, "leak", "7000003-1"),
    ]


def test_synonyms_are_looked_for_when_there_are_any(tmp_path: Path) -> None:
    def synonyms(case: Case) -> list[str]:
        return ["Antique fever"] if "ORPHA:2" in case.ids else []

    rows = [row(number, case_report="She had antique fever.") for number in (1, 2)]
    assert prepared(tmp_path, rows, synonyms=synonyms)["leakage"]["found"] == 1
    assert [case.leaks for case in read_cases(tmp_path / "out")] == [(), ("Antique fever",)]


def characters(chats: Sequence[Chat]) -> list[int]:
    return [len(chat[0]["content"]) for chat in chats]


def test_prompts_over_the_limit_are_dropped_and_counted_and_the_others_whole(tmp_path: Path) -> None:
    rows = [row(number, case_report="x" * number, test_results="") for number in range(1, 601)]
    manifest = prepared(
        tmp_path, rows, template="{case}", max_prompt_tokens=590, count_tokens=characters, skip_bad=False
    )
    assert (manifest["read"], manifest["kept"], manifest["dropped"]) == (600, 590, {"too_long": 10})
    assert [len(case.text) for case in read_cases(tmp_path / "out")] == list(range(1, 591))
    assert rejected(tmp_path)[0].message == "the prompt of '7000591-1' has 591 tokens, the limit is 590"


def test_tokens_are_counted_as_the_model_gets_them(tmp_path: Path) -> None:
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    words = Tokenizer(models.WordLevel({"?": 0, "<user>": 1, "<model>": 2}, unk_token="?"))
    words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=words, unk_token="?")
    tokenizer.save_pretrained(tmp_path / "bare")
    tokenizer.chat_template = (
        "{% for m in messages %}<user> {{ m.content }} {% endfor %}{% if add_generation_prompt %}<model>{% endif %}"
    )
    tokenizer.save_pretrained(tmp_path / "chat")
    chats: list[Chat] = [[{"role": "user", "content": "one two three"}], [{"role": "user", "content": "one"}]]
    assert token_counter(str(tmp_path / "chat"))(chats) == [5, 3]
    with pytest.raises(InputError, match="has no chat template"):
        token_counter(str(tmp_path / "bare"))
    with pytest.raises(InputError, match="no tokenizer for"):
        token_counter(str(tmp_path / "absent"))


def test_stopping_by_hand_leaves_nothing(tmp_path: Path) -> None:
    def source() -> Iterator[Case | Rejected]:
        yield from rarearena.read(write_rows(tmp_path / "RDC.json", [row(1)]))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prepare(source(), tmp_path / "a" / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["RDC.json"]


def test_an_unknown_split_is_told_before_anything_is_read(tmp_path: Path) -> None:
    def source() -> Iterator[Case | Rejected]:
        pytest.fail("must not be read")
        yield

    with pytest.raises(InputError, match="no split"):
        prepare(source(), tmp_path / "out", split="by moon")


ROWS = st.one_of(
    st.integers(1, 12).map(row),
    st.integers(1, 12).map(lambda number: row(number, case_report=f"Disease {number}")),
    st.integers(1, 12).map(lambda number: row(number, case_report="x" * 400)),
    st.sampled_from(["{", "[]", json.dumps(row(1, case_report=None)), json.dumps(row(1, Orpha_id="x"))]),
)


@given(rows=st.lists(ROWS, min_size=1, max_size=25), drop_leaks=st.booleans())
def test_every_row_is_kept_or_dropped_and_no_other_comes_in(
    tmp_path_factory: pytest.TempPathFactory, rows: list[Any], drop_leaks: bool
) -> None:
    folder = tmp_path_factory.mktemp("prepare")
    options = {"drop_leaks": drop_leaks, "max_prompt_tokens": 400, "count_tokens": characters, "template": "{case}"}
    manifest = prepared(folder, [row(99), *rows], skip_bad=True, split="disease", **options)
    kept, dropped = read_cases(folder / "out"), rejected(folder)
    assert manifest["read"] == len(rows) + 1 == manifest["kept"] + sum(manifest["dropped"].values())
    assert (len(kept), len(dropped)) == (manifest["kept"], sum(manifest["dropped"].values()))
    lines = [int(case.extra["line"]) for case in kept] + [item.line for item in dropped]
    assert sorted(lines) == list(range(1, len(rows) + 2))
    assert sum(manifest["splits"].values()) == len(kept) == len({case.id for case in kept})
    assert sum(manifest["leakage"]["kept"].values()) == sum(bool(case.leaks) for case in kept)


def test_the_hash_of_a_folder_is_that_of_its_files_and_their_names(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name / "inner").mkdir(parents=True)
        (tmp_path / name / "inner" / "x.json").write_text("{}")
    assert hash_of(tmp_path / "a") == hash_of(tmp_path / "b")
    (tmp_path / "b" / "inner" / "x.json").rename(tmp_path / "b" / "x.json")
    assert hash_of(tmp_path / "a") != hash_of(tmp_path / "b")


def test_the_manifest_notes_what_may_be_done_with_the_cases(tmp_path: Path) -> None:
    manifest = prepared(tmp_path, [row(1)])
    assert manifest["licences"] == {"rarearena": licences.CASES["rarearena"]}
    stated = prepared(tmp_path, [row(1)], licence="CC BY-SA 4.0", overwrite=True)
    assert stated["licences"] == {"rarearena": "CC BY-SA 4.0"}


def test_sharded_parquet_holds_the_same_rows_in_the_same_order(tmp_path: Path) -> None:
    for name, shard_rows in (("whole", None), ("sharded", 5)):
        (tmp_path / name).mkdir()
        prepared(tmp_path / name, [row(number) for number in range(1, 41)], shard_rows=shard_rows)
    whole, sharded = tmp_path / "whole" / "out", tmp_path / "sharded" / "out"
    assert records.sha256(whole / "cases.jsonl") == records.sha256(sharded / "cases.jsonl")
    sizes = []
    for split in ("train", "val", "test"):
        files = sorted(sharded.glob(f"{split}-*.parquet"))
        sizes.append([pq.read_metadata(file).num_rows for file in files])
        together = [one for file in files for one in pq.read_table(file).to_pylist()]
        assert together == pq.read_table(whole / f"{split}.parquet").to_pylist()
    assert sizes == [[5, 5, 5, 5, 5], [3], [5, 5, 2]]


def test_an_id_that_comes_twice_is_found_across_files(tmp_path: Path) -> None:
    def source() -> Iterator[Case]:
        for number in range(3):
            extra = {"file": f"part-{number}.parquet", "line": "7"}
            yield Case(f"c{number % 2}", "made", "s", f"text {number}", ("Gout",), extra=extra)

    message = r"part-2.parquet:7: the id 'c0' stands already in part-0.parquet, line 7"
    with pytest.raises(InputError, match=message):
        prepare(source(), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_memory_does_not_grow_with_the_texts_or_the_ids(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Five times the cases, a kilobyte of text and 200 letters of id each, cost less than 100 bytes a case more."""
    monkeypatch.setattr(export, "ROWS_A_GROUP", 50)

    def peak(count: int) -> int:
        cases = (Case(f"{i}" + "i" * 200, "made", "article", "word " * 200, ("Gout",)) for i in range(count))
        tracemalloc.start()
        prepare(cases, tmp_path / str(count), split="random")
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return most

    peak(10)  # what is loaded once
    small, large = peak(1_000), peak(5_000)
    assert large - small < 100 * 4_000
