"""Does the model know when it knows? Confidence is the share of a case's samples that agree with the majority."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

BINS = 10


@dataclass(frozen=True, slots=True)
class Confidence:
    """Calibration and abstention over cases.

    ``expected_error`` is the mean distance of confidence and accuracy (ECE, ten bins of equal width), ``brier`` the
    mean square of their difference; ``discrimination`` the chance that a right case has more confidence than a wrong
    one (AUROC; None where all are right or all wrong). ``coverage`` pairs the share of cases answered, the most
    confident first, with the accuracy on them: one point for each level of confidence.
    """

    expected_error: float
    brier: float
    discrimination: float | None
    coverage: tuple[tuple[float, float], ...]


def agreement_of(votes: Sequence[str]) -> float:
    """Share of samples that give the most frequent answer."""
    return Counter(votes).most_common(1)[0][1] / len(votes)


def confidence(shares: Sequence[float], right: Sequence[float]) -> Confidence:
    """``shares`` in [0, 1] and ``right`` 0 or 1, one of each a case; not empty."""
    shares_C, right_C = np.asarray(shares, float), np.asarray(right, float)
    bins = np.minimum((shares_C * BINS).astype(int), BINS - 1)
    gaps = [abs(shares_C[bins == b].sum() - right_C[bins == b].sum()) for b in range(BINS)]
    return Confidence(
        expected_error=float(sum(gaps)) / len(shares_C),
        brier=float(((shares_C - right_C) ** 2).mean()),
        discrimination=_discrimination(shares_C[right_C == 1], shares_C[right_C == 0]),
        coverage=tuple(
            (float((shares_C >= level).mean()), float(right_C[shares_C >= level].mean()))
            for level in sorted(set(shares_C.tolist()), reverse=True)
        ),
    )


def _discrimination(right: np.ndarray, wrong: np.ndarray) -> float | None:
    if not len(right) or not len(wrong):
        return None
    return float(stats.mannwhitneyu(right, wrong).statistic / (len(right) * len(wrong)))
