"""The benchmark of the overhead: its stopwatch, and one small run."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from benchmarks.overhead import LONG, Stopwatch, _shares, measure


def test_stopwatch_keeps_every_call_and_gives_back_what_is_returned() -> None:
    watch = Stopwatch()

    def busy(seconds: float) -> str:
        until = time.process_time() + seconds
        while time.process_time() < until:
            pass
        return "done"

    timed = watch.around("busy", busy)
    assert [timed(0.02), timed(0.0)] == ["done", "done"]
    first, second = watch.seconds["busy"]
    assert first >= 0.02 > second
    with pytest.raises(TypeError):
        timed("x")
    assert len(watch.seconds["busy"]) == 3  # a call that fails took its time too


def test_shares_are_worked_out_by_hand() -> None:
    seconds = {"step": 0.100, "metrics": 0.001, "rollouts": 0.002, "log": 0.001, "guard": 0.002, "step_kl": 0.008}
    shares = _shares(seconds, guard_long=0.006)  # the step without any of them: 100 - 12 = 88 ms
    assert shares["overhead_closely"] == pytest.approx(14 / 102)
    assert shares["overhead_later"] == pytest.approx(8 / 96)  # a fourth of the 8 ms
    assert shares["overhead_long"] == pytest.approx(12 / 100)


@pytest.mark.slow
def test_every_part_is_timed(tmp_path: Path) -> None:
    figures = measure(tmp_path, "toy")
    parts = {"step", "metrics", "rollouts", "log", "guard", "step_kl", f"guard after {LONG} steps"}
    assert set(figures["seconds"]) == parts
    assert all(value > 0 for value in figures["seconds"].values())
    assert 0 < figures["overhead_later"] < figures["overhead_closely"] < 1
