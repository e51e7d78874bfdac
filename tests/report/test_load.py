from pathlib import Path

import pytest
from run_folder import write_run

from diagnosis_zero.errors import InputError
from diagnosis_zero.report.load import load_runs, read_metrics


def test_a_run_is_read_whole(tmp_path: Path) -> None:
    run = load_runs([write_run(tmp_path / "demo", cases=10)])[0]
    assert run.name == "demo"
    assert [evaluation.step for evaluation in run.evaluations] == [0, 100, 200]
    assert len(run.cases) == 10
    assert run.config["model"] == {"id": "tiny"}
    assert [sample.parts["accuracy"] for sample in run.samples] == [1.0] * 4  # best and worst of two groups


def test_runs_of_one_name_are_told_apart_by_their_parent(tmp_path: Path) -> None:
    paths = [write_run(tmp_path / parent / "demo", cases=5) for parent in ("a", "b")]
    assert [run.name for run in load_runs(paths)] == ["a/demo", "b/demo"]


def test_a_run_that_is_still_writing_is_read_up_to_its_last_whole_line(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"step": 1, "kind": "train"}\n{"step": 2, "ki')
    assert read_metrics(path) == [{"step": 1, "kind": "train"}]


def test_a_broken_line_before_the_last_names_file_and_line(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"step": 1\n{"step": 2}\n')
    with pytest.raises(InputError, match=r"metrics\.jsonl:1"):
        read_metrics(path)


def test_folders_that_are_no_runs_say_so(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such run folder"):
        load_runs([tmp_path / "absent"])
    with pytest.raises(InputError, match="neither metrics"):
        load_runs([tmp_path])
    with pytest.raises(InputError, match="no run folder given"):
        load_runs([])


def test_a_broken_recipe_is_named(tmp_path: Path) -> None:
    path = write_run(tmp_path / "r", cases=3)
    (path / "config.toml").write_text("[run\n")
    with pytest.raises(InputError, match=r"config\.toml: not TOML"):
        load_runs([path])
