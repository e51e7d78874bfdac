"""From the rewards of one group to the advantages of its completions. Pure, numpy, float64.

Sources: GRPO (Shao et al. 2024, DeepSeekMath, section 4.1.2), Dr. GRPO (Liu et al. 2025: no division by the
standard deviation), DAPO (Yu et al. 2025, eq. 13: soft penalty on over-long completions).

Where this departs from them: the standard deviation is the unbiased one and 1e-6 is added to it, as in the
original system; a completion that is left out (``kept_G``) is left out of its group's mean and deviation
too, so that an over-long completion is never a wrong one in silence.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

FloatArray = NDArray[np.float64]

EPSILON = 1e-6


def _by_mean(rewards_G: FloatArray) -> FloatArray:
    return rewards_G - float(rewards_G.mean())


def _by_std(rewards_G: FloatArray) -> FloatArray:
    return _by_mean(rewards_G) / float(rewards_G.std(ddof=1) + EPSILON)


NORMALISE: dict[str, Callable[[FloatArray], FloatArray]] = {"std": _by_std, "mean": _by_mean}


def advantages(rewards_G: ArrayLike, *, normalise: str = "std", kept_G: Sequence[bool] | None = None) -> FloatArray:
    """Advantages [G] of the completions of one prompt.

    ``normalise``: ``std`` (GRPO) or ``mean`` (Dr. GRPO). ``kept_G`` False leaves a completion out: its
    advantage is 0 and the others are compared among themselves. A group without variance, and one of fewer
    than two kept completions, teaches nothing: exact zeros.

    Raises:
        ValueError: a reward is not finite (a fault of the reward function).
    """
    rewards = np.asarray(rewards_G, dtype=np.float64)
    if not np.isfinite(rewards).all():
        raise ValueError(f"reward is not finite: {rewards.tolist()}")
    kept = np.ones(len(rewards), dtype=bool) if kept_G is None else np.asarray(kept_G, dtype=bool)
    result = np.zeros_like(rewards)
    if not zero_variance(rewards[kept]):
        result[kept] = NORMALISE[normalise](rewards[kept])
    return result


def zero_variance(rewards_G: ArrayLike) -> bool:
    """Whether all rewards are equal (one or none: yes), so that the group cannot teach."""
    rewards = np.asarray(rewards_G, dtype=np.float64)
    return rewards.size < 2 or bool((rewards == rewards[0]).all())


def overlong_penalty(lengths_N: ArrayLike, max_tokens: int, buffer: int) -> FloatArray:
    """What DAPO adds to the reward: 0 up to ``max_tokens - buffer`` tokens, then falling linearly to -1 at
    the limit. ``lengths_N`` in tokens."""
    over = np.asarray(lengths_N, dtype=np.float64) - (max_tokens - buffer)
    return -np.clip(over / buffer, 0.0, 1.0)
