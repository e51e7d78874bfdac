import math
from pathlib import Path
from typing import Any

from diagnosis_zero.report import curves
from diagnosis_zero.report.load import Run


def run(rows: list[dict[str, Any]], name: str = "r") -> Run:
    return Run(name, Path(name), {}, {}, "", tuple(rows), (), {}, ())


def train(step: int, **values: float) -> dict[str, Any]:
    return {"step": step, "kind": "train", **{key.replace("__", "/"): value for key, value in values.items()}}


def test_each_part_of_the_reward_gets_its_chart() -> None:
    rows = [train(1, reward__mean=0.5, reward__std=0.1, reward__accuracy=0.4, reward__format=0.1)]
    titles = [chart.title for chart in curves.reward_charts([run(rows)])]
    assert titles == ["Mean reward", "accuracy", "format"]


def test_what_was_never_logged_gets_no_chart() -> None:
    assert [c.title for c in curves.stability_charts([run([train(1, policy__kl=0.1)])])] == ["KL to the reference"]


def test_numbers_that_are_not_finite_are_gaps_not_points() -> None:
    rows = [train(1, policy__kl=0.1), train(2, policy__kl=math.nan), train(3, policy__kl=math.inf)]
    chart = curves.stability_charts([run(rows)])[0]
    assert [point.x for point in chart.series[0].points] == [1.0]


def test_long_runs_are_averaged_in_equal_stretches() -> None:
    rows = [train(step, length__mean=float(step)) for step in range(1, 601)]
    points = curves.length_chart([run(rows)]).series[0].points
    assert len(points) == 300
    assert (points[0].x, points[0].y) == (2.0, 1.5)
    assert (points[-1].x, points[-1].y) == (600.0, 599.5)


def test_events_stand_on_the_time_line_of_every_chart() -> None:
    rows = [
        train(1, policy__kl=0.1),
        {"step": 7, "kind": "event", "event": "guard", "message": "KL rose"},
    ]
    event = curves.stability_charts([run(rows)])[0].events[0]
    assert (event.step, event.name, event.message) == (7.0, "guard", "KL rose")
