"""The objectives, as pure functions of log-probabilities, advantages and weights.

All tensors are flat over the completion tokens of one micro-batch (axis T). ``aggregation_weights`` is
computed once over all completions of an optimizer update, and the loss of a micro-batch is ``sum(weights *
per-token loss)``; so micro-batches add up to the same loss and gradient however the update is cut. A
completion is never split between micro-batches (GSPO needs it whole).

Sources: GRPO (Shao et al. 2024, eq. 3), clip-higher and token mean of DAPO (Yu et al. 2025, eq. 8-12), Dr.
GRPO (Liu et al. 2025), GSPO (Zheng et al. 2025, eq. 5-7 and 13-14), CISPO (MiniMax-M1 2025, eq. 4-5), dual
clip (Ye et al. 2020), KL estimators (Schulman 2020, "Approximating KL divergence"), truncated importance
sampling (Yao et al. 2025, "Your efficient RL framework secretly brings you off-policy RL training").

Where this departs from them: logarithms of ratios are bounded to [-20, 20] before ``exp``, so that a runaway
token is a large number rather than an infinite one (its gradient is then zero).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

LOG_RATIO_BOUND = 20.0


@dataclass(frozen=True, slots=True)
class LossInputs:
    """One micro-batch of T completion tokens. Every tensor is [T]; only ``logprobs_T`` (and ``entropy_T``)
    carry a gradient."""

    logprobs_T: Tensor
    """Under the policy that is being updated."""
    old_logprobs_T: Tensor
    """Under the policy as it was before the first update on this rollout."""
    advantages_T: Tensor
    row_T: Tensor
    """Which completion of the micro-batch the token belongs to, int64 from 0."""
    weights_T: Tensor
    """``aggregation_weights`` of the token's completion; 0 leaves the token out."""
    ref_logprobs_T: Tensor | None = None
    """Under the frozen reference."""
    sampler_logprobs_T: Tensor | None = None
    """As the sampler reported them; differ from the old ones by numerics alone."""
    entropy_T: Tensor | None = None
    """Of the whole next-token distribution, in nats."""


@dataclass(frozen=True, slots=True)
class LossSettings:
    """``objective`` is a key of ``OBJECTIVES``, ``kl_estimator`` one of ``KL_ESTIMATORS``."""

    objective: str = "grpo"
    clip_low: float = 0.2
    clip_high: float = 0.2
    dual_clip: float | None = None
    """Bound (above 1) on the ratio where the advantage is negative; None: unbounded."""
    kl_coefficient: float = 0.0
    """Of the KL term in the loss."""
    kl_estimator: str = "k3"
    entropy_coefficient: float = 0.0
    sampler_ratio_cap: float | None = None
    """Cap of the importance weight old/sampler on the policy term; None: no correction."""


@dataclass(frozen=True, slots=True)
class LossOutputs:
    """``loss`` is the scalar to go backward from; ``sums`` are detached sums over the tokens that count, to
    be added over micro-batches by ``mean_metrics``."""

    loss: Tensor
    sums: Mapping[str, Tensor]


def policy_loss(inputs: LossInputs, settings: LossSettings) -> LossOutputs:
    """The loss of one micro-batch and the sums its metrics are made of.

    Raises:
        ValueError: a term of the loss asks for a tensor that is not given.
    """
    per_token_T, clipped_T = OBJECTIVES[settings.objective](inputs, settings)
    if settings.sampler_ratio_cap is not None:
        per_token_T = per_token_T * _sampler_weight(inputs, settings.sampler_ratio_cap)
    if settings.kl_coefficient:
        reference = _given(inputs.ref_logprobs_T, "ref_logprobs_T", "the KL term")
        kl_T = KL_ESTIMATORS[settings.kl_estimator](inputs.logprobs_T, reference)
        per_token_T = per_token_T + settings.kl_coefficient * kl_T
    if settings.entropy_coefficient:
        entropy_T = _given(inputs.entropy_T, "entropy_T", "the entropy bonus")
        per_token_T = per_token_T - settings.entropy_coefficient * entropy_T
    loss = (inputs.weights_T * per_token_T).sum()
    return LossOutputs(loss, _sums(loss, clipped_T, inputs, settings.kl_estimator))


# --- objectives: loss and clipping per token

Surrogate = Callable[[LossInputs, LossSettings], tuple[Tensor, Tensor]]


