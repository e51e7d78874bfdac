"""Cases by how often they were answered rightly: those that a group is divided on come more often.

A group teaches most where half of its completions are right and nothing where all or none are: the variance of right
and wrong is p (1 - p). What is known of a case is its last visit in the run's own rollouts, so a resumed run reads it
back from there and has no other state.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from diagnosis_zero.types import Case

LEAST = 0.02
"""Added to p (1 - p), which is 0.25 at most: a case that is always right, or never, still comes now and then."""

PassRates = dict[str, float]
"""Share of right completions of a case at its last visit, by its id."""


def pass_rates(rollouts: Path) -> PassRates:
    """Of all steps whose rollouts are in the folder."""
    rates: PassRates = {}
    for path in sorted(rollouts.glob("step-*.parquet")):
        rates |= of_step(path)
    return rates


def of_step(path: Path) -> PassRates:
    """Of the cases of one step, from its rollouts: (right + 1) / (completions + 2), never quite 0 or 1."""
    table = pq.read_table(path, columns=["case_id", "part_accuracy"]).to_pydict()
    right: dict[str, list[float]] = {}
    for case, accuracy in zip(table["case_id"], table["part_accuracy"], strict=True):
        right.setdefault(case, []).append(accuracy)
    return {case: (sum(values) + 1) / (len(values) + 2) for case, values in right.items()}


def weight(rate: float | None) -> float:
    """How often a case is to come; one that was never visited is thought to be right half the time."""
    rate = 0.5 if rate is None else rate
    return rate * (1 - rate) + LEAST


def cases_of_step(cases: Sequence[Case], rates: Mapping[str, float], step: int, prompts: int, seed: int) -> list[Case]:
    """``prompts`` different cases, drawn by their weights (by the largest of log weight + Gumbel noise, Efraimidis and
    Spirakis 2006); all of them where there are no more. A function of its arguments alone."""
    noise = np.random.default_rng((seed % 2**63, step)).gumbel(size=len(cases))
    scores = np.log([weight(rates.get(case.id)) for case in cases]) + noise
    return [cases[place] for place in np.argsort(-scores, kind="stable")[:prompts]]
