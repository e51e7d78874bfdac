"""Statistics: numbers worked by hand, scipy's where it has them, coverage and false positives by simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from diagnosis_zero.evaluate import stats


def beta_binomial(rng, clusters, size, p, icc):
    """Right-or-wrong cases in clusters with intraclass correlation ``icc``; ``size`` is one number or one a cluster."""
    scale = (1 - icc) / icc
    rates = np.repeat(rng.beta(p * scale, (1 - p) * scale, clusters), size)
    return (rng.random(len(rates)) < rates).astype(float)


def names(clusters, size):
    return np.repeat(np.arange(clusters), size).tolist()


UNEVEN = [40, 20, 15, 10, 8, 6, 5, 5, 4, 4, 3, 3, 3, 2, 2, 2, 2, 2, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1]
"""30 articles; the largest holds more than a quarter of the patients."""


def test_wilson_by_hand():
    # p = 0.5, n = 10, z = 1.96: (0.5 + z2/20 +- z sqrt(0.025 + z2/400)) / (1 + z2/10)
    found = stats.wilson(5, 10)
    assert (found.low, found.high) == pytest.approx((0.2366, 0.7634), abs=1e-4)


def test_wilson_of_nothing_is_nothing():
    assert stats.wilson(0, 0).n == 0
    assert math.isnan(stats.estimate([]).value)


@given(st.lists(st.booleans(), min_size=1, max_size=80))
def test_estimate_of_independent_cases_is_wilson(flags):
    found = stats.estimate([float(flag) for flag in flags], list(range(len(flags))))
    exact = binomtest(sum(flags), len(flags)).proportion_ci(0.95, "wilson")
    assert (found.low, found.high) == pytest.approx((exact.low, exact.high), abs=1e-12)


def test_repeating_each_case_does_not_narrow_the_interval():
    values = [1.0, 0.0, 0.0, 1.0, 1.0, 0.0, 1.0, 0.0, 0.0, 0.0]
    ten = stats.estimate([v for v in values for _ in range(10)], [i for i in range(10) for _ in range(10)])
    one = stats.estimate(values)
    assert ten.high - ten.low >= one.high - one.low
    careless = stats.estimate([v for v in values for _ in range(10)])
    assert careless.high - careless.low < 0.4 * (ten.high - ten.low)


def test_a_single_cluster_says_almost_nothing():
    found = stats.estimate([1.0, 0.0, 1.0, 1.0], ["a"] * 4)
    assert found.high - found.low > 0.9


def test_all_wrong_in_few_clusters_is_not_taken_for_many_cases():
    clustered = stats.estimate([0.0] * 100, names(5, 20))
    assert clustered.high > 4 * stats.estimate([0.0] * 100).high
    nearly_apart = stats.estimate([0.0] * 100, [i // 2 for i in range(100)])
    assert (nearly_apart.low, nearly_apart.high) == (0.0, stats.wilson(0, 50).high)


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 5)), min_size=1, max_size=40))
def test_an_interval_holds_its_own_value_and_stays_a_share(rows):
    found = stats.estimate([float(flag) for flag, _ in rows], [cluster for _, cluster in rows])
    assert 0 <= found.low <= found.value <= found.high <= 1
    assert found.high > found.low


def test_right_and_wrong_are_mirror_images():
    values = [1.0, 0.0, 0.0, 1.0, 0.0, 0.0]
    one = stats.estimate(values, list("aaabbc"))
    other = stats.estimate([1 - value for value in values], list("aaabbc"))
    assert (other.low, other.high) == pytest.approx((1 - one.high, 1 - one.low))


def test_cluster_names_must_match():
    with pytest.raises(ValueError, match="3 values but 2"):
        stats.estimate([1, 0, 1], ["a", "b"])


def test_mcnemar_by_hand():
    # 8 gained, 2 lost: 2 * (C(10,0) + C(10,1) + C(10,2)) / 2^10 = 112 / 1024
    assert stats.mcnemar(8, 2) == pytest.approx(112 / 1024)
    assert stats.mcnemar(0, 0) == 1.0


def test_paired_of_independent_cases_is_mcnemar():
    before = [0.0] * 8 + [1.0] * 2 + [1.0] * 10
    after = [1.0] * 8 + [0.0] * 2 + [1.0] * 10
    found = stats.paired(before, after)
    assert (found.difference, found.p, found.test) == (
        pytest.approx(0.3),
        pytest.approx(112 / 1024),
        "exact McNemar",
    )
    assert found.low < 0 < 0.3 < found.high


def test_sign_flip_by_hand():
    # 5 clusters all up by one: 2 of 32 sign patterns are as extreme
    assert stats.sign_flip([1, 1, 1, 1, 1]) == pytest.approx(2 / 32)
    # zero sums can be flipped at will
    assert stats.sign_flip([1, 1, 1, 1, 1, 0, 0]) == pytest.approx(2 / 32)
    # sums 1, 2, 3: |total| 6 is reached by +++ and --- alone
    assert stats.sign_flip([1, 2, 3]) == pytest.approx(2 / 8)
    assert stats.sign_flip([5.0]) == 1.0
    assert stats.sign_flip([]) == 1.0


def test_one_large_article_cannot_prove_anything():
    before, after = [0.0] * 470, [1.0] * 462 + [0.0] * 8
    clusters = ["large"] * 462 + [f"small-{i}" for i in range(8)]
    assert stats.paired(before, after, clusters).p == 1.0
    assert stats.paired(before, after).p < 1e-50


def test_a_change_of_every_case_has_an_interval_around_it():
    clusters = [i // 2 for i in range(400)]
    found = stats.paired([0.0] * 400, [1.0] * 400, clusters)
    assert found.difference == 1.0
    assert 0.95 < found.low < found.high <= 1.0
    back = stats.paired([1.0] * 400, [0.0] * 400, clusters)
    assert (back.low, back.high) == pytest.approx((-found.high, -found.low))


def test_no_difference_at_all_still_has_an_interval():
    found = stats.paired([1.0, 0.0] * 50, [1.0, 0.0] * 50)
    assert found.difference == 0
    assert found.p == 1
    assert found.low < 0 < found.high


def test_holm_by_hand():
    # ordered 0.01*3, max(0.03, 0.02*2), max(0.04, 0.04*1)
    assert stats.holm([0.04, 0.01, 0.02]) == pytest.approx([0.04, 0.03, 0.04])
    assert stats.holm([0.6, 0.7]) == [1.0, 1.0]


def test_minimum_detectable_difference_by_hand():
    # (1.95996 + 0.84162) * sqrt(0.2 / 500)
    assert stats.minimum_detectable_difference(500, 0.2) == pytest.approx(0.05603, abs=1e-5)
    doubled = stats.minimum_detectable_difference(500, 0.2, design_effect=4)
    assert doubled == pytest.approx(2 * 0.05603, abs=2e-5)


def test_minimum_detectable_difference_is_found_four_times_in_five():
    rng = np.random.default_rng(2)
    n, discordant = 400, 0.25
    size = stats.minimum_detectable_difference(n, discordant)
    up = (discordant + size) / 2
    found = 0
    for _ in range(1000):
        gained, lost, _same = rng.multinomial(n, [up, discordant - up, 1 - discordant])
        found += stats.mcnemar(gained, lost) < 0.05
    assert 0.74 < found / 1000 < 0.84


def test_pass_at_k_by_hand():
    # 1 right of 4, drawing 2: 1 - C(3,2)/C(4,2) = 1/2
    assert stats.pass_at_k(1, 4, 2) == pytest.approx(0.5)
    assert stats.pass_at_k(3, 4, 2) == 1.0
    with pytest.raises(ValueError, match="at least 5"):
        stats.pass_at_k(1, 4, 5)


def test_bootstrap_agrees_with_the_formula_where_both_are_sound():
    rng = np.random.default_rng(0)
    values = beta_binomial(rng, 200, 5, 0.4, 0.3)
    drawn = stats.bootstrap(values, names(200, 5), seed=1)
    formula = stats.estimate(values, names(200, 5))
    assert (drawn.low, drawn.high) == pytest.approx((formula.low, formula.high), abs=0.015)
    assert drawn == stats.bootstrap(values, names(200, 5), seed=1)


# --- simulations: short ones always, long ones with `-m slow`
# ---------------------------------------------------

RUNS = [pytest.param(1, id="short"), pytest.param(10, id="long", marks=pytest.mark.slow)]


@pytest.mark.parametrize("times", RUNS)
@pytest.mark.parametrize(("clusters", "size"), [(300, 1), (30, 10), (30, UNEVEN)])
def test_an_a_a_comparison_is_real_at_most_one_time_in_twenty(clusters, size, times):
    """Two runs of equal accuracy, right and wrong on partly different cases."""
    rng = np.random.default_rng(11)
    groups = names(clusters, size)
    runs = 400 * times
    false = 0
    for _ in range(runs):
        shared, one, other = (beta_binomial(rng, clusters, size, 0.4, 0.3) for _ in range(3))
        keep = rng.random(len(groups)) < 0.7
        false += stats.paired(np.where(keep, shared, one), np.where(keep, shared, other), groups).p < 0.05
    assert false / runs <= 0.05 + 1.64 * math.sqrt(0.05 * 0.95 / runs)


def test_ignoring_the_clusters_would_find_differences_that_are_not_there():
    """Negative control of the A/A test: the same data, cases taken as independent."""
    rng = np.random.default_rng(11)
    false = 0
    for _ in range(300):
        first, second = (beta_binomial(rng, 30, 10, 0.4, 0.3) for _ in range(2))
        false += stats.paired(first, second).p < 0.05
    assert false / 300 > 0.15


@pytest.mark.parametrize("times", RUNS)
@pytest.mark.parametrize(
    ("clusters", "size", "p"),
    [
        (300, 1, 0.2),
        (30, 4, 0.05),
        (30, 4, 0.2),
        (30, 20, 0.05),
        (30, 20, 0.1),
        (30, 20, 0.3),
        (30, 20, 0.5),
        (30, UNEVEN, 0.2),
        (30, UNEVEN, 0.5),
    ],
)
def test_the_interval_covers_the_truth_19_times_in_20(clusters, size, p, times):
    rng = np.random.default_rng(5)
    groups = names(clusters, size)
    found = [stats.estimate(beta_binomial(rng, clusters, size, p, 0.3), groups) for _ in range(1000 * times)]
    assert 0.93 <= np.mean([one.low <= p <= one.high for one in found]) <= 0.97


@pytest.mark.parametrize("times", RUNS)
@pytest.mark.parametrize(("clusters", "size"), [(200, 1), (30, 20), (30, UNEVEN)])
def test_the_interval_of_a_difference_covers_the_truth(clusters, size, times, monkeypatch):
    monkeypatch.setattr(stats, "RESAMPLES", 1)  # the p value is not looked at
    rng = np.random.default_rng(6)
    groups = names(clusters, size)
    hits = 0
    for _ in range(1000 * times):
        first, second = (beta_binomial(rng, clusters, size, p, 0.3) for p in (0.3, 0.4))
        found = stats.paired(first, second, groups)
        hits += found.low <= 0.1 <= found.high
    assert 0.93 <= hits / (1000 * times) <= 0.97


def test_the_bootstrap_interval_covers_nearly_as_well():
    rng = np.random.default_rng(7)
    groups = names(30, 20)
    found = [stats.bootstrap(beta_binomial(rng, 30, 20, 0.5, 0.3), groups, seed=k, resamples=499) for k in range(400)]
    assert 0.91 <= np.mean([one.low <= 0.5 <= one.high for one in found]) <= 0.97
