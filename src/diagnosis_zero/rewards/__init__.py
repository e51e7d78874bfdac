"""The verifiable reward: a completion and a case give a score, its parts and the reasons. Imports no torch."""

from diagnosis_zero.rewards.adapters import compute_score, trl_reward
from diagnosis_zero.rewards.compose import DEFAULT_WEIGHTS, build_reward

__all__ = ["DEFAULT_WEIGHTS", "build_reward", "compute_score", "trl_reward"]
