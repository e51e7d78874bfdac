"""One training step after the rollout: logprobs where they are needed, micro-batches, the optimizer."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, TypeVar

import torch
from torch import Tensor

from diagnosis_zero.engine.layout import PackedRow
from diagnosis_zero.engine.logprobs import backward, row_logprobs
from diagnosis_zero.errors import InputError
from diagnosis_zero.train.batch import Batch, Credit, Member, PerMember, build_batch, loss_inputs, step_advantages
from diagnosis_zero.train.loss import WHOLE_COMPLETIONS, LossSettings, k3, kl_of_completions, mean_metrics, policy_loss
from diagnosis_zero.train.optimizer import MasterAdamW
from diagnosis_zero.types import Group

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class UpdateSettings:
    """``minibatches`` optimizer updates a rollout, each on its own prompts, in rows of ``token_budget`` tokens.

    ``kl_in_reward`` is the coefficient of the KL that comes off the reward (0: none; the one in the loss is in
    ``loss``).
    """

    loss: LossSettings
    credit: Credit
    aggregation: str = "token-mean"
    minibatches: int = 1
    token_budget: int = 16384
    max_grad_norm: float = 1.0
    kl_in_reward: float = 0.0
    temperature: float = 1.0


@dataclass(frozen=True, slots=True)
class Updated:
    """What one step did: metrics, the advantages it gave (for the rollout file), and the token budget it ended with:
    half of what it was given where the device ran out of memory."""

    metrics: Mapping[str, float]
    advantages_BG: Sequence[Sequence[float]]
    token_budget: int


def update(
    model: Any,
    optimizer: MasterAdamW,
    groups: Sequence[Group],
    lr: float,
    settings: UpdateSettings,
    reference: Any = None,
) -> Updated:
    """Learn from the groups of one rollout.

    ``reference`` is the frozen model of the KL term; None where there is no such term.

    Raises:
        InputError: the device is out of memory, and again with rows of half the tokens.
    """
    model.train()
    everything = dict(enumerate(groups))
    needs_old = settings.minibatches > 1 or settings.kl_in_reward > 0
    old = ref = None
    if needs_old:
        old, settings = _within_memory(partial(_frozen_logprobs, model, everything), settings, optimizer)
    if reference is not None:
        ref, settings = _within_memory(partial(_frozen_logprobs, reference, everything), settings, optimizer)
    advantages_BG = step_advantages(groups, settings.credit, _kl_penalties(old, ref, settings))
    sums: list[Mapping[str, Tensor]] = []
    norms = []
    for share in _shares(everything, settings.minibatches):
        learn = partial(_accumulate, model, optimizer, share, advantages_BG, old, ref)
        found, settings = _within_memory(learn, settings, optimizer)
        sums += found
        norms.append(optimizer.step(lr, settings.max_grad_norm))
    skipped = sum(not math.isfinite(norm) for norm in norms)
    worst = max(norms, key=lambda norm: norm if math.isfinite(norm) else math.inf)
    metrics = {**mean_metrics(sums, settings.minibatches), "policy/grad_norm": worst, "policy/skipped": skipped}
    return Updated(metrics, advantages_BG, settings.token_budget)


def step_kl(
    model: Any, optimizer: MasterAdamW, groups: Sequence[Group], updated: Updated, settings: UpdateSettings
) -> float:
    """How far one optimizer step moved the policy, nats a token: from the one that wrote to the one now (k3), over the
    steps between. On the middle one by length of those groups that teach: a forward pass of it is a small part of the
    update, one of all groups would be a third."""
    teaching = [
        group for group, advantages in zip(groups, updated.advantages_BG, strict=True) if any(advantages)
    ] or groups
    by_length = sorted(teaching, key=lambda group: sum(len(c.token_ids) for c in group.completions))
    middle = by_length[len(by_length) // 2]
    everyone = replace(settings.credit, overlong="score")  # those left out of the update too
    settings = replace(settings, credit=everyone, token_budget=updated.token_budget)
    now, _ = _within_memory(partial(_frozen_logprobs, model, {0: middle}), settings, optimizer)
    wrote = [torch.tensor(middle.completions[member].logprobs) for _, member in now]
    moved = k3(torch.cat(wrote), torch.cat(list(now.values())).cpu()).mean()
    return float(moved) / settings.minibatches


def _within_memory(
    run: Callable[[UpdateSettings], T], settings: UpdateSettings, optimizer: MasterAdamW
) -> tuple[T, UpdateSettings]:
    """What ``run`` gives, and the settings it ran with: rows of half the tokens where the device ran out of memory."""
    try:
        return run(settings), settings
    except torch.OutOfMemoryError:
        pass  # begun again below, outside: the traceback would keep the failed row's tensors
    optimizer.discard()
    torch.cuda.empty_cache()
    halved = replace(settings, token_budget=max(1, settings.token_budget // 2))
    try:
        return run(halved), halved
    except torch.OutOfMemoryError as error:
        raise InputError(
            f"the device is out of memory with rows of {settings.token_budget} tokens, and of {halved.token_budget}",
            mend="Set model.gradient_checkpointing = true, or lower train.micro_batch_tokens or rollout.max_tokens.",
        ) from error


def _shares(groups: Mapping[int, Group], parts: int) -> list[dict[int, Group]]:
    indices = list(groups)
    size = len(indices) // parts
    return [{i: groups[i] for i in indices[at : at + size]} for at in range(0, len(indices), size)]


def _batch(groups: Mapping[int, Group], advantages_BG: Sequence[Sequence[float]], settings: UpdateSettings) -> Batch:
    policy_term_only = settings.loss.kl_coefficient == 0 and settings.loss.entropy_coefficient == 0
    return build_batch(
        groups,
        advantages_BG,
        settings.credit,
        aggregation=settings.aggregation,
        token_budget=settings.token_budget,
        skip_silent=policy_term_only,
    )


def _accumulate(
    model: Any,
    optimizer: MasterAdamW,
    groups: Mapping[int, Group],
    advantages_BG: Sequence[Sequence[float]],
    old: PerMember | None,
    ref: PerMember | None,
    settings: UpdateSettings,
) -> list[Mapping[str, Tensor]]:
    """Backward through every row; gradients add up in the optimizer's masters."""
    batch = _batch(groups, advantages_BG, settings)
    sums: list[Mapping[str, Tensor]] = []

    def objective(row: PackedRow, part: slice, logprobs_T: Tensor, entropy_T: Tensor) -> Tensor:
        inputs = loss_inputs(row, batch, logprobs_T, entropy_T, old=old, ref=ref, part=part)
        outputs = policy_loss(inputs, settings.loss)
        sums.append(outputs.sums)
        return outputs.loss

    whole = settings.loss.objective in WHOLE_COMPLETIONS
    for row in batch.rows:
        row = row.to(model.device)
        backward(model, row, partial(objective, row), temperature=settings.temperature, whole_completions=whole)
        optimizer.collect()
    return sums


