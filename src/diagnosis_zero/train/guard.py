"""Watches a run and says when it goes wrong. Every detector is a pure function of the metrics so far.

A metric is compared with the run's own past, never with another run's numbers: the mean of the last few steps
against the best mean that as many earlier steps ever had. A change counts when it is larger than a share of the past
value, than a least amount that matters, and than ``NOISE`` standard errors of the metric's own step-to-step noise; so
a detector waits longer in a noisy run instead of crying wolf. ``DETECTORS`` holds every threshold.

A detector whose metric the run does not write is silent. What the metrics mean: ``docs/metrics.md``; how the
thresholds were set, and what they missed: ``docs/stability.md``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from diagnosis_zero.train.metrics import Row

Level = Literal["warning", "collapse"]
Decision = Literal["go on", "stop", "rewind"]
Values = NDArray[np.float64]
Columns = Mapping[str, Values]
Detector = Callable[[Columns], str | None]
"""What is wrong, in words with numbers; None: nothing."""

NOISE = 5.0
"""Standard errors that a change must exceed. Best-of-many windows is a biased past: 5 leaves about 4."""
Scales = tuple[tuple[int, int, float], ...]
"""(steps now, steps of the past, factor on the thresholds), shortest first."""
QUICK: Scales = ((1, 2, 2.0), (3, 5, 1.0))
"""For metrics with little noise: a plunge of one step, or the smaller change of three."""
SLOW: Scales = ((5, 10, 1.0),)
QUIET = 25
"""Steps for which a detector that has spoken says nothing more."""


@dataclass(frozen=True, slots=True)
class Alarm:
    """One sign of trouble; ``warning`` is told, ``collapse`` is acted on."""

    detector: str
    level: Level
    message: str


def check(rows: Sequence[Row]) -> list[Alarm]:
    """The alarms that the history gives now, without those that its ``guard/...`` events told lately."""
    columns = _columns(rows)
    found = [
        Alarm(name, level, message)
        for name, (level, detector) in DETECTORS.items()
        if (message := detector(columns)) is not None
    ]
    told = _told_lately(rows)
    return [alarm for alarm in found if f"guard/{alarm.detector}" not in told]


def decide(alarms: Sequence[Alarm], on_collapse: str, rewinds_left: int) -> Decision:
    """What to do: ``on_collapse`` is ``warn``, ``stop`` or ``rewind``; without rewinds left, the run stops."""
    if on_collapse == "warn" or all(alarm.level == "warning" for alarm in alarms):
        return "go on"
    return "rewind" if on_collapse == "rewind" and rewinds_left > 0 else "stop"


# --- kinds of detectors


def falls(key: str, *, share: float, least: float, scales: Scales = QUICK) -> Detector:
    """The metric is below its best by more than ``share`` of it and by more than ``least``."""
    return partial(_moved, key, share, least, scales, -1)


def rises(key: str, *, share: float, least: float, scales: Scales = QUICK) -> Detector:
    """The metric is above its lowest by more than ``share`` of it and by more than ``least``."""
    return partial(_moved, key, share, least, scales, 1)


def _moved(key: str, share: float, least: float, scales: Scales, sign: int, columns: Columns) -> str | None:
    values = sign * _finite(columns, key)
    for recent, earlier, times in scales:
        change = _change(values, recent, earlier, np.min)
        if change and change.now - change.past > max(times * share * abs(change.past), times * least, change.margin):
            return f"{key} went from {sign * change.past:.3g} to {sign * change.now:.3g}"
    return None


def sinks_below(key: str, *, share: float, recent: int = 5, first: int = 10) -> Detector:
    """The metric is below this share of where it began."""

    def detect(columns: Columns) -> str | None:
        values = _finite(columns, key)
        if len(values) < first + recent:
            return None
        start, now = values[:first].mean(), values[-recent:].mean()
        return f"{key} is {now:.3g}, from {start:.3g} at the start" if now < share * start else None

    return detect


def stays_above(key: str, *, bound: float, recent: int = 10) -> Detector:
    """The metric was above the bound in each of the last steps."""

    def detect(columns: Columns) -> str | None:
        values = _finite(columns, key)[-recent:]
        if len(values) < recent or values.min() <= bound:
            return None
        return f"{key} was above {bound:g} for {recent} steps ({values.mean():.3g})"

    return detect


def jumps(key: str, *, times: float, least: float, recent: int = 3, earlier: int = 30) -> Detector:
    """The median of the last steps is so many times the median of those before: for metrics with heavy tails."""

    def detect(columns: Columns) -> str | None:
        values = _finite(columns, key)
        before = values[-recent - earlier : -recent]
        if len(before) < 5:
            return None
        usual, now = float(np.median(before)), float(np.median(values[-recent:]))
        if now <= max(times * usual, least):
            return None
        return f"{key} is {now:.3g}, {now / max(usual, 1e-12):.0f} times its usual {usual:.3g}"

    return detect


# --- detectors of their own


def not_finite(columns: Columns) -> str | None:
    """Three of the last five steps were skipped, or their numbers are not finite. One skipped step is healed by
    skipping it; a streak means that the weights themselves have gone."""
    last = {key: columns[key][-5:] for key in ("policy/skipped", "policy/loss") if key in columns}
    bad = max((int(np.sum(~np.isfinite(v) | ((v > 0) & (k == "policy/skipped")))) for k, v in last.items()), default=0)
    return f"{bad} of the last 5 updates were not finite" if bad >= 3 else None


def score_lost(columns: Columns) -> str | None:
    """Held-out accuracy lost 15 % of its best, and was already down by 7 % the time before; or a third at once."""
    scores = _finite(columns, "val/accuracy")
    if len(scores) < 3:
        return None
    best, before, now = scores[:-1].max(), scores[-2], scores[-1]
    lost = now < 0.67 * best or (now < 0.85 * best and before < 0.93 * best)
    return f"val/accuracy is {now:.3g}, its best was {best:.3g}" if lost else None


def reward_without_truth(columns: Columns) -> str | None:
    """Reward rises above where it began while what it stands for falls: the reward is being hacked."""
    reward = _change(_finite(columns, "reward/mean"), 5, 10, np.min)
    if reward is None or reward.now - reward.past <= max(0.1 * abs(reward.past), reward.margin):
        return None
    for key, windows in (("val/judge", (1, 2)), ("reward/accuracy", (5, 10))):
        truth = _change(_finite(columns, key), *windows, np.max)
        if truth is not None and truth.past - truth.now > max(0.15 * truth.past, 0.6 * truth.margin):
            return (
                f"reward/mean rose from {reward.past:.3g} to {reward.now:.3g} while {key} fell "
                f"from {truth.past:.3g} to {truth.now:.3g}"
            )
    return None


def length_without_accuracy(columns: Columns) -> str | None:
    """Completions are twice as long as they once were, and no more often right: growth that nobody asked for."""
    length = _change(_finite(columns, "length/mean"), 5, 10, np.min)
    accuracy = _change(_finite(columns, "reward/accuracy"), 5, 10, np.min)
    if length is None or accuracy is None or length.now <= max(1.6 * length.past, length.past + length.margin):
        return None
    if accuracy.now - accuracy.past > accuracy.margin:
        return None
    return f"length/mean rose from {length.past:.3g} to {length.now:.3g} tokens without a gain in accuracy"


DETECTORS: dict[str, tuple[Level, Detector]] = {
    "not-finite": ("collapse", not_finite),
    "score-lost": ("collapse", score_lost),
    "reward-fell": ("collapse", falls("reward/mean", share=0.3, least=0.05, scales=SLOW)),
    "reward-without-truth": ("collapse", reward_without_truth),
    "format-lost": ("collapse", falls("format/well_formed", share=0.2, least=0.15)),
    "script-mixed": ("collapse", falls("reward/language", share=0.1, least=0.1)),
    "truncated": ("collapse", rises("length/truncated", share=0.0, least=0.25)),
    "repetition": ("collapse", rises("text/repetition", share=0.0, least=0.25)),
    "length-without-accuracy": ("collapse", length_without_accuracy),
    "entropy-collapsed": ("collapse", sinks_below("policy/entropy", share=0.1)),
    "entropy-exploded": ("collapse", rises("policy/entropy", share=0.5, least=0.3)),
    "kl-ran-away": ("collapse", jumps("policy/kl", times=10, least=0.5)),
    "gradient-blew-up": ("collapse", jumps("policy/grad_norm", times=10, least=0.0)),
    "thought-lost": ("warning", falls("reward/reasoning", share=0.2, least=0.15)),
    "text-after-answer": ("warning", falls("reward/nothing_after", share=0.1, least=0.1)),
    "nothing-to-learn": ("warning", stays_above("groups/zero_variance", bound=0.9)),
    "clipped": ("warning", stays_above("policy/clip_fraction", bound=0.4)),
    "sampler-gap": ("warning", stays_above("policy/mismatch_kl", bound=0.01)),
}
"""Name -> (level, detector). The order is that in which alarms are told."""


# --- parts


@dataclass(frozen=True, slots=True)
class _Change:
    past: float
    now: float
    margin: float
    """``NOISE`` standard errors of the difference."""


def _change(values: Values, recent: int, earlier: int, best: Callable[[Values], float]) -> _Change | None:
    """Mean of the last ``recent`` values, and the best mean of any ``earlier`` consecutive ones before them."""
    if len(values) < recent + earlier:
        return None
    before = values[:-recent]
    sums = np.concatenate([[0.0], np.cumsum(before)])
    means = (sums[earlier:] - sums[:-earlier]) / earlier
    step_noise = math.sqrt(float(np.mean(np.diff(before[-50:]) ** 2)) / 2)  # differences: a trend is no noise
    margin = NOISE * step_noise * math.sqrt(1 / recent + 1 / earlier)
    return _Change(float(best(means)), float(values[-recent:].mean()), margin)


def _columns(rows: Sequence[Row]) -> dict[str, Values]:
    """Values of every metric in the order written; steps and words left out."""
    found: dict[str, list[float]] = {}
    for row in rows:
        for key, value in row.items():
            if key != "step" and isinstance(value, int | float):
                found.setdefault(key, []).append(value)
    return {key: np.array(values, dtype=np.float64) for key, values in found.items()}


def _finite(columns: Columns, key: str) -> Values:
    values = columns.get(key, np.empty(0))
    return values[np.isfinite(values)]


def _told_lately(rows: Sequence[Row]) -> set[str]:
    now = rows[-1]["step"] if rows else 0
    return {row["event"] for row in rows if row["kind"] == "event" and row["step"] > now - QUIET}
