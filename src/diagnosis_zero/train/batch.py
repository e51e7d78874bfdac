"""From scored groups to what an update needs: advantages, aggregation weights, packed rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from diagnosis_zero.engine.layout import PackedRow, pack
from diagnosis_zero.train.advantage import advantages, overlong_penalty
from diagnosis_zero.train.loss import LossInputs, aggregation_weights
from diagnosis_zero.types import Completion, Group

Member = tuple[int, int]
"""(group, completion) indices within the step."""
PerMember = Mapping[Member, Tensor]


@dataclass(frozen=True, slots=True)
class Credit:
    """How rewards become advantages (see ``advantage``), and which completions count."""

    normalise: str = "std"
    overlong: str = "score"
    max_tokens: int = 1024
    overlong_buffer: int = 205


AS_SCORED = Credit()
"""No penalty and no mask."""


@dataclass(frozen=True, slots=True)
class Batch:
    """One optimizer update. ``advantages`` and ``weights`` hold one number for each completion; a completion of
    weight 0 is left out. ``rows`` hold only completions that teach."""

    rows: tuple[PackedRow, ...]
    advantages: Mapping[Member, float]
    weights: Mapping[Member, float]
    sampler_logprobs: PerMember


def step_advantages(
    groups: Sequence[Group], credit: Credit, kl: Mapping[Member, float] | None = None
) -> list[list[float]]:
    """Advantages of every completion, group by group; ``kl`` (coefficient times KL) comes off the rewards."""
    return [
        advantages(
            _shaped(g, group, credit, kl or {}), normalise=credit.normalise, kept_G=_kept(group, credit)
        ).tolist()
        for g, group in enumerate(groups)
    ]


def _shaped(g: int, group: Group, credit: Credit, kl: Mapping[Member, float]) -> list[float]:
    scores = np.array([reward.score - kl.get((g, m), 0.0) for m, reward in enumerate(group.rewards)])
    if credit.overlong == "penalise":
        lengths = [len(c.token_ids) for c in group.completions]
        scores = scores + overlong_penalty(lengths, credit.max_tokens, credit.overlong_buffer)
    return [float(score) for score in scores]


def _kept(group: Group, credit: Credit) -> list[bool]:
    return [credit.overlong != "mask" or completion.finish != "length" for completion in group.completions]


def silent_share(groups: Sequence[Group], credit: Credit) -> float:
    """Share of groups whose completions, those that count, all have the same reward, penalties included: they teach
    nothing."""
    return sum(not any(advantages_G) for advantages_G in step_advantages(groups, credit)) / len(groups)


def build_batch(
    groups: Mapping[int, Group],
    advantages_BG: Sequence[Sequence[float]],
    credit: Credit,
    *,
    aggregation: str,
    token_budget: int,
    skip_silent: bool,
) -> Batch:
    """The batch of one update over ``groups`` (step index -> group).

    ``skip_silent`` leaves groups with all advantages 0 out of the computation, not out of the aggregation: right
    where the loss has no term but the policy's, since their gradient is then exactly zero.
    """
    members = {(g, m): c for g, group in groups.items() for m, c in enumerate(group.completions)}
    counted = {(g, m): kept for g, group in groups.items() for m, kept in enumerate(_kept(group, credit))}
    lengths = [len(completion.token_ids) if counted[member] else 0 for member, completion in members.items()]
    weights = dict(zip(members, aggregation_weights(lengths, aggregation, credit.max_tokens).tolist(), strict=True))
    credits = {(g, m): advantages_BG[g][m] for g, m in members}
    wanted = {
        member for member in members if counted[member] and not (skip_silent and not any(advantages_BG[member[0]]))
    }
    rows = _rows(groups, wanted, token_budget)
    sampler = {member: torch.tensor(c.logprobs) for member, c in members.items() if member in wanted}
    return Batch(rows, credits, weights, sampler)


def _rows(groups: Mapping[int, Group], wanted: set[Member], token_budget: int) -> tuple[PackedRow, ...]:
    """Pack the wanted completions; the rows' members are numbered as in the step."""
    kept: list[tuple[int, list[int], list[Completion]]] = []
    for g, group in groups.items():
        places = [m for m in range(len(group.completions)) if (g, m) in wanted]
        if places:
            kept.append((g, places, [group.completions[m] for m in places]))
    packed = (
        pack([(groups[g].prompt_ids, [c.token_ids for c in cs]) for g, _, cs in kept], token_budget) if kept else []
    )
    return tuple(_renumbered(row, [(g, places) for g, places, _ in kept]) for row in packed)


def _renumbered(row: PackedRow, numbers: Sequence[tuple[int, list[int]]]) -> PackedRow:
    members = tuple((numbers[i][0], numbers[i][1][m]) for i, m in row.members)
    return PackedRow(row.input_ids, row.position_ids, row.spans, row.sources_N, row.targets_N, members, row.lengths)


def loss_inputs(
    row: PackedRow,
    batch: Batch,
    logprobs_T: Tensor,
    entropy_T: Tensor,
    *,
    old: PerMember | None,
    ref: PerMember | None,
    part: slice = slice(None),
) -> LossInputs:
    """The tensors of one row for ``loss.policy_loss``; ``old`` None means on-policy (the row's own logprobs).

    ``part``: which of the row's tokens ``logprobs_T`` and ``entropy_T`` are of.
    """
    device = logprobs_T.device
    lengths = torch.tensor(row.lengths, device=device)

    def spread(per_member: Mapping[Member, float]) -> Tensor:
        return torch.tensor([per_member[m] for m in row.members], device=device).repeat_interleave(lengths)[part]

    def joined(per_member: PerMember) -> Tensor:
        return torch.cat([per_member[m] for m in row.members])[part].to(device)

    return LossInputs(
        logprobs_T=logprobs_T,
        old_logprobs_T=logprobs_T.detach() if old is None else joined(old),
        advantages_T=spread(batch.advantages),
        row_T=torch.arange(len(row.members), device=device).repeat_interleave(lengths)[part],
        weights_T=spread(batch.weights),
        ref_logprobs_T=None if ref is None else joined(ref),
        sampler_logprobs_T=joined(batch.sampler_logprobs),
        entropy_T=entropy_T,
    )
