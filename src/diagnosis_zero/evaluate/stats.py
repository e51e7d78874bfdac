"""Intervals and tests for accuracies measured on clustered cases.

Cases of one article (or disease) are alike, so the unit of chance is the cluster. Means are over cases; their
standard error is the delete-one-cluster jackknife (CR3; MacKinnon, Nielsen and Webb, J. Econometrics 2023),
and the degrees of freedom come from Kish's effective number of clusters ``N^2 / sum(n_k^2)``, because one
article of 462 patients among hundreds of small ones is worth far less than its size. A share's interval is made
on the logit scale. Where each cluster is one case, the intervals and tests are the textbook ones for independent
cases. How often the intervals hold the truth is measured by ``benchmarks/interval_coverage.py``.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, replace
from math import comb

import numpy as np
from numpy.typing import NDArray
from scipy import stats
from scipy.special import expit, logit

Array = NDArray[np.float64]
RESAMPLES = 9999
CONFIDENCE = 0.95


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean of ``n`` cases with its interval; all in the unit of the values. NaN where ``n`` is 0."""

    value: float
    low: float
    high: float
    n: int
    clusters: int


@dataclass(frozen=True, slots=True)
class Paired:
    """A mean paired difference (second minus first), its interval, and the test of "no difference"."""

    difference: float
    low: float
    high: float
    p: float
    test: str
    n: int
    clusters: int
    detectable: float


NOTHING = Estimate(float("nan"), float("nan"), float("nan"), 0, 0)


def wilson(successes: int, n: int, confidence: float = CONFIDENCE) -> Estimate:
    """Wilson's score interval for ``n`` independent cases."""
    if n == 0:
        return NOTHING
    found = stats.binomtest(successes, n).proportion_ci(confidence, method="wilson")
    return Estimate(successes / n, float(found.low), float(found.high), n, n)


def estimate(
    values: Sequence[float], clusters: Sequence[Hashable] | None = None, confidence: float = CONFIDENCE
) -> Estimate:
    """Mean of values in [0, 1] with its interval: Wilson's for independent right-or-wrong cases, else on the
    logit scale, with the cluster-robust error and Student's t.

    Shares far from a half are skewed and their error is underestimated along with them, so the interval is made
    with half an average cluster added, half of it right: what Anscombe (Biometrika 1956) and Gart and Zweifel
    (Biometrika 1967) add to the counts of independent cases, for clusters. Where all cases are right, or all wrong,
    the data say nothing of the clustering, and each effective cluster counts as one case.
    """
    data = _Clustered.of(values, clusters)
    if data.n == 0:
        return NOTHING
    if data.independent and set(np.unique(data.values)) <= {0.0, 1.0}:
        return wilson(int(data.values.sum()), data.n, confidence)
    if data.mean in (0.0, 1.0):
        size = max(1, int(data.effective))
        return replace(wilson(size * int(data.mean), size, confidence), n=data.n, clusters=len(data.sizes))
    padded = data.with_half_a_cluster()
    reach = padded.quantile(confidence) * padded.standard_error / (padded.mean * (1 - padded.mean))
    low, high = expit(logit(padded.mean) - reach), expit(logit(padded.mean) + reach)
    return Estimate(data.mean, min(data.mean, float(low)), max(data.mean, float(high)), data.n, len(data.sizes))


def bootstrap(
    values: Sequence[float],
    clusters: Sequence[Hashable] | None = None,
    *,
    seed: int = 0,
    confidence: float = CONFIDENCE,
    resamples: int = RESAMPLES,
) -> Estimate:
    """Mean with a bias-corrected, accelerated bootstrap interval that draws whole clusters.

    With few or uneven clusters it is narrower than ``estimate``'s and the less trustworthy of the two.
    """
    data = _Clustered.of(values, clusters)
    if data.n == 0:
        return NOTHING
    if len(data.sizes) < 2 or np.ptp(data.values) == 0:
        return estimate(values, clusters, confidence)
    found = stats.bootstrap(
        (data.sums, data.sizes),
        lambda sums, sizes, axis: sums.sum(axis=axis) / sizes.sum(axis=axis),
        paired=True,
        vectorized=True,
        n_resamples=resamples,
        batch=_batch(len(data.sizes)),
        confidence_level=confidence,
        rng=np.random.default_rng(seed),
    ).confidence_interval
    return Estimate(data.mean, float(found.low), float(found.high), data.n, len(data.sizes))