def _frozen_logprobs(model: Any, groups: Mapping[int, Group], settings: UpdateSettings) -> dict[Member, Tensor]:
    """Logprobs of every completion under ``model`` as it is now, without gradient."""
    no_credit = [[0.0] * len(group.completions) for group in groups.values()]
    batch = build_batch(
        groups,
        no_credit,
        settings.credit,
        aggregation=settings.aggregation,
        token_budget=settings.token_budget,
        skip_silent=False,
    )
    found: dict[Member, Tensor] = {}
    with torch.no_grad():
        for row in batch.rows:
            found |= _by_member(row, row_logprobs(model, row.to(model.device), settings.temperature)[0])
    return found


def _by_member(row: PackedRow, values_N: Tensor) -> dict[Member, Tensor]:
    return dict(zip(row.members, values_N.split(row.lengths), strict=True))


def _kl_penalties(old: PerMember | None, ref: PerMember | None, settings: UpdateSettings) -> dict[Member, float]:
    """Coefficient times KL of each completion, for the KL that comes off the reward."""
    if not settings.kl_in_reward or old is None or ref is None:
        return {}
    found = {}
    for member, logprobs in old.items():
        row = torch.zeros(len(logprobs), dtype=torch.long, device=logprobs.device)
        kl = kl_of_completions(logprobs, ref[member], row, 1, settings.loss.kl_estimator)
        found[member] = settings.kl_in_reward * float(kl)
    return found
