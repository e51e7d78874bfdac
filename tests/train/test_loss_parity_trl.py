"""Our objectives against the loss of TRL's own trainer, where TRL is installed: value and gradient within 1e-6."""

from __future__ import annotations

from collections import defaultdict
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from diagnosis_zero.train.loss import (
    LossInputs,
    LossSettings,
    aggregation_weights,
    k3,
    mean_metrics,
    policy_loss,
)

pytestmark = pytest.mark.filterwarnings("ignore")  # theirs, on import

LIMIT = 9
LENGTHS = [9, 3, 1, 6, 4, 9]
MASK = torch.arange(LIMIT)[None] < torch.tensor(LENGTHS)[:, None]
ROW = torch.arange(len(LENGTHS)).repeat_interleave(torch.tensor(LENGTHS))
LOW, HIGH, KL, ENTROPY, CAP = 0.1, 0.15, 0.05, 0.01, 2.0

CHOICES = {
    "grpo, mean of means": ("grpo", "sequence-mean", {"loss_type": "grpo"}),
    "grpo, token mean": ("grpo", "token-mean", {"loss_type": "bnpo"}),
    "dr-grpo": ("dr-grpo", "dr-grpo", {"loss_type": "dr_grpo"}),
    "dapo": ("dapo", "token-mean", {"loss_type": "dapo"}),
    "gspo": ("gspo", "sequence-mean", {"loss_type": "grpo", "importance_sampling_level": "sequence"}),
    "cispo": ("cispo", "token-mean", {"loss_type": "cispo", "epsilon_high": 1 + HIGH}),
}
"""Our objective and aggregation, and what TRL calls them. TRL's CISPO bound is that of the ratio itself."""


def padded(seed: int, spread: float) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(len(LENGTHS), LIMIT, generator=generator, dtype=torch.float64) * spread


NEW, OLD = padded(0, 1.0) - 3, padded(0, 1.0) - 3 + padded(1, 0.7)
REFERENCE = NEW + padded(2, 0.5)
CORRECTION = padded(3, 0.5).exp().clamp(max=CAP)
ADVANTAGES = padded(4, 1.0)[:, 0]
ENTROPIES = padded(5, 1.0).abs()


def trainer(logprobs: Tensor, dual_clip: float | None, options: dict[str, Any]) -> SimpleNamespace:
    """What TRL's loss reads of its trainer: options, one process, and a model that gives these logprobs."""
    return SimpleNamespace(
        _get_per_token_logps_and_entropies=lambda *given, **more: (logprobs, ENTROPIES, None),
        args=SimpleNamespace(delta=dual_clip, use_bias_correction_kl=False, steps_per_generation=1),
        accelerator=SimpleNamespace(
            num_processes=1, sync_gradients=True, gather=lambda x: x, reduce=lambda x, reduction: x
        ),
        model=SimpleNamespace(training=True),
        beta=KL,
        entropy_coef=ENTROPY,
        max_completion_length=LIMIT,
        current_gradient_accumulation_steps=1,
        top_entropy_quantile=1.0,
        use_vllm=True,  # so that the correction of the sampler is applied
        vllm_importance_sampling_correction=True,
        off_policy_mask_threshold=None,
        aux_loss_enabled=False,
        use_adaptive_entropy=False,
        _entropy_bonus_enabled=True,
        _metrics=defaultdict(lambda: defaultdict(list)),
        **{"importance_sampling_level": "token", "epsilon_low": LOW, "epsilon_high": HIGH} | options,
    )


