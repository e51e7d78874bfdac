"""The guard: each detector fires on its trouble and is silent on a healthy run. Histories are made; runs that really
collapse are in ``benchmarks``."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from diagnosis_zero.train.guard import DETECTORS, QUIET, Alarm, check, decide
from diagnosis_zero.train.metrics import Row

STEPS = 60


def healthy(
    seed: int, steps: int = STEPS, noise: float = 0.09, accuracy: tuple[float, float] = (0.35, 0.5)
) -> list[Row]:
    """A run that learns slowly, with the noise that the tiny model's runs were seen to have."""
    rng = np.random.default_rng(seed)
    rows: list[Row] = []
    for step in range(1, steps + 1):
        gain = step / steps
        right = accuracy[0] + (accuracy[1] - accuracy[0]) * gain
        found = float(np.clip(right + rng.normal(0, noise), 0, 1))
        formed = float(np.clip(0.88 + 0.08 * gain + rng.normal(0, 0.035), 0, 1))
        rows.append(
            {
                "step": step,
                "kind": "train",
                "reward/mean": found + 0.1 * formed,
                "reward/accuracy": found,
                "reward/language": 1 - abs(rng.normal(0, 0.004)),
                "reward/reasoning": 1 - abs(rng.normal(0, 0.01)),
                "reward/nothing_after": 1 - abs(rng.normal(0, 0.015)),
                "format/well_formed": formed,
                "length/mean": 43 * math.exp(rng.normal(0, 0.03)),
                "length/truncated": float(np.clip(0.03 + rng.normal(0, 0.02), 0, 1)),
                "text/repetition": 0.04 + abs(rng.normal(0, 0.02)),
                "groups/zero_variance": float(np.clip(0.3 + rng.normal(0, 0.15), 0, 1)),
                "groups/paid_for_accuracy": float(np.clip(0.95 + rng.normal(0, 0.05), -1, 1)),
                "policy/step_kl": 3e-4 * math.exp(rng.normal(0, 1.5)),
                "policy/entropy": (1.15 - 0.4 * gain) * math.exp(rng.normal(0, 0.06)),
                "policy/grad_norm": 0.6 * math.exp(rng.normal(0, 0.25)),
                "policy/kl": 0.1 * gain * math.exp(rng.normal(0, 0.5)),
                "policy/clip_fraction": 0.02,
                "policy/mismatch_kl": 1e-4,
                "policy/skipped": 0.0,
            }
        )
        if step % 5 == 0:
            score = right + 0.15 + rng.normal(0, 0.015)
            rows.append({"step": step, "kind": "val", "val/accuracy": score, "val/reward": score, "val/judge": score})
    return rows


def watched(rows: list[Row]) -> list[tuple[int, Alarm]]:
    """(step, alarm) of a run that is checked after every row and writes down what it was told."""
    history: list[Row] = []
    found = []
    for row in rows:
        history.append(row)
        for alarm in check(history):
            found.append((row["step"], alarm))
            history.append({"step": row["step"], "kind": "event", "event": f"guard/{alarm.detector}", "message": ""})
    return found


def changed(rows: list[Row], since: int, change: Callable[[Row, int], dict[str, float]]) -> list[Row]:
    """The run with ``change(row, steps since)`` put over its training rows from step ``since`` on."""
    return [
        row | change(row, row["step"] - since) if row["kind"] == "train" and row["step"] >= since else row
        for row in rows
    ]


def names(found: list[tuple[int, Alarm]]) -> set[str]:
    return {alarm.detector for _, alarm in found}


def first(found: list[tuple[int, Alarm]], detector: str) -> int:
    return next(step for step, alarm in found if alarm.detector == detector)


