"""Our objectives against verl's own functions, where verl is installed (``make test-verl``): within 1e-6."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from diagnosis_zero.train.advantage import advantages
from diagnosis_zero.train.loss import (
    KL_ESTIMATORS,
    LossInputs,
    LossSettings,
    aggregation_weights,
    mean_metrics,
    policy_loss,
)

pytestmark = [
    pytest.mark.verl,
    pytest.mark.filterwarnings("ignore"),  # theirs, on import
]

LIMIT = 9
LENGTHS = [9, 3, 1, 6, 4, 9]
MASK = torch.arange(LIMIT)[None] < torch.tensor(LENGTHS)[:, None]
VERL_AGGREGATION = {
    "token-mean": "token-mean",
    "sequence-mean": "seq-mean-token-mean",
    "dr-grpo": "seq-mean-token-sum-norm",
}
VERL_OBJECTIVE = {
    "grpo": "vanilla",
    "dr-grpo": "vanilla",
    "dapo": "vanilla",
    "gspo": "gspo",
    "cispo": "cispo",
}


def padded(seed: int, spread: float) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(len(LENGTHS), LIMIT, generator=generator, dtype=torch.float64) * spread


@pytest.mark.parametrize("aggregation", sorted(VERL_AGGREGATION))
@pytest.mark.parametrize("objective", sorted(VERL_OBJECTIVE))
@pytest.mark.parametrize("dual_clip", [3.0, 1.5])
def test_policy_loss(objective: str, aggregation: str, dual_clip: float) -> None:
    core = pytest.importorskip("verl.trainer.ppo.core_algos")
    from verl.workers.config import ActorConfig

    new, old = padded(0, 1.0) - 3, padded(0, 1.0) - 3 + padded(1, 0.7)
    advantage = padded(4, 1.0)[:, :1].expand(-1, LIMIT)
    correction = padded(3, 0.5).exp().clamp(max=2.0)
    actor = ActorConfig(
        strategy="fsdp",
        rollout_n=1,
        ppo_micro_batch_size_per_gpu=1,
        clip_ratio_low=0.1,
        clip_ratio_high=0.15,
        clip_ratio_c=dual_clip,
    )
    theirs, their_metrics = core.get_policy_loss_fn(VERL_OBJECTIVE[objective])(
        old_log_prob=old,
        log_prob=new,
        advantages=advantage,
        response_mask=MASK.double(),
        loss_agg_mode=VERL_AGGREGATION[aggregation],
        config=actor,
        rollout_is_weights=correction,
    )
    row = torch.arange(len(LENGTHS)).repeat_interleave(torch.tensor(LENGTHS))
    ours = policy_loss(
        LossInputs(
            logprobs_T=new[MASK],
            old_logprobs_T=old[MASK],
            sampler_logprobs_T=(old - correction.log())[MASK],
            advantages_T=advantage[MASK],
            row_T=row,
            weights_T=aggregation_weights(LENGTHS, aggregation, LIMIT)[row],
        ),
        LossSettings(
            objective=objective,
            clip_low=0.1,
            clip_high=0.15,
            dual_clip=None if objective == "gspo" else dual_clip,
            sampler_ratio_cap=2.0,
        ),
    )
    assert ours.loss.item() == pytest.approx(theirs.item(), abs=1e-6)
    clipped = mean_metrics([ours.sums])["policy/clip_fraction"]
    assert clipped == pytest.approx(their_metrics["actor/pg_clipfrac"], abs=1e-6)
    assert clipped > 0


@pytest.mark.parametrize("estimator", sorted(KL_ESTIMATORS))
def test_kl(estimator: str) -> None:
    core = pytest.importorskip("verl.trainer.ppo.core_algos")
    policy, reference = padded(0, 0.5), padded(1, 0.5)  # below 10, where verl cuts k3 off
    theirs = core.kl_penalty(policy, reference, estimator)
    torch.testing.assert_close(KL_ESTIMATORS[estimator](policy, reference), theirs, atol=1e-6, rtol=0)


@pytest.mark.parametrize("normalise", ["std", "mean"])
def test_advantages(normalise: str) -> None:
    core = pytest.importorskip("verl.trainer.ppo.core_algos")
    rewards = [0.0, 1.0, 0.1, 0.1, 0.1, 0.0]
    groups = np.array([0, 0, 0, 1, 1, 2])
    token_rewards = torch.zeros(6, LIMIT, dtype=torch.float64)
    token_rewards[:, 0] = torch.tensor(rewards, dtype=torch.float64)
    theirs, _ = core.compute_grpo_outcome_advantage(
        token_rewards, MASK.double(), groups, norm_adv_by_std_in_grpo=normalise == "std"
    )
    # verl keeps the reward of a lone completion as its advantage; here it is compared with nothing: 0
    ours = [*advantages(rewards[:3], normalise=normalise), *advantages(rewards[3:5], normalise=normalise)]
    assert ours == pytest.approx(theirs[:5, 0].tolist(), abs=1e-6)
