"""``dz prepare`` as a user types it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from diagnosis_zero.cases.export import read_cases
from diagnosis_zero.cli.prepare import commands
from diagnosis_zero.errors import InputError

DATA = Path(os.environ.get("DZ_DATA", "../shared/data"))


def dz_prepare(*words: Any) -> Result:
    return CliRunner().invoke(commands, [str(word) for word in words])


def write_rdc(path: Path, count: int) -> Path:
    rows = (
        {
            "_id": f"{number}-1",
            "case_report": f"Patient {number}. " + "Fever. " * 200,
            "test_results": "Granulomas.",
            "diagnosis": f"Disease {number % 50}",
            "Orpha_name": "",
            "Orpha_id": None,
        }
        for number in range(count)
    )
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def test_rarearena_ends_with_counts_and_the_bare_path(tmp_path: Path) -> None:
    file = write_rdc(tmp_path / "RDC.json", 20)
    result = dz_prepare("rarearena", file, "--out", tmp_path / "out", "--task", "rds", "--split", "random")
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines() == [
        "20 read, 20 kept",
        "train 12, val 2, test 6",
        str(tmp_path / "out"),
    ]
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert (manifest["split"], manifest["settings"]["task"]) == ("random", "rds")
    assert "Granulomas" not in read_cases(tmp_path / "out")[0].text


def test_off_a_terminal_progress_is_plain_lines_on_standard_error(tmp_path: Path) -> None:
    result = dz_prepare("rarearena", write_rdc(tmp_path / "RDC.json", 20), "--out", tmp_path / "out")
    assert result.stderr.splitlines() == ["reading: 20, done", "writing: 20, done"]


def test_a_table(tmp_path: Path) -> None:
    (tmp_path / "cases.csv").write_text("story;dx\nFever;Malaria\nRash;Measles\nCough;Pertussis\n")
    words = ["table", tmp_path / "cases.csv", "--out", tmp_path / "out", "--map", "text=story", "--map", "names=dx"]
    result = dz_prepare(*words)
    assert result.exit_code == 0, result.output
    assert [case.names for case in read_cases(tmp_path / "out")] == [("Malaria",), ("Measles",), ("Pertussis",)]


def test_a_template_of_ones_own(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("What is it? {case}")
    file = write_rdc(tmp_path / "RDC.json", 3)
    result = dz_prepare("rarearena", file, "--out", tmp_path / "out", "--template", tmp_path / "mine.txt")
    assert result.exit_code == 0, result.output
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert manifest["settings"]["template"] == "What is it? {case}"


def write_packet(path: Path, name: str) -> Path:
    packet = {
        "id": name,
        "subject": {"id": "1"},
        "phenotypicFeatures": [{"type": {"id": "HP:0001250", "label": "Seizure"}}],
        "diseases": [{"term": {"id": "OMIM:154700", "label": "Marfan syndrome"}}],
        "metaData": {"phenopacketSchemaVersion": "2.0"},
    }
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(packet))
    return path


def test_phenopackets_with_other_files_listed(tmp_path: Path) -> None:
    for number in range(4):
        write_packet(tmp_path / "packets" / f"{number}.json", f"patient-{number}")
    (tmp_path / "packets" / "README.txt").write_text("not a packet")
    result = dz_prepare("phenopackets", tmp_path / "packets", "--out", tmp_path / "out")
    assert result.exit_code == 0, result.output
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert (manifest["read"], manifest["kept"]) == (4, 4)
    assert manifest["ignored"] == [str(tmp_path / "packets" / "README.txt")]
    assert "files of other kinds, passed over: 1 (listed in manifest.json)" in result.stdout


def test_a_duplicate_packet_names_both_files(tmp_path: Path) -> None:
    first, second = (write_packet(tmp_path / name, "same") for name in ("a.json", "b.json"))
    result = dz_prepare("phenopackets", first, second, "--out", tmp_path / "out")
    assert isinstance(result.exception, InputError)
    assert str(result.exception).startswith(f"{second}: the id 'same' stands already in {first}")


def test_vignettes(tmp_path: Path) -> None:
    result = dz_prepare("vignettes", "--out", tmp_path / "out", "--cases", 30, "--diseases", 5, "--seed", 1)
    assert result.exit_code == 0, result.output
    assert len(read_cases(tmp_path / "out")) == 30


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--split", "sead"], "no split 'sead'. Did you mean 'seed'"),
        (["--task", "mcq"], "no task 'mcq'"),
        (["--max-prompt-tokens", "100"], "need each other"),
        (["--model", "some/model"], "need each other"),
        (["--template", "diagnosys"], "Did you mean 'diagnosis'"),
    ],
)
def test_a_wrong_word_says_what_is_right_and_writes_nothing(tmp_path: Path, words: list[str], message: str) -> None:
    result = dz_prepare("rarearena", write_rdc(tmp_path / "RDC.json", 3), "--out", tmp_path / "out", *words)
    assert isinstance(result.exception, InputError)
    assert message in str(result.exception)
    assert [path.name for path in tmp_path.iterdir()] == ["RDC.json"]


def test_a_split_with_an_empty_side_is_noted(tmp_path: Path) -> None:
    file = write_rdc(tmp_path / "RDC.json", 1)
    assert "note: train is empty" in dz_prepare("rarearena", file, "--out", tmp_path / "out").stdout


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stopped_command_leaves_nothing(tmp_path: Path, number: signal.Signals) -> None:
    file = write_rdc(tmp_path / "RDC.json", 30_000)
    program = "from diagnosis_zero.cli.prepare import commands; commands()"
    words = ["rarearena", str(file), "--out", str(tmp_path / "new" / "out")]
    process = subprocess.Popen(
        [sys.executable, "-c", program, *words],
        stderr=subprocess.PIPE,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # background jobs are born ignoring it
    )
    while not list(tmp_path.glob("new/.out.*/spool.jsonl")):
        assert process.poll() is None
        time.sleep(0.02)
    process.send_signal(number)
    process.communicate()
    assert process.returncode != 0
    assert [path.name for path in tmp_path.iterdir()] == ["RDC.json"]


@pytest.mark.skipif(not DATA.is_dir(), reason=f"no development data at {DATA} (set DZ_DATA)")
def test_real_cases_are_all_accounted_for(tmp_path: Path) -> None:
    result = dz_prepare("rarearena", DATA / "medr_bench" / "rare_cases.jsonl", "--out", tmp_path / "out")
    assert result.exit_code == 0, result.output
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert manifest["read"] == 230 == manifest["kept"] + sum(manifest["dropped"].values())