def test_two_thousand_healthy_steps_of_several_kinds_give_at_most_one_collapse() -> None:
    runs = [
        healthy(0, 300),
        healthy(1, 300, noise=0.12, accuracy=(0.05, 0.2)),
        healthy(2, 300, noise=0.06, accuracy=(0.6, 0.95)),
        healthy(3, 300, noise=0.12, accuracy=(0.09, 0.3)),
        *(healthy(seed, 100) for seed in range(4, 12)),
    ]
    assert sum(row["kind"] == "train" for run in runs for row in run) == 2000
    collapses = [alarm for run in runs for _, alarm in watched(run) if alarm.level == "collapse"]
    assert len(collapses) <= 1, collapses


@pytest.mark.parametrize(
    ("detector", "change", "within"),
    [
        # a plunge is seen in one step, a slide within a few
        ("format-lost", lambda row, n: {"format/well_formed": 0.03}, 0),
        ("format-lost", lambda row, n: {"format/well_formed": 0.9 - 0.08 * n}, 5),
        ("script-mixed", lambda row, n: {"reward/language": 1 - 0.03 * n}, 7),
        ("truncated", lambda row, n: {"length/truncated": 0.03 + 0.06 * n}, 7),
        ("repetition", lambda row, n: {"text/repetition": 0.05 + 0.06 * n}, 7),
        ("thought-lost", lambda row, n: {"reward/reasoning": 1 - 0.05 * n}, 7),
        ("text-after-answer", lambda row, n: {"reward/nothing_after": 1 - 0.04 * n}, 7),
        ("reward-fell", lambda row, n: {"reward/mean": 0.05, "reward/accuracy": 0.0}, 4),
        ("reward-without-truth", lambda row, n: {"reward/mean": 0.7, "reward/accuracy": 0.0}, 4),
        ("reward-drifts", lambda row, n: {"reward/mean": 0.55 + 0.1 * n, "reward/accuracy": 0.5 - 0.1 * n}, 4),
        ("truth-unpaid", lambda row, n: {"groups/paid_for_accuracy": 0.9 - 0.1 * n}, 6),
        ("step-too-large", lambda row, n: {"policy/step_kl": 0.02 if n % 3 else 1e-4}, 5),
        ("entropy-exploded", lambda row, n: {"policy/entropy": 1.0 + 0.2 * n}, 6),
        ("entropy-collapsed", lambda row, n: {"policy/entropy": 0.9 * 0.85**n, "groups/zero_variance": 0.9}, 10),
        ("kl-ran-away", lambda row, n: {"policy/kl": 0.05 * 2**n}, 6),
        ("gradient-blew-up", lambda row, n: {"policy/grad_norm": 12.0}, 2),
        ("not-finite", lambda row, n: {"policy/skipped": 1.0, "policy/loss": math.nan}, 2),
        ("nothing-to-learn", lambda row, n: {"groups/zero_variance": 0.95}, 9),
        ("clipped", lambda row, n: {"policy/clip_fraction": 0.5}, 9),
        ("sampler-gap", lambda row, n: {"policy/mismatch_kl": 0.02}, 9),
    ],
)
def test_detector_fires_soon_after_its_trouble_begins(
    detector: str, change: Callable[[Row, int], dict[str, float]], within: int
) -> None:
    sound = healthy(20)
    assert detector not in names(watched(sound))  # negative control: the same run without the trouble
    assert 40 <= first(watched(changed(sound, 40, change)), detector) <= 40 + within


def test_length_that_pays_is_not_told_and_length_that_does_not_is() -> None:
    def longer(row: Row, n: int) -> dict[str, float]:
        return {"length/mean": row["length/mean"] * (1 + n / 30)}

    assert "length-without-accuracy" not in names(watched(changed(healthy(21, accuracy=(0.3, 0.6)), 1, longer)))
    assert "length-without-accuracy" in names(watched(changed(healthy(21, accuracy=(0.5, 0.3)), 1, longer)))


