"""One update of the local engine is one update by verl's own functions: advantages, loss and gradients, in fp32.

The weights, prompts, completions and rewards are the same. verl's side is its advantage estimator, its policy losses,
its KL and its aggregation, on logprobs of the padded batch that its FSDP engine would compute.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from textbook import BETAS, make_group, plain_model, shared
from torch import Tensor

from diagnosis_zero.scale.options import AGGREGATIONS, KL_NAMES, LOSS_MODES, NO_DUAL_CLIP
from diagnosis_zero.train.advantage import advantages
from diagnosis_zero.train.batch import Credit, step_advantages
from diagnosis_zero.train.loss import LossSettings
from diagnosis_zero.train.optimizer import MasterAdamW
from diagnosis_zero.train.step import UpdateSettings, _accumulate, _frozen_logprobs
from diagnosis_zero.types import Group

pytestmark = pytest.mark.verl
core = pytest.importorskip("verl.trainer.ppo.core_algos", reason="needs verl: make test-verl")
workers = pytest.importorskip("verl.workers.config")
LIMIT = 12
CLOSE = 1e-5
GROUPS = [
    make_group(10, [1.0, 0.1, 0.0, 1.0], [12, 5, 1, 7], prompt=23, limit=LIMIT),
    make_group(12, [0.0, 1.0], [1, 1], prompt=11, limit=LIMIT),
    make_group(13, [0.3, 0.9, 0.2], [6, 6, 11], prompt=40, limit=LIMIT),
]


# --- advantages


@pytest.mark.parametrize("normalise", ["std", "mean"])
@pytest.mark.parametrize("rewards", [[1.0, 0.0], [1.1, 0.1, 0.0, 1.1], [0.5, 0.25, 1.0], [1.2] + [0.2] * 15])
def test_advantages(rewards: list[float], normalise: str) -> None:
    assert verl_advantages([rewards], normalise)[0] == pytest.approx(
        advantages(rewards, normalise=normalise), abs=CLOSE
    )


def test_a_group_without_variance_is_exactly_zero_here_and_rounding_there() -> None:
    """(r - mean) is divided by 1e-6: verl's noise is a thousand times smaller than an advantage, ours is none."""
    assert advantages([0.1] * 3).tolist() == [0.0] * 3
    assert np.abs(verl_advantages([[0.1] * 3], "std")).max() < 1e-2


def test_a_lone_completion_keeps_its_reward_there_and_is_left_out_here() -> None:
    """Why groups of two are the least that a recipe may ask for."""
    assert advantages([0.7]).tolist() == [0.0]
    assert verl_advantages([[0.7]], "std")[0] == pytest.approx([0.7], abs=CLOSE)


def verl_advantages(rewards_BG: Sequence[Sequence[float]], normalise: str) -> list[list[float]]:
    flat = torch.tensor([reward for rewards_G in rewards_BG for reward in rewards_G])
    index = np.array([str(g) for g, rewards_G in enumerate(rewards_BG) for _ in rewards_G], dtype=object)
    ones = torch.ones(len(flat), 1)
    found, _ = core.compute_grpo_outcome_advantage(
        flat[:, None].clone(), ones, index, norm_adv_by_std_in_grpo=normalise == "std"
    )
    each = iter(found[:, 0].tolist())
    return [[next(each) for _ in rewards_G] for rewards_G in rewards_BG]


# --- a whole update

PLAIN = UpdateSettings(LossSettings(), Credit(max_tokens=LIMIT, overlong_buffer=4))
SETTINGS = {
    "grpo": PLAIN,
    "grpo, all terms": replace(PLAIN, loss=LossSettings(kl_coefficient=0.1, entropy_coefficient=0.01, dual_clip=3.0)),
    "k1": replace(PLAIN, loss=LossSettings(kl_coefficient=0.1, kl_estimator="k1")),
    "k2": replace(PLAIN, loss=LossSettings(kl_coefficient=0.1, kl_estimator="k2")),
    "dr-grpo": replace(
        PLAIN, loss=LossSettings("dr-grpo"), aggregation="dr-grpo", credit=replace(PLAIN.credit, normalise="mean")
    ),
    "dapo": replace(PLAIN, loss=LossSettings("dapo", clip_high=0.28)),
    "gspo": replace(PLAIN, loss=LossSettings("gspo", clip_low=0.003, clip_high=0.004), aggregation="sequence-mean"),
    "cispo": replace(PLAIN, loss=LossSettings("cispo", clip_low=1.0, clip_high=0.3)),
    "temperature": replace(PLAIN, temperature=0.7),
}


@dataclass(frozen=True)
class Done:
    loss: float
    gradients: dict[str, Tensor]


@pytest.mark.parametrize("name", SETTINGS)
def test_loss_and_gradients(name: str) -> None:
    """The old policy and the reference are other weights, so that ratios, clipping and KL are at work."""
    settings = SETTINGS[name]
    model, old, reference = plain_model(), nearby(plain_model(), 0.02, 5), nearby(plain_model(), 0.05, 6)
    ours = local_update(model, old, reference, settings)
    theirs = verl_update(model, old, reference, settings)
    assert ours.loss == pytest.approx(theirs.loss, abs=CLOSE)
    assert sum(float(g.abs().sum()) for g in ours.gradients.values()) > 0
    for parameter, gradient in ours.gradients.items():
        scale = max(1.0, float(theirs.gradients[parameter].abs().max()))
        assert float((gradient - theirs.gradients[parameter]).abs().max()) < CLOSE * scale, parameter