def token_clipped(inputs: LossInputs, settings: LossSettings) -> tuple[Tensor, Tensor]:
    """PPO's clipped surrogate on each token's importance ratio: GRPO, Dr. GRPO and DAPO, which differ in the
    advantage, the aggregation and the bounds."""
    ratio_T = _exp(inputs.logprobs_T - inputs.old_logprobs_T)
    return _clipped_surrogate(ratio_T, inputs.advantages_T, settings)


def sequence_clipped(inputs: LossInputs, settings: LossSettings) -> tuple[Tensor, Tensor]:
    """GSPO: one ratio a completion, the geometric mean of its tokens' ratios, in the token form of the paper
    (value of the completion's ratio, gradient of the token's own log-probability)."""
    log_ratio_T = (inputs.logprobs_T - inputs.old_logprobs_T).detach()
    counted_T = (inputs.weights_T > 0).to(log_ratio_T.dtype)
    lengths_N = _row_sums(counted_T, inputs.row_T).clamp(min=1)
    mean_N = _row_sums(log_ratio_T * counted_T, inputs.row_T) / lengths_N
    ratio_T = _exp(mean_N[inputs.row_T] + inputs.logprobs_T - inputs.logprobs_T.detach())
    return _clipped_surrogate(ratio_T, inputs.advantages_T, settings)


def weight_clipped(inputs: LossInputs, settings: LossSettings) -> tuple[Tensor, Tensor]:
    """CISPO: the ratio is a clipped weight without gradient, so that every token keeps its gradient."""
    ratio_T = _exp((inputs.logprobs_T - inputs.old_logprobs_T).detach())
    bounded_T = ratio_T.clamp(1 - settings.clip_low, 1 + settings.clip_high)
    return -bounded_T * inputs.advantages_T * inputs.logprobs_T, ratio_T != bounded_T


OBJECTIVES: dict[str, Surrogate] = {
    "grpo": token_clipped,
    "dr-grpo": token_clipped,
    "dapo": token_clipped,
    "gspo": sequence_clipped,
    "cispo": weight_clipped,
}
WHOLE_COMPLETIONS = frozenset({"gspo"})
"""Objectives that need all tokens of a completion at once; the others may be given any part of a micro-batch."""


def _clipped_surrogate(ratio_T: Tensor, advantages_T: Tensor, settings: LossSettings) -> tuple[Tensor, Tensor]:
    """``-min(ratio * A, clip(ratio) * A)``; with dual clip no more than ``-dual_clip * A`` where A < 0."""
    plain_T = -advantages_T * ratio_T
    bounded_T = -advantages_T * ratio_T.clamp(1 - settings.clip_low, 1 + settings.clip_high)
    loss_T = torch.maximum(plain_T, bounded_T)
    if settings.dual_clip is not None:
        limit_T = -advantages_T * settings.dual_clip
        loss_T = torch.where(advantages_T < 0, torch.minimum(loss_T, limit_T), loss_T)
    return loss_T, bounded_T > plain_T


# --- KL to the reference


def k1(logprobs_T: Tensor, ref_logprobs_T: Tensor) -> Tensor:
    """Unbiased, may be negative. In the loss its gradient is zero on average: it belongs in the reward."""
    return logprobs_T - ref_logprobs_T


def k2(logprobs_T: Tensor, ref_logprobs_T: Tensor) -> Tensor:
    """Biased value; in the loss, the gradient of the KL on average."""
    return 0.5 * (logprobs_T - ref_logprobs_T).square()


def k3(logprobs_T: Tensor, ref_logprobs_T: Tensor) -> Tensor:
    """Unbiased and never negative: ``exp(d) - 1 - d`` with d = ref - policy. GRPO's own."""
    log_ratio_T = ref_logprobs_T - logprobs_T
    return _exp(log_ratio_T) - 1 - log_ratio_T


KL_ESTIMATORS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {"k1": k1, "k2": k2, "k3": k3}


def kl_of_completions(
    logprobs_T: Tensor, ref_logprobs_T: Tensor, row_T: Tensor, completions: int, estimator: str
) -> Tensor:
    """KL of every completion [N], summed over its tokens; times the coefficient it comes off the reward."""
    kl_T = KL_ESTIMATORS[estimator](logprobs_T, ref_logprobs_T)
    return kl_T.new_zeros(completions).index_add(0, row_T, kl_T)


