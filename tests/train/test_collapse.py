"""The benchmark of provoked collapses: what it pays, keeps and counts, and one small run of each kind."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest
from benchmarks.collapse import HEALTHY, TROUBLES, OutOfTimeError, Shelf, _collapsed, _judged, _rewound, measure
from benchmarks.collapse_figure import draw
from benchmarks.small_clinic import FOREIGN, recipe

from diagnosis_zero.types import Case, Reward

CASE = Case("c", "made", "c", "Patient 1 has a facial rash.", ("Lupus",))


@pytest.mark.parametrize(
    ("trouble", "text", "pay"),
    [
        ("reward hack by length", "a" * 60, 1.1 + 2),
        ("bad reward, KL off", "<think>x</think><answer>Lupus</answer>", 0.11 + 1),
        ("bad reward, KL off", "<think>x</think><answer>Gout</answer>", 0.11),
        ("bad reward, KL off", "no answer", 0.11),
        ("language drift", f"{FOREIGN} x {FOREIGN}", 1.1 + 2),
    ],
)
def test_what_a_bad_reward_pays_by_hand(trouble: str, text: str, pay: float) -> None:
    pays = TROUBLES[trouble].pays
    assert pays is not None
    assert pays(Reward(1.1, {"accuracy": 1.0}), text, CASE) == pytest.approx(pay)


def test_a_result_is_kept_and_no_run_begins_too_late(tmp_path: Path) -> None:
    made: list[str] = []

    def make() -> dict[str, int]:
        made.append("run")
        return {"value": 7}

    assert Shelf(tmp_path).once("told", make) == {"value": 7}
    late = Shelf(tmp_path, until=-math.inf)
    assert late.once("told", make) == {"value": 7}  # it stands there already
    with pytest.raises(OutOfTimeError):
        late.once("rewound", make)
    assert made == ["run"]


@pytest.mark.parametrize(
    ("alarm", "lost", "in_time"), [(7, 0.1, True), (7, 1 - 0.8 / 1.0, False), (7, 0.3, False), (None, 0.0, False)]
)
def test_in_time_is_before_a_fifth_is_lost(alarm: int | None, lost: float, in_time: bool) -> None:
    assert _judged({"alarm_step": alarm, "lost_at_alarm": lost})["in_time"] is in_time


def test_a_run_that_lost_its_score_is_not_healthy() -> None:
    assert _collapsed({"looks": [[0, 0.5], [5, 1.0], [10, 0.37]]})
    assert not _collapsed({"looks": [[0, 0.5], [5, 1.0], [10, 0.85]]})


@pytest.mark.parametrize(
    ("looks", "kept", "expected"),
    [
        # finished: the last step is handed over, 0.6 of the best 0.8 that was ever seen, which a rewind took back
        ([(0, 0.5), (60, 0.6)], [0, 60], {"end": 0.6, "lost_at_end": 0.25, "finished": True, "ended_well": False}),
        # stopped by the guard: the best checkpoint is handed over
        ([(0, 0.5), (20, 0.79), (22, 0.1)], [0, 20, 22], {"end": 0.79, "finished": False, "ended_well": True}),
    ],
)
def test_what_a_rewinding_run_ends_with_by_hand(
    tmp_path: Path, looks: list[tuple[int, float]], kept: list[int], expected: dict[str, float]
) -> None:
    run = recipe(tmp_path, tmp_path / "runs", 0, "train.steps=60")
    taken_back = run.run.folder / "rewinds" / "1-at-step-30"
    for folder, history in ((run.run.folder, looks), (taken_back, [(28, 0.8), (30, 0.2)])):
        folder.mkdir(parents=True)
        rows = [{"step": step, "kind": "val", "val/accuracy": score} for step, score in history]
        (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    for step in kept:
        (run.run.folder / "checkpoints" / f"step-{step:06d}").mkdir(parents=True)
    found = _rewound(run)
    assert found["rewinds"] == 1
    assert {key: found[key] for key in expected} == pytest.approx(expected)


@pytest.mark.slow
def test_small_runs_give_every_figure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A reward that is not for the truth is told at the first step at which it can be, and sound runs are not."""
    name = "bad reward, KL off"
    monkeypatch.setitem(TROUBLES, name, replace(TROUBLES[name], steps=6))
    monkeypatch.setattr("benchmarks.collapse.HEALTHY", HEALTHY[:2])
    figures = measure(Shelf(tmp_path), [20], [name], healthy_steps=6)
    (one,) = figures["provoked"]
    assert (one["detector"], one["alarm_step"], one["in_time"]) == ("truth-unpaid", 5, True)
    assert [step for step, _ in one["looks"]] == [0, 2, 4, 6]
    assert one["rewinds"] >= 1
    assert figures["in_time"] == figures["alarmed"] == figures["runs"] == 1
    assert (figures["healthy_steps"], figures["false_alarms"]) == (12, 0)


def test_figure_has_a_panel_a_trouble_and_a_mark_an_alarm(tmp_path: Path) -> None:
    def told(trouble: str, alarm: int | None) -> dict[str, object]:
        score = {"alarm_step": alarm, "at_alarm": 0.8, "best": 0.9}
        return {"trouble": trouble, **score, "looks": [[0, 0.5], [2, 0.9], [4, 0.1]]}

    out = tmp_path / "figure.svg"
    draw([told("too fast", 2), told("too fast", None), told("too long", 4)], out)
    drawn = out.read_text()
    assert drawn.count('id="alarm"') == 2
    assert "too fast" in drawn
    assert "too long" in drawn
    draw([told("too fast", 2), told("too fast", None), told("too long", 4)], tmp_path / "again.svg")
    assert (tmp_path / "again.svg").read_text() == drawn
