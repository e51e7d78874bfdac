"""Watches a run and says when it goes wrong. Every detector is a pure function of the metrics so far.

A metric is compared with the run's own past: the mean of its last few steps against
the best mean that as many steps had before. A change counts when it is larger than a share of the past value, than a
least amount that matters, and than ``NOISE`` standard errors of the metric's own step-to-step noise, so that a detector
waits longer in a noisy run instead of crying wolf. Where a metric has the same scale in every run (a share of groups, a
KL in nats a token, a correlation), a bound of its own takes the place of the past. ``DETECTORS`` holds the thresholds.

A detector whose metric the run does not write is silent. What the metrics mean: ``docs/metrics.md``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, partial
from itertools import takewhile
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from diagnosis_zero.train.metrics import Row

Level = Literal["warning", "collapse"]
Decision = Literal["go on", "stop", "rewind"]
Values = NDArray[np.float64]
History = Callable[[str], Values]
"""The finite values of a metric in the order written; none where the run does not write it."""
Detector = Callable[[History], str | None]
"""What is wrong, in words with numbers; None: nothing."""

NOISE = 5.0
"""Standard errors that a change must exceed; the best of many windows is a flattered past, which takes about 1."""
HORIZON = 300
"""Steps of training that are looked back on, in a longer run its beginning; held-out scores are kept for all of it."""
QUIET = 25
"""Steps for which a detector that has spoken says nothing more."""

Scales = tuple[tuple[int, int, float], ...]
"""(steps now, steps of the past, factor on the thresholds), the quickest first."""
QUICK: Scales = ((1, 2, 2.0), (3, 5, 1.0))
"""For shares of completions, which have little noise: a plunge in one step, or half of it over three."""
SLOW: Scales = ((5, 10, 1.0), (20, 20, 1.0))
"""For scores, which depend on the prompts of the step."""


@dataclass(frozen=True, slots=True)
class Alarm:
    """One sign of trouble; a ``warning`` is told, a ``collapse`` is acted on."""

    detector: str
    level: Level
    message: str


def check(rows: Sequence[Row]) -> list[Alarm]:
    """The alarms that the history gives now, without those that ``guard/...`` events of the last steps told."""
    history, told = _history(rows), _told_lately(rows)
    return [
        Alarm(name, level, message)
        for name, (level, detector) in DETECTORS.items()
        if f"guard/{name}" not in told and (message := detector(history)) is not None
    ]


def decide(alarms: Sequence[Alarm], on_collapse: str, rewinds_left: int) -> Decision:
    """What to do. ``on_collapse``: ``warn``, ``stop`` or ``rewind``; without rewinds left the run stops."""
    if on_collapse == "warn" or all(alarm.level == "warning" for alarm in alarms):
        return "go on"
    return "rewind" if on_collapse == "rewind" and rewinds_left > 0 else "stop"


# --- kinds of detectors


def falls(key: str, *, share: float, least: float, scales: Scales = QUICK) -> Detector:
    """The metric is below its best by more than ``share`` of it and by more than ``least``."""
    return partial(_moved, key, -1, share, least, scales)


def rises(key: str, *, share: float, least: float, scales: Scales = QUICK) -> Detector:
    """The metric is above its lowest by more than ``share`` of it and by more than ``least``."""
    return partial(_moved, key, 1, share, least, scales)


def _moved(key: str, sign: int, share: float, least: float, scales: Scales, history: History) -> str | None:
    values = history(key)
    for recent, earlier, factor in scales:
        change = _change(values, sign, recent, earlier)
        if change and change.size > factor * max(share * abs(change.past), least) and change.size > change.margin():
            return f"{key} went from {change.past:.3g} to {change.now:.3g}"
    return None


def stays_above(key: str, *, bound: float, steps: int = 10) -> Detector:
    """The metric was above the bound in each of the last steps."""

    def detect(history: History) -> str | None:
        values = history(key)[-steps:]
        if len(values) < steps or values.min() <= bound:
            return None
        return f"{key} was above {bound:g} for {steps} steps ({values.mean():.3g})"

    return detect


def often_above(key: str, *, bound: float, times: int, looks: int) -> Detector:
    """So many of the last values are above the bound; not every step need have one."""

    def detect(history: History) -> str | None:
        above = int((history(key)[-looks:] > bound).sum())
        return f"{key} was above {bound:g} in {above} of the last {looks} looks" if above >= times else None

    return detect


def on_average_below(key: str, *, bound: float, steps: int) -> Detector:
    """The mean of the last steps is below the bound."""

    def detect(history: History) -> str | None:
        values = history(key)[-steps:]
        mean = float(values.mean()) if len(values) == steps else bound
        return f"{key} is {mean:.3g} (mean of {steps} steps), below {bound:g}" if mean < bound else None

    return detect


def jumps(key: str, *, times: float, least: float) -> Detector:
    """The median of the last 3 steps is so many times the median of the 30 before: for metrics with heavy tails.
    Steps without any (no group taught) say nothing of what is usual."""

    def detect(history: History) -> str | None:
        values = history(key)
        before, last = values[-33:-3], values[-3:]
        before = before[before > 0]
        if len(before) < 5:
            return None
        usual, now = float(np.median(before)), float(np.median(last))
        return f"{key} is {now:.3g}, usually {usual:.3g}" if now > max(times * usual, least) else None

    return detect


# --- detectors of their own


def not_finite(history: History) -> str | None:
    """Three of the last five steps left an update out. One is healed by leaving it out; a streak means that the
    weights or the rewards give no finite gradient any more."""
    skipped = int(np.sum(history("policy/skipped")[-5:] > 0))
    return f"updates of {skipped} of the last 5 steps were not finite" if skipped >= 3 else None


def score_lost(history: History) -> str | None:
    """Held-out accuracy, mean of two looks, lost 15 % of its best; or a third of it at one look.

    Its noise is that of its own differences once there are a few, and no more than that of a share of ``val/cases``.
    """
    scores = history("val/accuracy")
    if len(scores) < 2:
        return None
    noise = _score_noise(scores, float([200.0, *history("val/cases")][-1]))
    best, now = scores[:-1].max(), scores[-1]
    plunge = now < 0.67 * best and best - now > 6 * math.sqrt(2) * noise
    pairs = (scores[1:] + scores[:-1]) / 2
    fall = len(pairs) > 1 and pairs[:-1].max() - pairs[-1] > max(0.15 * pairs[:-1].max(), 4 * noise)
    return f"val/accuracy is {now:.3g}, its best was {best:.3g}" if plunge or fall else None


def _score_noise(scores: Values, cases: float) -> float:
    best = float(scores.max())
    binomial = math.sqrt(max(best * (1 - best), 1 / cases) / cases)
    return binomial if len(scores) < 7 else min(binomial, _step_noise(scores[:-1]))


def reward_without_truth(history: History) -> str | None:
    """What the reward stands for has fallen, the reward has not: it is being earned in another way."""
    for truth_key, pay_key, scales in (
        ("reward/accuracy", "reward/mean", SLOW),
        ("val/judge", "val/reward", ((1, 2, 1.0), (2, 3, 1.0))),
    ):
        truth, pay = history(truth_key), history(pay_key)
        for recent, earlier, _ in scales if len(truth) == len(pay) else ():
            change = _change(truth, -1, recent, earlier)
            if change is None or change.size <= max(0.2 * change.past, 0.6 * change.margin()):
                continue
            paid, pays = pay[change.window].mean(), pay[-recent:].mean()
            if pays >= paid:
                fell = f"{truth_key} fell from {change.past:.3g} to {change.now:.3g}"
                return f"{fell} while {pay_key} went from {paid:.3g} to {pays:.3g}"
    return None


def reward_drifts_from_truth(history: History) -> str | None:
    """The reward gains on its own accuracy while that falls. Their difference is nearly free of the noise of the
    step's prompts, which is in both, so that a hack shows in it before the fall alone would count."""
    truth, pay = history("reward/accuracy"), history("reward/mean")
    if len(truth) != len(pay):
        return None
    for recent, earlier, _ in (*QUICK, *SLOW):
        fall, rise = _change(truth, -1, recent, earlier), _change(pay - truth, 1, recent, earlier)
        if fall is None or rise is None or rise.size <= max(0.1, rise.margin()):
            continue
        if fall.size > max(0.15 * fall.past, 0.4 * fall.margin()):
            fell = f"reward/accuracy fell from {fall.past:.3g} to {fall.now:.3g}"
            return f"{fell} while what is paid beside it went from {rise.past:.3g} to {rise.now:.3g}"
    return None


