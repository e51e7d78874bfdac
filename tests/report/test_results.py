from collections.abc import Sequence
from pathlib import Path

import pytest
from run_folder import answer, case, verdict, write_evaluation

from diagnosis_zero import records
from diagnosis_zero.evaluate.judge import Named
from diagnosis_zero.evaluate.run import judge_folder
from diagnosis_zero.report import results
from diagnosis_zero.report.load import load_runs
from diagnosis_zero.report.tables import Estimate
from diagnosis_zero.types import Answer, Verdict


def write(folder: Path, right_by_step: dict[int, list[bool]]) -> Path:
    cases = [case(number) for number in range(len(next(iter(right_by_step.values()))))]
    for step, right in right_by_step.items():
        said = [c.names[0] if r else "Common cold" for c, r in zip(cases, right, strict=True)]
        answers = [answer(c, step, name) for c, name in zip(cases, said, strict=True)]
        write_evaluation(folder / "evaluations" / f"step-{step:06d}", answers)
    return folder


def test_a_clear_rise_is_called_better_with_its_counts(tmp_path: Path) -> None:
    run = load_runs([write(tmp_path / "r", {0: [False] * 20, 50: [True] * 12 + [False] * 8})])[0]
    found = results.headline(run)
    assert found.direction == "better"
    assert "0.0 % of 20 held-out cases right before training, 60.0 % after: +60.0 points" in found.sentence
    assert found.more == ()
    assert "p = 0.00049" in found.sentence  # exact McNemar, 12 of 12: 2 / 2^12


def test_a_fall_is_called_worse(tmp_path: Path) -> None:
    run = load_runs([write(tmp_path / "r", {0: [True] * 20, 50: [False] * 12 + [True] * 8})])[0]
    assert results.headline(run).direction == "worse"


def test_two_cases_of_twenty_are_no_proof(tmp_path: Path) -> None:
    run = load_runs([write(tmp_path / "r", {0: [False] * 20, 50: [True] * 2 + [False] * 18})])[0]
    found = results.headline(run)
    assert found.direction == "unclear"
    assert found.more == ("A difference of 22.5 points would have been seen four times in five.",)


def test_one_evaluation_compares_nothing(tmp_path: Path) -> None:
    run = load_runs([write(tmp_path / "r", {0: [True, False]})])[0]
    assert results.headline(run).verdict == "Not compared."
    assert results.before_after(run, "sequence") is None


def test_by_step_holds_wilson_intervals_and_dashes_where_a_run_has_no_such_step(tmp_path: Path) -> None:
    first = write(tmp_path / "a", {0: [True] * 5 + [False] * 5, 50: [True] * 10})
    second = write(tmp_path / "b", {0: [False] * 10})
    table = results.by_step(load_runs([first, second]), "sequence")
    row_a, row_b = table.rows
    assert row_a[0] == "a"
    half = row_a[1]
    assert isinstance(half, Estimate)
    assert (half.value, half.n) == (0.5, 10)
    assert half.low == pytest.approx(0.2366, abs=1e-4)  # Wilson, 5 of 10
    assert row_b[2] is None


def test_unscored_and_leaking_answers_do_not_count_as_wrong(tmp_path: Path) -> None:
    cases = [case(0), case(1), case(2)]
    answers = [answer(c, 0, c.names[0]) for c in cases]
    folder = tmp_path / "r" / "evaluations" / "step-000000"
    leaking = records.as_dict(answers[2]) | {"leaks": ["Wilson disease"]}
    answers[2] = records.decode(leaking, type(answers[2]), (tmp_path, 1))
    verdicts = [verdict(answers[0]), Verdict(cases[1].id, 0, 0, "sequence", None, 0.0, "none", "no reply"),
                Verdict(cases[2].id, 0, 0, "sequence", 0, 0.0, "none")]  # fmt: skip
    records.write_jsonl(folder / "answers.jsonl", answers)
    records.write_jsonl(folder / "verdicts.jsonl", verdicts)
    evaluation = load_runs([tmp_path / "r"])[0].evaluations[0]
    found = results.estimate(evaluation, results.right("sequence"))
    assert found is not None
    assert (found.value, found.n) == (1.0, 1)


def test_the_judge_asked_last_decides_and_the_one_before_is_kept(tmp_path: Path) -> None:
    path = write(tmp_path / "r", {0: [True, False]})
    assert results.deciding_judge(load_runs([path])) == "sequence"
    folder = path / "evaluations" / "step-000000"
    answers = list(records.read_jsonl(folder / "answers.jsonl", Answer))
    judge_folder(folder, answers, judge=("strict", _strict))
    (run,) = load_runs([path])
    assert results.deciding_judge([run]) == "strict"
    assert set(run.evaluations[0].verdicts) == {"sequence", "strict"}


def _strict(named: Sequence[Named]) -> list[tuple[Verdict, ...]]:
    return [(Verdict(n.answer.case_id, n.answer.sample, n.answer.step, "strict", 0, 0.0, "no"),) for n in named]


def test_greedy_and_sampled_evaluations_are_never_compared_with_each_other(tmp_path: Path) -> None:
    """They differ without any training: a run of no gain must not look like one."""
    folder = write(tmp_path / "r", {0: [True] * 8 + [False] * 12, 50: [True] * 8 + [False] * 12})
    for step, right in ((0, 2), (50, 4)):
        write(tmp_path / "s", {step: [True] * right + [False] * (20 - right)})
        (tmp_path / "s" / "evaluations" / f"step-{step:06d}").rename(
            folder / "evaluations" / f"step-{step:06d}.sampled"
        )
    run = load_runs([folder])[0]
    assert results.headline(run).direction == "unclear"
    table = results.before_after(run, "sequence")
    assert table is not None
    shown = {row[0]: (row[1].value, row[2].value) for row in table.rows}  # type: ignore[union-attr]
    assert shown["Same disease"] == (0.4, 0.4)
    assert shown["Same disease, mean of several samples"] == (0.1, 0.2)
