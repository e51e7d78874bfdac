import json
from pathlib import Path

from run_folder import write_run

from diagnosis_zero.report import benchmarks, judges
from diagnosis_zero.report.load import load_runs
from diagnosis_zero.report.tables import Estimate


def test_two_judges_that_always_agree_and_two_that_never_do(tmp_path: Path) -> None:
    path = write_run(tmp_path / "r", cases=20, steps=(0,))
    folder = path / "evaluations" / "step-000000"
    rows = [json.loads(line) for line in (folder / "verdicts.jsonl").read_text().splitlines()]
    for name, label_of in (("alike", lambda row: row["label"]), ("unlike", lambda row: 2 - row["label"])):
        changed = [row | {"judge": name, "label": label_of(row)} for row in rows]
        (folder / f"verdicts.{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in changed))
    table = judges.table(load_runs([path])[0])
    found = {row[0]: (row[2].value, row[3].value > 0) for row in table.rows}  # type: ignore[union-attr]
    assert found["alike against sequence"] == (1.0, True)
    assert found["alike against unlike"] == (0.0, False)


def test_one_judge_has_nobody_to_agree_with(tmp_path: Path) -> None:
    assert judges.table(load_runs([write_run(tmp_path / "r", cases=5)])[0]).rows == ()


def test_benchmarks_before_and_after(tmp_path: Path) -> None:
    path = write_run(tmp_path / "r", cases=5)
    for step, value in ((0, 0.30), (200, 0.32)):
        folder = path / "benchmarks" / "loglikelihood" / "medqa" / f"step-{step:06d}"
        folder.mkdir(parents=True)
        accuracy = {"value": value, "low": value - 0.02, "high": value + 0.02, "n": 1273, "clusters": 1273}
        (folder / "summary.json").write_text(json.dumps({"step": step, "accuracy": accuracy}))
    table = benchmarks.table(load_runs([path])[0])
    assert [column.label for column in table.columns] == ["Task", "Style", "Step 0", "Step 200"]
    ((task, style, before, after),) = table.rows
    assert (task, style) == ("medqa", "loglikelihood")
    assert isinstance(before, Estimate)
    assert isinstance(after, Estimate)
    assert (before.value, after.value) == (0.30, 0.32)