def entropy_collapsed(history: History) -> str | None:
    """Entropy fell to half of where it began and most groups are without variance, while there is still something to
    learn: the policy writes one answer to a prompt, right or wrong, and has nothing left to compare. (Where nearly all
    answers are right, the same two signs are success.)"""
    entropy, silent = history("policy/entropy"), history("groups/zero_variance")[-10:]
    accuracy = history("reward/accuracy")[-10:]
    if len(entropy) < 15 or len(silent) < 10 or len(accuracy) < 10:
        return None
    start, now = entropy[:5].mean(), entropy[-5:].mean()
    if now > start / 2 or silent.mean() < 0.6 or accuracy.mean() > 0.9:
        return None
    share = f"{silent.mean():.0%} of the groups are without variance"
    return f"policy/entropy went from {start:.3g} to {now:.3g}, {share}, and reward/accuracy is {accuracy.mean():.3g}"


def length_without_accuracy(history: History) -> str | None:
    """Completions are half as long again as they were, and no more often right."""
    length, accuracy = history("length/mean"), history("reward/accuracy")
    if len(length) < 40 or len(accuracy) < 40:
        return None
    then, now = length[:20].mean(), length[-20:].mean()
    if now < 1.5 * then or accuracy[-20:].mean() > accuracy[:20].mean():
        return None
    return f"length/mean went from {then:.3g} to {now:.3g} tokens without a gain in accuracy"


