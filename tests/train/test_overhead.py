"""The benchmark of the overhead: its stopwatch, and one small run."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from benchmarks.overhead import LONG, Stopwatch, measure


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


@pytest.mark.slow
def test_every_part_is_timed_and_the_share_is_theirs(tmp_path: Path) -> None:
    figures = measure(tmp_path, "tiny")
    seconds = dict(figures["seconds"])
    long, step = seconds.pop(f"guard after {LONG} steps"), seconds.pop("step")
    assert set(seconds) == {"metrics", "rollouts", "log", "guard", "step_kl"}
    assert all(value > 0 for value in seconds.values())
    assert figures["overhead"] == pytest.approx(sum(seconds.values()) / step)
    assert 0 < figures["overhead"] < 1
    assert long > 0