def jackknife(
    parts: Array,
    statistic: Callable[[Array], float],
    n: int,
    sizes: Array,
    confidence: float = CONFIDENCE,
) -> Estimate:
    """Any statistic of summed counts, with a delete-one-cluster t interval (not cut to a range).

    Args:
        parts: one array of counts or sums a cluster, shape (clusters, ...).
        statistic: a function of their sum.
        n: cases, for the record.
        sizes: cases in each cluster, for the degrees of freedom.
    """
    whole = parts.sum(axis=0)
    value = statistic(whole)
    count = len(parts)
    if count < 2:
        return Estimate(value, float("nan"), float("nan"), n, count)
    without = np.array([statistic(whole - part) for part in parts])
    error = float(np.sqrt(((without - without.mean()) ** 2).sum() * (count - 1) / count))
    freedom = max(1.0, float(sizes.sum() ** 2 / (sizes**2).sum()) - 1)
    reach = float(stats.t.ppf(0.5 + confidence / 2, freedom)) * error
    return Estimate(value, value - reach, value + reach, n, count)


def within(found: Estimate, lowest: float, highest: float) -> Estimate:
    """The same, its interval cut to the values that can be."""
    return Estimate(found.value, max(lowest, found.low), min(highest, found.high), found.n, found.clusters)


def paired(
    first: Sequence[float],
    second: Sequence[float],
    clusters: Sequence[Hashable] | None = None,
    *,
    seed: int = 0,
    confidence: float = CONFIDENCE,
) -> Paired:
    """Compare two measurements of the same cases, in the same order.

    Independent right-or-wrong cases: exact McNemar, with the interval of Agresti and Min (2005). Otherwise:
    the sign-flip test over clusters, with the cluster-jackknife t interval.
    """
    differences = np.asarray(second, float) - np.asarray(first, float)
    data = _Clustered.of(differences, clusters)
    if data.n == 0:
        nan = float("nan")
        return Paired(nan, nan, nan, nan, "none", 0, 0, nan)
    binary = set(np.unique([*first, *second])) <= {0.0, 1.0}
    gained, lost = int((differences > 0).sum()), int((differences < 0).sum())
    if data.independent and binary:
        p, test = mcnemar(gained, lost), "exact McNemar"
        middle, error = _agresti_min(gained, lost, data.n)
    else:
        p, test = sign_flip(data.sums, seed=seed), "sign-flip over clusters"
        middle, error = data.mean, data.standard_error
        if error == 0:
            up, down = max(data.mean, 0.0), max(-data.mean, 0.0)  # every cluster changed alike
            middle, error = _agresti_min(up * data.effective, down * data.effective, data.effective)
    reach = data.quantile(confidence) * error
    detectable = (data.quantile(confidence) + float(stats.t.ppf(0.8, data.freedom))) * error
    low, high = max(-1.0, middle - reach), min(1.0, middle + reach)
    return Paired(data.mean, low, high, p, test, data.n, len(data.sizes), detectable)


def mcnemar(gained: int, lost: int) -> float:
    """Exact two-sided McNemar test on the two counts of discordant cases; they must be independent."""
    return float(stats.binomtest(gained, gained + lost, 0.5).pvalue) if gained + lost else 1.0


def sign_flip(sums: Sequence[float] | Array, *, seed: int = 0) -> float:
    """Two-sided p of "no difference": the signs of the clusters' summed differences are exchangeable.

    All sign patterns where there are at most ``RESAMPLES`` of them, else that many random ones.
    """
    moving = np.asarray(sums, float)
    moving = moving[np.abs(moving) > 1e-12]
    if len(moving) < 2:
        return 1.0  # one cluster has two patterns, equally extreme
    found = stats.permutation_test(
        (moving,),
        lambda sample, axis: np.abs(sample.sum(axis=axis)),
        permutation_type="samples",
        alternative="greater",
        vectorized=True,
        n_resamples=RESAMPLES,
        batch=_batch(len(moving)),
        rng=np.random.default_rng(seed),
    )
    return float(found.pvalue)


