"""``metrics.jsonl`` and evaluations -> the charts of a run over its steps."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import groupby
from typing import Any

from diagnosis_zero.report.load import Evaluation, Run
from diagnosis_zero.report.tables import Chart, Event, Format, Point, Series

MOST_POINTS = 300
"""A line keeps at most this many points; more are averaged in equal stretches of steps."""

ScoreOf = Callable[[Evaluation], Point | None]


def score_chart(runs: Sequence[Run], measured: ScoreOf) -> Chart:
    """Held-out accuracy: the line that training logged, and dots with intervals where answers were judged."""
    series: list[Series] = []
    for run in runs:
        series += _series(run, "val", "val/accuracy", "validation")
        dots = [point for evaluation in run.evaluations if (point := measured(evaluation))]
        if dots:
            series.append(Series(run.name, "evaluation", tuple(dots), dots=True))
    return Chart("score", "Held-out accuracy", "share right", "percent", tuple(series), _events(runs))


def length_chart(runs: Sequence[Run]) -> Chart:
    """Mean length of a response in training."""
    return _chart(runs, "length", "Response length", "tokens", "number", {"length/mean": "mean length"})


def reward_charts(runs: Sequence[Run]) -> list[Chart]:
    """Mean reward, then each of its parts, as far as they were logged."""
    keys = sorted({k for run in runs for row in run.metrics for k in row if k.startswith("reward/")})
    parts = [key for key in keys if key not in ("reward/mean", "reward/std")]
    charts = [_chart(runs, "reward", "Mean reward", "reward", "number", {"reward/mean": "reward"})]
    charts += [
        _chart(runs, key.replace("/", "-"), key[7:].replace("_", " "), "part of the reward", "number", {key: key[7:]})
        for key in parts
    ]
    return [chart for chart in charts if chart.series]


_STABILITY: tuple[tuple[str, str, str, Format], ...] = (
    ("policy/entropy", "Entropy", "nats a token", "number"),
    ("policy/kl", "KL to the reference", "nats a token", "number"),
    ("policy/grad_norm", "Gradient norm", "before clipping", "number"),
    ("policy/clip_fraction", "Clipped tokens", "share", "percent"),
    ("policy/mismatch_kl", "Sampler against trainer", "KL, nats a token", "number"),
    ("groups/zero_variance", "Groups without a signal", "share with equal rewards", "percent"),
    ("length/truncated", "Truncated responses", "share", "percent"),
)


def stability_charts(runs: Sequence[Run]) -> list[Chart]:
    """Entropy, KL, gradient and their kin, with the events of the run on the time line."""
    charts = [
        _chart(runs, key.replace("/", "-"), title, unit, form, {key: title}) for key, title, unit, form in _STABILITY
    ]
    return [chart for chart in charts if chart.series]


def _chart(runs: Sequence[Run], id_: str, title: str, unit: str, form: Format, keys: Mapping[str, str]) -> Chart:
    series = [s for run in runs for key, name in keys.items() for s in _series(run, "train", key, name)]
    return Chart(id_, title, unit, form, tuple(series), _events(runs))


def _series(run: Run, kind: str, key: str, name: str) -> list[Series]:
    """At most one series: none where the metric was never logged."""
    points = [
        Point(float(row["step"]), _significant(row[key]))
        for row in run.metrics
        if row.get("kind") == kind and _is_number(row.get(key))
    ]
    return [Series(run.name, name, tuple(_average(points)))] if points else []


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


def _average(points: Sequence[Point]) -> Iterable[Point]:
    stretch = math.ceil(len(points) / MOST_POINTS)
    if stretch <= 1:
        return points
    indexed = groupby(enumerate(points), key=lambda pair: pair[0] // stretch)
    return [_mean([point for _, point in group]) for _, group in indexed]


def _mean(points: Sequence[Point]) -> Point:
    return Point(points[-1].x, _significant(sum(point.y for point in points) / len(points)))


def _significant(value: float) -> float:
    """Five digits: more than a chart can show, and half the size of the page's data."""
    return float(f"{value:.5g}")


def _events(runs: Sequence[Run]) -> tuple[Event, ...]:
    return tuple(
        Event(run.name, float(row["step"]), str(row.get("event", "event")), str(row.get("message", "")))
        for run in runs
        for row in run.metrics
        if row.get("kind") == "event"
    )
