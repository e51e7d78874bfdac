import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from run_folder import answer, case, write_evaluation, write_run

from diagnosis_zero import records
from diagnosis_zero.behaviour import format as form
from diagnosis_zero.behaviour.analyse import analyse
from diagnosis_zero.parsing import FAULTS, parse
from diagnosis_zero.report import behaviours
from diagnosis_zero.report.load import Run, load_runs
from diagnosis_zero.report.tables import Estimate, Table
from diagnosis_zero.types import Answer

CHINESE = " 因此考虑法布里病。"


def said(number: int, step: int, after: str = "", *, right: bool = False, sample: int = 0) -> Answer:
    of = case(number)
    name = of.names[0] if right else "Gout"
    text = f"<think>The fever is of unknown cause, so it may well be {name}.</think><answer>{name}</answer>{after}"
    parsed = parse(text)
    return dataclasses.replace(
        answer(of, step, name, sample, text), think=parsed.think, answer=parsed.answer, faults=parsed.faults
    )


def analysed(folder: Path, by_step: dict[int, Sequence[Answer]]) -> Run:
    """A run of these answers, loaded after ``analyse``."""
    cases = {one.case_id for answers in by_step.values() for one in answers}
    made = [of for number in range(50) if (of := case(number)).id in cases]
    records.write_jsonl(folder / "evaluations" / "cases.jsonl", made)
    for step, answers in by_step.items():
        write_evaluation(folder / "evaluations" / f"step-{step:06d}", answers)
    analyse(folder)
    return load_runs([folder])[0]


def rows(tables: Sequence[Table], id_: str) -> dict[object, tuple[object, ...]]:
    (found,) = (table for table in tables if table.id.startswith(id_))
    return {row[0]: row[1:] for row in found.rows}


def test_mixed_language_by_step_and_whether_it_goes_with_being_right(tmp_path: Path) -> None:
    """As the original system reported it: the share mixed by step, where it sits, matched given mixed."""
    before = [said(n, 0) for n in range(10)]
    after = [said(n, 50, CHINESE, right=n < 3) for n in range(4)] + [said(n, 50, right=n < 5) for n in range(4, 10)]
    tables = behaviours.tables(analysed(tmp_path / "r", {0: before, 50: after}), "sequence")
    shares = rows(tables, "behaviour-")
    shares |= rows(tables, "faults-")
    for name in ("Another language, anywhere", "Another language after the answer", "text after the last block"):
        none, four = shares[name]
        assert isinstance(none, Estimate)
        assert isinstance(four, Estimate)
        assert (none.value, four.value, four.n) == (0.0, 0.4, 10)
    count, with_it, without, overall = rows(tables, "given-")["Another language, anywhere"]
    assert count == 4
    assert isinstance(with_it, Estimate)
    assert isinstance(without, Estimate)
    assert isinstance(overall, Estimate)
    assert (with_it.value, without.value, overall.value) == (0.75, 1 / 16, 4 / 20)
    assert with_it.low < 0.75 < with_it.high


def test_form_against_correctness_by_step(tmp_path: Path) -> None:
    answers = [said(n, 0, "" if n < 3 else CHINESE, right=n in (0, 4, 5, 6)) for n in range(7)]
    tables = behaviours.tables(analysed(tmp_path / "r", {0: answers}), "sequence")
    both, form_only, right_only, neither, phi, _ = rows(tables, "form-right-")[0]
    assert (both, form_only, right_only, neither) == (1, 2, 3, 1)
    assert phi == pytest.approx((1 * 1 - 2 * 3) / (3 * 4 * 4 * 3) ** 0.5)


def test_a_behaviour_never_seen_has_no_row(tmp_path: Path) -> None:
    tables = behaviours.tables(analysed(tmp_path / "r", {0: [said(n, 0) for n in range(5)]}), "sequence")
    assert "Another language, anywhere" not in rows(tables, "behaviour-")
    assert rows(tables, "given-").keys() == {"Complete form"}


def test_redacted_tables_hold_no_words_of_the_model(tmp_path: Path) -> None:
    run = analysed(tmp_path / "r", {0: [said(n, 0) for n in range(5)]})
    assert "gout" in str(behaviours.tables(run, "sequence")).lower()
    assert "gout" not in str(behaviours.tables(run, "sequence", redact=True)).lower()


