"""Cases by pass rate: the weights by hand, the draw against its shares, a run that is killed and goes on."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from benchmarks.toy_runs import rows, run_whole, start, toy_cases, toy_recipe, without_times
from small_runs import finish, run_signalled

from diagnosis_zero.train.curriculum import LEAST, cases_of_step, of_step, pass_rates, weight


def write(folder: Path, step: int, right: dict[str, list[float]]) -> None:
    lines = [{"case_id": case, "part_accuracy": value} for case, values in right.items() for value in values]
    pq.write_table(pa.Table.from_pylist(lines), folder / f"step-{step:06d}.parquet")


def test_the_share_of_the_last_visit_counts(tmp_path: Path) -> None:
    write(tmp_path, 9, {"a": [1.0, 0.0, 0.0, 0.0], "b": [0.0, 0.0]})
    write(tmp_path, 10, {"a": [1.0, 1.0, 1.0, 1.0]})
    assert of_step(tmp_path / "step-000009.parquet") == {"a": 2 / 6, "b": 1 / 4}
    assert pass_rates(tmp_path) == {"a": 5 / 6, "b": 1 / 4}


def test_divided_cases_weigh_most_and_none_weighs_nothing() -> None:
    assert weight(None) == weight(0.5) == pytest.approx(0.27)
    assert weight(0.1) == pytest.approx(weight(0.9)) == pytest.approx(0.11)
    assert weight(1.0) == LEAST


def test_the_first_of_a_step_comes_as_often_as_its_weight_says() -> None:
    cases = toy_cases(4)
    rates = {"case-0": 0.5, "case-1": 0.1, "case-2": 0.98}
    firsts = Counter(cases_of_step(cases, rates, step, 1, seed=3)[0].id for step in range(4000))
    weights = {case.id: weight(rates.get(case.id)) for case in cases}
    for case, one in weights.items():
        assert firsts[case] / 4000 == pytest.approx(one / sum(weights.values()), abs=0.03)


def test_a_step_has_different_cases_and_all_where_there_are_no_more() -> None:
    cases = toy_cases(6)
    drawn = cases_of_step(cases, {}, 1, 4, seed=0)
    assert len({case.id for case in drawn}) == 4
    assert drawn == cases_of_step(cases, {}, 1, 4, seed=0)
    assert drawn != cases_of_step(cases, {}, 2, 4, seed=0)
    assert {case.id for case in cases_of_step(cases, {}, 1, 9, seed=0)} == {case.id for case in cases}


def test_a_killed_run_goes_on_with_the_cases_that_it_would_have_drawn(toy_inputs: Path, tmp_path: Path) -> None:
    overrides = ("train.steps=8", "rollout.curriculum=true")
    whole = toy_recipe(toy_inputs, tmp_path / "whole", *overrides)
    torn = toy_recipe(toy_inputs, tmp_path / "torn", *overrides)
    passes = toy_recipe(toy_inputs, tmp_path / "passes", "train.steps=8")
    both = start(run_whole, whole), start(run_signalled, torn, at=6)
    finish(both[0], whole)
    finish(both[1], torn, exit_code=-9)
    finish(start(run_whole, torn, resume=True), torn)
    assert without_times(torn) == without_times(whole)
    finish(start(run_whole, passes), passes)
    drawn, by_pass = (_case_ids(recipe.run.folder) for recipe in (whole, passes))
    assert drawn != by_pass
    assert all(row["step"] <= 8 for row in rows(whole))


def _case_ids(folder: Path) -> list[str]:
    files = sorted((folder / "rollouts").glob("step-*.parquet"))
    return [case for path in files for case in pq.read_table(path, columns=["case_id"])["case_id"].to_pylist()]