def holm(ps: Sequence[float]) -> list[float]:
    """Holm's step-down adjusted p values, in the order given (Scand. J. Statist. 1979)."""
    adjusted = [0.0] * len(ps)
    reached = 0.0
    for rank, index in enumerate(sorted(range(len(ps)), key=ps.__getitem__)):
        reached = max(reached, min(1.0, (len(ps) - rank) * ps[index]))
        adjusted[index] = reached
    return adjusted


def minimum_detectable_difference(
    n: int, discordant: float, *, design_effect: float = 1.0, power: float = 0.8, alpha: float = 0.05
) -> float:
    """Smallest paired difference that ``n`` cases show with this power, for planning.

    Args:
        discordant: share of cases that exactly one of the two models gets right.
        design_effect: variance inflation by clustering, ``1 + (m - 1) ICC`` for clusters of ``m``.
    """
    quantiles = stats.norm.ppf(1 - alpha / 2) + stats.norm.ppf(power)
    return float(quantiles * np.sqrt(discordant * design_effect / n))


def pass_at_k(right: int, n: int, k: int) -> float:
    """Chance that at least one of ``k`` samples drawn from ``n`` is right, unbiased (Chen et al. 2021)."""
    if not 1 <= k <= n:
        raise ValueError(f"pass@{k} needs at least {k} samples, not {n}")
    return 1.0 - comb(n - right, k) / comb(n, k)


@dataclass(frozen=True, slots=True)
class _Clustered:
    """Values with their sums and counts per cluster."""

    values: Array
    sums: Array
    sizes: Array

    @classmethod
    def of(cls, values: Sequence[float] | Array, clusters: Sequence[Hashable] | None) -> _Clustered:
        flat = np.asarray(values, float)
        if clusters is None:
            return cls(flat, flat, np.ones(len(flat)))
        if len(clusters) != len(flat):
            raise ValueError(f"{len(flat)} values but {len(clusters)} cluster names")
        numbers: dict[Hashable, int] = {}
        index = np.array([numbers.setdefault(name, len(numbers)) for name in clusters], dtype=np.intp)
        sums, sizes = np.bincount(index, flat), np.bincount(index)
        return cls(flat, sums.astype(np.float64), sizes.astype(np.float64))

    @property
    def n(self) -> int:
        return len(self.values)

    @property
    def independent(self) -> bool:
        return len(self.sizes) == self.n

    @property
    def mean(self) -> float:
        return float(self.sums.sum() / self.sizes.sum())

    @property
    def effective(self) -> float:
        """Kish's effective number of clusters."""
        return float(self.sizes.sum() ** 2 / (self.sizes**2).sum())

    @property
    def freedom(self) -> float:
        return max(1.0, self.effective - 1)

    @property
    def standard_error(self) -> float:
        """Of the mean over cases: delete-one-cluster jackknife. 0 for a single cluster."""
        count = len(self.sizes)
        if count < 2:
            return 0.0
        without = (self.sums.sum() - self.sums) / (self.sizes.sum() - self.sizes)
        spread = float(((without - without.mean()) ** 2).sum())
        return float(np.sqrt(spread * (count - 1) / count)) if spread > 1e-24 else 0.0

    def with_half_a_cluster(self) -> _Clustered:
        """The same with two clusters more, together half of one of average size: a right one and a wrong one."""
        quarter = self.sizes.sum() / self.effective / 4
        return replace(self, sums=np.append(self.sums, [quarter, 0.0]), sizes=np.append(self.sizes, [quarter] * 2))

    def quantile(self, confidence: float) -> float:
        return float(stats.t.ppf(0.5 + confidence / 2, self.freedom))


def _agresti_min(gained: float, lost: float, n: float) -> tuple[float, float]:
    """Centre and standard error of a paired difference of proportions, half a case added to each cell."""
    up, down, total = gained + 0.5, lost + 0.5, n + 2.0
    middle = (up - down) / total
    return middle, float(np.sqrt(((up + down) / total - middle**2) / total))


def _batch(width: int) -> int:
    """Resamples held at a time: about 2 million numbers."""
    return max(1, 2_000_000 // max(1, width))