def test_accuracy_by_kind_of_disease(tmp_path: Path) -> None:
    """Marfan (ORPHA:558) is spread over systems; Wilson, Fabry and the others have their own place."""
    run = analysed(tmp_path / "r", {0: [said(n, 0, right=n % 5 == 0) for n in range(10)]})
    (table,) = (t for t in behaviours.tables(run, "sequence") if t.id.startswith("organs-"))
    by_group = {(row[0], row[1]): row[3] for row in table.rows}
    extents = {group: n for (kind, group), n in by_group.items() if kind == "extent"}
    assert sum(extents.values()) == 10  # type: ignore[arg-type]
    assert set(extents) <= {"systemic", "single organ", "not annotated"}


def test_every_fault_of_the_parser_has_one_kind_and_one_row() -> None:
    members = [fault for faults in form.KINDS.values() for fault in faults]
    assert sorted(members) == sorted(FAULTS)
    assert len(set(behaviours.FAULTS.values())) == len(FAULTS)


def test_charts_of_behaviour_overlay_the_runs_and_leave_out_what_was_not_seen(tmp_path: Path) -> None:
    runs = [analysed(tmp_path / name, {0: [said(n, 0) for n in range(4)],
                                       50: [said(n, 50, CHINESE if n < many else "") for n in range(4)]})
            for name, many in (("a", 1), ("b", 3))]  # fmt: skip
    (chart,) = behaviours.share_charts(runs)
    assert chart.title == "Another language, anywhere"
    assert [(series.run, [point.y for point in series.points]) for series in chart.series] == [
        ("a", [0.0, 0.25]),
        ("b", [0.0, 0.75]),
    ]


def test_the_stacked_chart_counts_every_completion_once(tmp_path: Path) -> None:
    faults = [[], ["text_after", "think_missing"], ["answer_missing", "truncated"], ["text_after"]]
    write_run(tmp_path / "r", cases=5)
    for step in (1, 2):
        write_rollouts(tmp_path / "r", step, faults)
    chart = behaviours.form_chart(load_runs([tmp_path / "r"]))
    found = {series.name: [point.y for point in series.points] for series in chart.series}
    assert found == {"cut by the limit": [0.25] * 2, "no reasoning": [0.25] * 2, "text outside": [0.25] * 2}


def write_rollouts(run: Path, step: int, faults: list[list[str]], parts: Sequence[tuple[float, float]] = ()) -> None:
    parts = parts or [(0.0, 0.0)] * len(faults)
    table = [
        {"step": step, "case_id": "a", "text": "", "answer": None, "score": 0.0, "advantage": 0.0, "tokens": 1,
         "faults": found, "part_accuracy": accuracy, "part_format": form_}
        for found, (accuracy, form_) in zip(faults, parts, strict=True)
    ]  # fmt: skip
    pq.write_table(pa.Table.from_pylist(table), run / "rollouts" / f"step-{step:06d}.parquet")


def test_rewards_in_conflict_within_groups_are_called_out(tmp_path: Path) -> None:
    write_run(tmp_path / "r", cases=5)
    write_rollouts(tmp_path / "r", 200, [[]] * 4, [(1.0, 0.0), (0.0, 1.0), (1.0, 0.0), (0.0, 1.0)])
    (run,) = load_runs([tmp_path / "r"])
    assert [alarm.title for alarm in behaviours.warnings(run)] == ["Rewards in conflict"]


def test_a_reward_that_rises_while_an_independent_judge_sees_nothing_is_called_out(tmp_path: Path) -> None:
    path = write_run(tmp_path / "r", cases=200)
    flat = [verdict for step in (0, 100, 200) for verdict in _never_right(path, step)]
    assert flat
    (run,) = load_runs([path])
    (alarm,) = behaviours.warnings(run)
    assert alarm.title == "Is the reward being gamed?"
    assert "judge strict" in alarm.text


def _never_right(run: Path, step: int) -> list[object]:
    folder = run / "evaluations" / f"step-{step:06d}"
    lines = (folder / "verdicts.jsonl").read_text().splitlines()
    other = [json.loads(line) | {"judge": "strict", "label": 0} for line in lines]
    (folder / "verdicts.strict.jsonl").write_text("".join(json.dumps(row) + "\n" for row in other))
    return list(other)