DETECTORS: dict[str, tuple[Level, Detector]] = {
    "not-finite": ("collapse", not_finite),
    "score-lost": ("collapse", score_lost),
    "reward-fell": ("collapse", falls("reward/mean", share=0.3, least=0.05, scales=SLOW)),
    "reward-without-truth": ("collapse", reward_without_truth),
    "reward-drifts": ("collapse", reward_drifts_from_truth),
    "truth-unpaid": ("collapse", on_average_below("groups/paid_for_accuracy", bound=0.8, steps=5)),
    "step-too-large": ("collapse", often_above("policy/step_kl", bound=0.01, times=3, looks=6)),
    "format-lost": ("collapse", falls("format/well_formed", share=0.2, least=0.15)),
    "script-mixed": ("collapse", falls("reward/language", share=0.1, least=0.1)),
    "truncated": ("collapse", rises("length/truncated", share=0.0, least=0.25)),
    "repetition": ("collapse", rises("text/repetition", share=0.0, least=0.25)),
    "entropy-collapsed": ("collapse", entropy_collapsed),
    "entropy-exploded": ("collapse", rises("policy/entropy", share=0.5, least=0.3)),
    "kl-ran-away": ("collapse", jumps("policy/kl", times=10, least=0.5)),
    "gradient-blew-up": ("collapse", jumps("policy/grad_norm", times=10, least=1.0)),
    "length-without-accuracy": ("warning", length_without_accuracy),
    "thought-lost": ("warning", falls("reward/reasoning", share=0.2, least=0.15)),
    "text-after-answer": ("warning", falls("reward/nothing_after", share=0.1, least=0.1)),
    "nothing-to-learn": ("warning", stays_above("groups/zero_variance", bound=0.9)),
    "clipped": ("warning", stays_above("policy/clip_fraction", bound=0.4)),
    "sampler-gap": ("warning", stays_above("policy/mismatch_kl", bound=0.01)),
}
"""Name -> (level, detector), in the order in which alarms are told."""


# --- parts


@dataclass(frozen=True, slots=True)
class _Change:
    past: float
    now: float
    size: float
    """How far it went for the worse; negative: it is better than ever."""
    window: slice
    """Where the best of the past stands in the values."""
    before: Values
    per_step: float
    """Standard error of the difference, for a standard deviation of 1 a step."""

    def margin(self) -> float:
        """``NOISE`` standard errors of the difference."""
        return NOISE * self.per_step * _step_noise(self.before[-50:])


def _change(values: Values, sign: int, recent: int, earlier: int) -> _Change | None:
    """The mean of the last ``recent`` values against the best mean of ``earlier`` consecutive ones before them; the
    best is the lowest for ``sign`` 1 (a rise is for the worse), the highest for -1."""
    before = values[:-recent]
    if len(before) < earlier:
        return None
    means = np.convolve(before, np.full(earlier, 1 / earlier), mode="valid")
    at = int(np.argmin(sign * means))
    past, now = float(means[at]), float(values[-recent:].mean())
    per_step = math.sqrt(1 / recent + 1 / earlier)
    return _Change(past, now, sign * (now - past), slice(at, at + earlier), before, per_step)


def _step_noise(values: Values) -> float:
    """Standard deviation of one value, from differences of neighbours: a trend is no noise."""
    return math.sqrt(float(np.mean(np.diff(values) ** 2)) / 2) if len(values) > 1 else 0.0


def _history(rows: Sequence[Row]) -> History:
    """Training metrics of the last ``HORIZON`` steps, held-out ones of the whole run. What no detector asks for is
    not looked at, so that a look costs the same however long the run is."""
    trained = [row for row in _of_last(rows, HORIZON) if row["kind"] == "train"]
    looks = [row for row in rows if row["kind"] == "val"]

    @cache
    def values(key: str) -> Values:
        found = [row[key] for row in (looks if key.startswith("val/") else trained) if key in row]
        written = np.array(found, dtype=np.float64)
        return written[np.isfinite(written)]

    return values


def _of_last(rows: Sequence[Row], steps: int) -> list[Row]:
    """The rows of so many steps, in the order written."""
    oldest = rows[-1]["step"] - steps if rows else 0
    return list(takewhile(lambda row: row["step"] > oldest, reversed(rows)))[::-1]


def _told_lately(rows: Sequence[Row]) -> set[str]:
    return {row["event"] for row in _of_last(rows, QUIET) if row["kind"] == "event"}
