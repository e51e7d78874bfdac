"""What a cheap judge's figures say once set against a dear one that saw a part of the answers.

Prediction-powered inference with a tuned weight (Angelopoulos, Duchi and Zrnic, "PPI++", 2023): the dear judge's mean
on the answers that it has seen, corrected by how the cheap judge's mean differs between those and all the others. It
is unbiased whatever the cheap judge is worth, as long as the answers that the dear judge saw are like the others.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from diagnosis_zero.errors import InputError
from diagnosis_zero.evaluate import stats
from diagnosis_zero.evaluate.judge_audit import Pair, mean_of, right
from diagnosis_zero.evaluate.stats import Array, Estimate


@dataclass(frozen=True, slots=True)
class Calibration:
    """A cheap judge set against a dear one. All accuracies are of the whole set but ``dear_alone``."""

    cheap: str
    dear: str
    labelled: int
    n: int
    cheap_alone: Estimate
    dear_alone: Estimate
    calibrated: Estimate
    weight: float


def calibrate(pairs: Sequence[Pair], cheap: str, dear: str, *, broader: bool = False) -> Calibration:
    """The accuracy of all answers that ``cheap`` has scored, by the standard of ``dear``.

    Raises:
        InputError: fewer than two cases have both judges.
    """
    least = 1 if broader else 2
    scored = [pair for pair in pairs if pair.labels.get(cheap) is not None]
    seen = [pair for pair in scored if pair.labels.get(dear) is not None]
    if len({pair.case_id for pair in seen}) < 2:
        raise InputError(f"{cheap!r} and {dear!r} have fewer than two cases in common")
    weight = _weight([right(p, dear, least) for p in seen], [right(p, cheap, least) for p in seen], len(scored))
    parts, sizes = _sums(scored, cheap, dear, least)
    found = stats.jackknife(parts, lambda sums: _calibrated(sums, weight), len(scored), sizes)
    return Calibration(
        cheap,
        dear,
        len(seen),
        len(scored),
        mean_of([(right(p, cheap, least), p.case_id) for p in scored]),
        mean_of([(right(p, dear, least), p.case_id) for p in seen]),
        stats.within(found, 0.0, 1.0),
        weight,
    )


def _calibrated(sums: Array, weight: float) -> float:
    """From (labelled, dear right, cheap right there, others, cheap right there)."""
    labelled, dear, cheap, others, cheap_others = sums
    correction = cheap_others / others - cheap / labelled if others else 0.0
    return float(dear / labelled + weight * correction)


def _weight(dear: Sequence[float], cheap: Sequence[float], n: int) -> float:
    """How far to trust the cheap judge: what makes the variance least, within [0, 1]."""
    others = n - len(dear)
    spread = float(np.var(cheap))
    if others == 0 or spread == 0:
        return 0.0
    together = float(np.mean(np.multiply(dear, cheap)) - np.mean(dear) * np.mean(cheap))
    return min(1.0, max(0.0, together / spread / (1 + len(dear) / others)))


def _sums(pairs: Sequence[Pair], cheap: str, dear: str, least: int) -> tuple[Array, Array]:
    cases: dict[str, list[float]] = {}
    sizes: dict[str, int] = {}
    for pair in pairs:
        sums = cases.setdefault(pair.case_id, [0.0] * 5)
        sizes[pair.case_id] = sizes.get(pair.case_id, 0) + 1
        row = (1.0, right(pair, dear, least), right(pair, cheap, least), 0.0, 0.0)
        if pair.labels.get(dear) is None:
            row = (0.0, 0.0, 0.0, 1.0, right(pair, cheap, least))
        cases[pair.case_id] = [old + new for old, new in zip(sums, row, strict=True)]
    return np.array(list(cases.values())), np.array(list(sizes.values()), float)