@pytest.mark.parametrize(
    "change",
    [
        lambda row, n: {"policy/entropy": 0.9 * 0.85**n},  # the groups still differ
        lambda row, n: {"groups/zero_variance": 0.85},  # the entropy stands
        lambda row, n: {"policy/entropy": 0.9 * 0.95**n, "groups/zero_variance": 0.85, "reward/accuracy": 0.95},
    ],
)
def test_entropy_that_falls_alone_or_with_success_is_learning(change: Callable[[Row, int], dict[str, float]]) -> None:
    assert "entropy-collapsed" not in names(watched(changed(healthy(20), 40, change)))


def scores(*values: float) -> list[Row]:
    return [{"step": 5 * i, "kind": "val", "val/accuracy": value} for i, value in enumerate(values)]


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ((0.5, 0.56, 0.03), True),  # a plunge is told at the first look
        ((0.5, 0.56, 0.50, 0.47), False),  # 10 % is the noise of 200 cases
        ((0.5, 0.56, 0.57, 0.56, 0.40, 0.38), True),  # 30 % at two looks
        ((0.5, 0.56, 0.57, 0.56, 0.44, 0.56), False),  # one bad look
        ((0.50, 0.51, 0.50, 0.51, 0.50, 0.51, 0.50, 0.42, 0.41), True),  # a steady score: 17 % is no noise there
        ((0.02, 0.05, 0.01), False),  # a handful of cases
        ((0.5,), False),
    ],
)
def test_lost_score(values: tuple[float, ...], told: bool) -> None:
    assert ("score-lost" in {alarm.detector for alarm in check(scores(*values))}) is told


def test_judge_that_parts_from_the_reward() -> None:
    def look(step: int, reward: float, judge: float) -> Row:
        return {"step": step, "kind": "val", "val/reward": reward, "val/judge": judge}

    apart = [look(0, 0.30, 0.40), look(5, 0.33, 0.42), look(10, 0.36, 0.41), look(15, 0.60, 0.20)]
    together = [look(0, 0.30, 0.40), look(5, 0.33, 0.42), look(10, 0.36, 0.41), look(15, 0.15, 0.20)]
    assert "reward-without-truth" in {alarm.detector for alarm in check(apart)}
    assert "reward-without-truth" not in {alarm.detector for alarm in check(together)}


def test_one_skipped_update_is_no_collapse() -> None:
    once = changed(healthy(22), 40, lambda row, n: {"policy/skipped": float(n in (0, 9))})
    assert "not-finite" not in names(watched(once))


def test_metric_that_is_not_written_is_not_watched() -> None:
    assert check([]) == []
    assert watched([{"step": step, "kind": "train"} for step in range(50)]) == []


def test_alarm_is_not_repeated_until_it_has_been_quiet() -> None:
    found = watched(changed(healthy(20), 20, lambda row, n: {"policy/mismatch_kl": 0.02}))
    told = [step for step, alarm in found if alarm.detector == "sampler-gap"]
    assert told == [29, 29 + QUIET]


def test_message_says_the_numbers() -> None:
    found = watched(changed(healthy(20), 40, lambda row, n: {"format/well_formed": 0.03}))
    (message,) = {alarm.message for step, alarm in found if alarm.detector == "format-lost" and step == 40}
    assert message.startswith("format/well_formed went from 0.9")
    assert message.endswith("to 0.03")


@pytest.mark.parametrize(
    ("levels", "on_collapse", "left", "decision"),
    [
        ([], "stop", 2, "go on"),
        (["warning"], "stop", 2, "go on"),
        (["warning", "collapse"], "stop", 2, "stop"),
        (["collapse"], "warn", 2, "go on"),
        (["collapse"], "rewind", 1, "rewind"),
        (["collapse"], "rewind", 0, "stop"),
    ],
)
def test_decision(levels: list[str], on_collapse: str, left: int, decision: str) -> None:
    alarms = [Alarm("x", level, "y") for level in levels]  # type: ignore[arg-type]
    assert decide(alarms, on_collapse, left) == decision


def test_every_detector_is_tested_here() -> None:
    source = Path(__file__).read_text(encoding="utf-8")
    assert [name for name in DETECTORS if f'"{name}"' not in source] == []