def test_the_comparison_can_fail() -> None:
    """Negative control: another clipping bound is another gradient."""
    model, old, reference = plain_model(), nearby(plain_model(), 0.02, 5), nearby(plain_model(), 0.05, 6)
    ours = local_update(model, old, reference, PLAIN)
    other = verl_update(model, old, reference, replace(PLAIN, loss=LossSettings(clip_low=0.01, clip_high=0.01)))
    assert max(float((g - other.gradients[p]).abs().max()) for p, g in ours.gradients.items()) > 100 * CLOSE


def nearby(model: Any, distance: float, seed: int) -> Any:
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(distance * torch.randn(parameter.shape, generator=generator) * parameter.std())
    return model


def local_update(model: Any, old: Any, reference: Any, settings: UpdateSettings) -> Done:
    """Everything that ``train.step.update`` does before the optimizer's step."""
    model, everything = shared(model), dict(enumerate(GROUPS))
    optimizer = MasterAdamW(model, betas=BETAS, weight_decay=0.0)
    old_logprobs = _frozen_logprobs(shared(old), everything, settings)
    ref_logprobs = _frozen_logprobs(shared(reference), everything, settings)
    advantages = step_advantages(GROUPS, settings.credit)
    sums = _accumulate(model, optimizer, everything, advantages, old_logprobs, ref_logprobs, settings)
    named = zip(optimizer.named, optimizer.masters, strict=True)
    return Done(float(sum(s["loss"] for s in sums)), {name: master.grad for (name, _), master in named})


def verl_update(model: Any, old: Any, reference: Any, settings: UpdateSettings) -> Done:
    """verl's ``ppo_loss`` on the padded batch, by its own functions."""
    model, rows = copy.deepcopy(model), padded(GROUPS)
    credit = verl_advantages([[r.score for r in group.rewards] for group in GROUPS], settings.credit.normalise)
    flat = torch.tensor([advantage for credit_G in credit for advantage in credit_G])
    logprobs, entropy = verl_logprobs(model, rows, settings.temperature)
    with torch.no_grad():
        old_logprobs, _ = verl_logprobs(old, rows, settings.temperature)
        ref_logprobs, _ = verl_logprobs(reference, rows, settings.temperature)
    aggregation, loss = AGGREGATIONS[settings.aggregation], settings.loss
    actor = actor_config(settings)
    total, _ = core.get_policy_loss_fn(LOSS_MODES[loss.objective])(
        old_log_prob=old_logprobs,
        log_prob=logprobs,
        advantages=flat[:, None] * rows.mask,
        response_mask=rows.mask,
        loss_agg_mode=aggregation,
        config=actor,
    )
    if loss.entropy_coefficient:
        total = total - loss.entropy_coefficient * core.agg_loss(
            entropy, rows.mask, aggregation, **actor.global_batch_info
        )
    if loss.kl_coefficient:
        kl = core.kl_penalty(logprobs, ref_logprobs, KL_NAMES[loss.kl_estimator])
        total = total + loss.kl_coefficient * core.agg_loss(kl, rows.mask, aggregation, **actor.global_batch_info)
    total.backward()
    return Done(float(total.detach()), {name: p.grad for name, p in model.named_parameters()})


def actor_config(settings: UpdateSettings) -> Any:
    loss = settings.loss
    config = workers.ActorConfig(
        strategy="fsdp2",
        rollout_n=2,
        use_dynamic_bsz=True,
        clip_ratio_low=loss.clip_low,
        clip_ratio_high=loss.clip_high,
        clip_ratio_c=loss.dual_clip or NO_DUAL_CLIP,
        loss_agg_mode=AGGREGATIONS[settings.aggregation],
    )
    completions = sum(len(group.completions) for group in GROUPS)
    tokens = sum(len(c.token_ids) for group in GROUPS for c in group.completions)
    config.global_batch_info.update(
        dp_size=1, batch_num_tokens=tokens, global_batch_size=completions, loss_scale_factor=LIMIT
    )
    return config


def padded(groups: Sequence[Group]) -> SimpleNamespace:
    """Prompts padded on the left, completions on the right."""
    pairs = [(g.prompt_ids, c.token_ids) for g in groups for c in g.completions]
    width = max(len(prompt) for prompt, _ in pairs)
    longest = max(len(tokens) for _, tokens in pairs)
    ids = torch.zeros(len(pairs), width + longest, dtype=torch.long)
    seen = torch.zeros_like(ids)
    for row, (prompt, tokens) in enumerate(pairs):
        both = slice(width - len(prompt), width + len(tokens))
        ids[row, both] = torch.tensor([*prompt, *tokens])
        seen[row, both] = 1
    positions = (seen.cumsum(1) - 1).clamp(min=0)
    return SimpleNamespace(ids=ids, seen=seen, positions=positions, width=width, mask=seen[:, width:].float())


def verl_logprobs(model: Any, rows: SimpleNamespace, temperature: float) -> tuple[Tensor, Tensor]:
    from verl.utils.torch_functional import entropy_from_logits, logprobs_from_logits

    out = model(input_ids=rows.ids, attention_mask=rows.seen, position_ids=rows.positions)
    logits = out.logits[:, rows.width - 1 : -1] / temperature
    return logprobs_from_logits(logits, rows.ids[:, rows.width :]), entropy_from_logits(logits)