def theirs(
    options: dict[str, Any], dual_clip: float | None, correction: Tensor = CORRECTION
) -> tuple[Tensor, Tensor, dict[str, list[float]]]:
    grpo_trainer = pytest.importorskip("trl.trainer.grpo_trainer", reason="TRL is not installed: pip install trl")
    logprobs = NEW.clone().requires_grad_()
    one = trainer(logprobs, dual_clip, options)
    inputs = {
        "prompt_ids": torch.ones(len(LENGTHS), 1, dtype=torch.long),
        "prompt_mask": torch.ones(len(LENGTHS), 1, dtype=torch.long),
        "completion_ids": torch.ones(len(LENGTHS), LIMIT, dtype=torch.long),
        "completion_mask": MASK.double(),
        "advantages": ADVANTAGES,
        "old_per_token_logps": OLD,
        "ref_per_token_logps": REFERENCE,
        "importance_sampling_ratio": correction,
        "num_items_in_batch": torch.tensor(sum(LENGTHS)),
    }
    loss = grpo_trainer.GRPOTrainer._compute_loss(one, None, inputs)
    (gradient,) = torch.autograd.grad(loss, logprobs)
    return loss.detach(), gradient[MASK], one._metrics["train"]


def ours(
    objective: str, aggregation: str, dual_clip: float | None, correction: Tensor = CORRECTION
) -> tuple[Tensor, Tensor, dict[str, float]]:
    """Policy and KL terms by the aggregation; TRL's entropy bonus is a mean over tokens whatever the aggregation."""
    logprobs = NEW[MASK].clone().requires_grad_()
    inputs = LossInputs(
        logprobs_T=logprobs,
        old_logprobs_T=OLD[MASK],
        advantages_T=ADVANTAGES[:, None].expand(-1, LIMIT)[MASK],
        row_T=ROW,
        weights_T=aggregation_weights(LENGTHS, aggregation, LIMIT).double()[ROW],
        ref_logprobs_T=REFERENCE[MASK],
        sampler_logprobs_T=(OLD - correction.log())[MASK],
        entropy_T=ENTROPIES[MASK],
    )
    settings = LossSettings(
        objective=objective,
        clip_low=1.0 if objective == "cispo" else LOW,
        clip_high=HIGH,
        dual_clip=dual_clip,
        kl_coefficient=KL,
        sampler_ratio_cap=CAP,
    )
    found = policy_loss(inputs, settings)
    (gradient,) = torch.autograd.grad(found.loss, logprobs)
    return found.loss.detach() - ENTROPY * ENTROPIES[MASK].mean(), gradient, mean_metrics([found.sums])


@pytest.mark.parametrize(
    ("choice", "dual_clip"),
    [*((choice, None) for choice in CHOICES), ("grpo, mean of means", 1.5), ("dapo", 1.5)],
)
def test_loss_and_gradient(choice: str, dual_clip: float | None) -> None:
    objective, aggregation, options = CHOICES[choice]
    # In GSPO's token form a token's correction weighs its own gradient, in TRL's form the mean one: compared without.
    correction = torch.ones_like(CORRECTION) if objective == "gspo" else CORRECTION
    loss, gradient, metrics = ours(objective, aggregation, dual_clip, correction)
    their_loss, their_gradient, their_metrics = theirs(options, dual_clip, correction)
    assert loss.item() == pytest.approx(their_loss.item(), abs=1e-6)
    torch.testing.assert_close(gradient, their_gradient, atol=1e-6, rtol=0)
    assert metrics["policy/kl"] == pytest.approx(their_metrics["kl"][0], abs=1e-6)
    assert metrics["policy/clip_fraction"] > 0
    if objective not in ("cispo", "gspo"):  # there TRL counts tokens of positive advantage alone, and completions
        assert metrics["policy/clip_fraction"] == pytest.approx(their_metrics["clip_ratio/region_mean"][0], abs=1e-6)


def test_they_can_differ() -> None:
    """Negative control: another clip bound is told apart."""
    loss, _, _ = ours("grpo", "token-mean", None)
    their_loss, _, _ = theirs({"loss_type": "bnpo", "epsilon_high": HIGH + 0.1}, None)
    assert abs(loss.item() - their_loss.item()) > 1e-4


def test_kl_is_theirs() -> None:
    _, _, metrics = theirs({"loss_type": "grpo"}, None)
    assert k3(NEW[MASK], REFERENCE[MASK]).mean().item() == pytest.approx(metrics["kl"][0], abs=1e-6)