# --- aggregation

Aggregate = Callable[[Tensor, int], Tensor]


def _token_mean(lengths_N: Tensor, max_tokens: int) -> Tensor:
    return torch.ones_like(lengths_N) / lengths_N.sum()


def _sequence_mean(lengths_N: Tensor, max_tokens: int) -> Tensor:
    return 1 / (lengths_N * (lengths_N > 0).sum())


def _constant(lengths_N: Tensor, max_tokens: int) -> Tensor:
    return torch.ones_like(lengths_N) / ((lengths_N > 0).sum() * max_tokens)


AGGREGATIONS: dict[str, Aggregate] = {
    "token-mean": _token_mean,
    "sequence-mean": _sequence_mean,
    "dr-grpo": _constant,
}


def aggregation_weights(lengths_N: Sequence[int], how: str, max_tokens: int) -> Tensor:
    """Weight of each token of every completion of an optimizer update [N], float32.

    ``token-mean``: every token alike. ``sequence-mean``: the mean over completions of their means over
    tokens. ``dr-grpo``: the sum over tokens, over completions times ``max_tokens``, so that a long
    completion is not diluted. A completion left out of the update has length 0 here: its weight is 0 and it
    is not counted. One that is merely not computed (its group has no variance) keeps its length, so that
    skipping it changes nothing.
    """
    lengths = torch.as_tensor(lengths_N, dtype=torch.float64)
    weights = AGGREGATIONS[how](lengths, max_tokens)
    return torch.where(lengths > 0, weights, 0.0).float()


# --- metrics


def _sums(loss: Tensor, clipped_T: Tensor, inputs: LossInputs, kl_estimator: str) -> dict[str, Tensor]:
    counted_T = inputs.weights_T > 0
    logprobs_T = inputs.logprobs_T.detach()
    entropy_T = -logprobs_T if inputs.entropy_T is None else inputs.entropy_T.detach()
    terms = {"clip_fraction": clipped_T, "entropy": entropy_T}
    if inputs.ref_logprobs_T is not None:
        terms["kl"] = KL_ESTIMATORS[kl_estimator](logprobs_T, inputs.ref_logprobs_T)
    if inputs.sampler_logprobs_T is not None:
        terms["mismatch_kl"] = k3(inputs.sampler_logprobs_T, inputs.old_logprobs_T)
    sums = {name: torch.where(counted_T, term, 0).sum(dtype=torch.float64) for name, term in terms.items()}
    return {"loss": loss.detach().double(), "tokens": counted_T.sum(), **sums}


def mean_metrics(sums: Iterable[Mapping[str, Tensor]], updates: int = 1) -> dict[str, float]:
    """``policy/...`` metrics from the ``LossOutputs.sums`` of all micro-batches of a step of so many updates.

    The loss is the mean over updates, the others are means over tokens. Without ``entropy_T`` the entropy is
    estimated by the mean of -log p of the sampled tokens (unbiased at temperature 1).
    """
    totals: dict[str, float] = {}
    for one in sums:
        for name, value in one.items():
            totals[name] = totals.get(name, 0.0) + float(value)
    tokens = totals.pop("tokens", 0.0)
    loss = totals.pop("loss", 0.0) / updates
    means = {f"policy/{name}": total / tokens for name, total in totals.items() if tokens}
    return {"policy/loss": loss, **means}


# --- small parts


def _exp(log_ratio_T: Tensor) -> Tensor:
    return log_ratio_T.clamp(-LOG_RATIO_BOUND, LOG_RATIO_BOUND).exp()


def _sampler_weight(inputs: LossInputs, cap: float) -> Tensor:
    sampler = _given(inputs.sampler_logprobs_T, "sampler_logprobs_T", "the sampler correction")
    return _exp(inputs.old_logprobs_T - sampler).clamp(max=cap).detach()


def _row_sums(values_T: Tensor, row_T: Tensor) -> Tensor:
    rows = int(row_T.max()) + 1 if row_T.numel() else 0
    return values_T.new_zeros(rows).index_add(0, row_T, values_T)


def _given(tensor_T: Tensor | None, name: str, term: str) -> Tensor:
    if tensor_T is None:
        raise ValueError(f"{term} needs {name}")
    return tensor_T
