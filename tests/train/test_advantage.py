"""Advantages worked by hand, and what holds for every group."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from diagnosis_zero.train.advantage import advantages, overlong_penalty, zero_variance

groups = st.lists(st.floats(-5, 5, allow_subnormal=False), min_size=2, max_size=12)


def test_group_normalised_by_hand() -> None:
    # mean 0.3; deviations 0.7, -0.2, -0.2, -0.3; squares 0.49 + 0.04 + 0.04 + 0.09 = 0.66;
    # unbiased variance 0.66 / 3 = 0.22, std 0.4690416; divided by 0.4690426
    expected = [1.4924018, -0.4264005, -0.4264005, -0.6396008]
    assert advantages([1.0, 0.1, 0.1, 0.0]) == pytest.approx(expected, abs=1e-7)


def test_mean_only_by_hand() -> None:
    assert advantages([1.0, 0.1, 0.1, 0.0], normalise="mean") == pytest.approx([0.7, -0.2, -0.2, -0.3])


@pytest.mark.parametrize("normalise", ["std", "mean"])
@pytest.mark.parametrize("rewards", [[0.1] * 7, [0.0, 0.0], [1.0], []])
def test_group_that_cannot_teach_gives_exact_zeros(rewards: list[float], normalise: str) -> None:
    # seven times 0.1 has a mean of 0.09999999999999999: rounding must not become an advantage
    assert zero_variance(rewards)
    assert (advantages(rewards, normalise=normalise) == 0).all()
    assert len(advantages(rewards, normalise=normalise)) == len(rewards)


def test_left_out_completion_does_not_count_in_the_baseline() -> None:
    # the third was cut by the limit; the others are compared among themselves: mean 0.5, std 0.7071068
    result = advantages([1.0, 0.0, 0.0], kept_G=[True, True, False])
    assert result == pytest.approx([0.7071058, -0.7071058, 0.0], abs=1e-7)
    # in the baseline it would have pulled the second up: (0 - 1/3) / 0.5773513
    assert advantages([1.0, 0.0, 0.0])[1] == pytest.approx(-0.5773493, abs=1e-7)


def test_one_kept_completion_teaches_nothing() -> None:
    assert (advantages([1.0, 0.0, 0.0], kept_G=[True, False, False]) == 0).all()


@given(groups)
def test_advantages_sum_to_nothing_and_keep_the_order(rewards: list[float]) -> None:
    result = advantages(rewards)
    assert abs(result.sum()) < 1e-6
    order = np.argsort(rewards, kind="stable")
    assert (np.diff(result[order]) >= 0).all()


@given(groups, st.floats(-3, 3), st.floats(0.5, 2))
def test_shift_is_ignored_and_scale_nearly(rewards: list[float], shift: float, scale: float) -> None:
    spread = float(np.std(rewards))
    moved = [scale * reward + shift for reward in rewards]
    if spread > 0.01:  # below it the added 1e-6 is felt
        assert advantages(moved) == pytest.approx(advantages(rewards), abs=1e-3)
        by_mean = advantages(moved, normalise="mean")
        assert by_mean == pytest.approx(scale * advantages(rewards, normalise="mean"))


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_reward_that_is_not_a_number_is_a_fault(bad: float) -> None:
    with pytest.raises(ValueError, match="not finite"):
        advantages([0.0, bad])


def test_overlong_penalty_by_hand() -> None:
    # limit 100, buffer 20: nothing up to 80, half of it at 90, all of it at 100 and beyond
    assert overlong_penalty([1, 80, 81, 90, 100, 120], 100, 20) == pytest.approx([0, 0, -0.05, -0.5, -1, -1])
