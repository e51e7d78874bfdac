"""How often the 95 % intervals hold the truth, and how often two equal models are called different.

    python -m benchmarks.interval_coverage [--runs 4000] [--json OUT]

Right-or-wrong cases in clusters (articles) with intraclass correlation 0.3, drawn from a beta-binomial. "uneven"
clusters have log-normal sizes: a few articles hold most patients, as in the published phenopackets. Printed is the
share of simulated evaluations; a share of 4,000 has a standard error of 0.35 points near 95 %. "difference" is one
of 10 points, 30 to 40 %; "false alarms" are p < 0.05 between two models that are both right in 40 % of the cases.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from diagnosis_zero import records
from diagnosis_zero.evaluate import stats

ICC = 0.3
SIGN_PATTERNS = 499
"""Fewer than an evaluation draws: the share of false alarms does not depend on it, the time does."""
ACCURACIES = (0.05, 0.1, 0.2, 0.5)
SIZES: dict[str, Callable[[], NDArray[np.int64]]] = {
    "300 x 1": lambda: np.ones(300, int),
    "30 x 4": lambda: np.full(30, 4),
    "30 x 20": lambda: np.full(30, 20),
    "30 uneven": lambda: _uneven(30),
    "200 uneven": lambda: _uneven(200),
}


def _uneven(clusters: int) -> NDArray[np.int64]:
    drawn = np.random.default_rng(5).lognormal(1, 1.2, clusters)
    return np.asarray(np.maximum(drawn, 1), dtype=np.int64)


def draw(rng: np.random.Generator, sizes: NDArray[np.int64], p: float) -> NDArray[np.float64]:
    """One simulated evaluation: a value a case."""
    scale = (1 - ICC) / ICC
    rates = np.repeat(rng.beta(p * scale, (1 - p) * scale, len(sizes)), sizes)
    return (rng.random(len(rates)) < rates).astype(float)


def coverage(sizes: NDArray[np.int64], p: float, runs: int) -> float:
    rng = np.random.default_rng(1)
    names = np.repeat(np.arange(len(sizes)), sizes).tolist()
    found = [stats.estimate(draw(rng, sizes, p).tolist(), names) for _ in range(runs)]
    return sum(one.low <= p <= one.high for one in found) / runs


def of_a_difference(sizes: NDArray[np.int64], runs: int) -> tuple[float, float]:
    """Coverage of a true difference of 10 points, and false alarms where there is none."""
    rng = np.random.default_rng(2)
    names = np.repeat(np.arange(len(sizes)), sizes).tolist()
    held = alarms = 0
    for _ in range(runs):
        better = stats.paired(draw(rng, sizes, 0.3).tolist(), draw(rng, sizes, 0.4).tolist(), names)
        held += better.low <= 0.1 <= better.high
        alike = stats.paired(draw(rng, sizes, 0.4).tolist(), draw(rng, sizes, 0.4).tolist(), names)
        alarms += alike.p < 0.05
    return held / runs, alarms / runs


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=4000)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    head = [*(f"p = {p:g}" for p in ACCURACIES), "difference", "false alarms"]
    print(f"| clusters x cases | {' | '.join(head)} |")
    print("|---" * (len(head) + 1) + "|")
    stats.RESAMPLES = SIGN_PATTERNS
    figures: dict[str, dict[str, float]] = {}
    for name, make in SIZES.items():
        sizes = make()
        shares = [*(coverage(sizes, p, given.runs) for p in ACCURACIES), *of_a_difference(sizes, given.runs)]
        figures[name] = dict(zip(head, shares, strict=True))
        print(f"| {name} | {' | '.join(f'{100 * share:.1f}' for share in shares)} |", flush=True)
    if given.json:
        records.write_json(given.json, {"runs": given.runs, "icc": ICC, "shares": figures})


if __name__ == "__main__":
    main()
