"""Logprobs of completion tokens from packed rows, never holding ``tokens x vocabulary``.

The language-model head runs in chunks of tokens, forward and backward; the backward pass computes a chunk's logits
again rather than keeping them.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from diagnosis_zero.engine.attention import GroupLayout
from diagnosis_zero.engine.layout import PackedRow

CHUNK_ELEMENTS = 1 << 25
"""Logits held at once: 32 M elements (128 MB in fp32)."""


def row_logprobs(model: Any, row: PackedRow, temperature: float = 1.0) -> tuple[Tensor, Tensor]:
    """Logprob and entropy [N] of a row's completion tokens, in the order of ``row.members``, differentiable.

    ``model`` is a Hugging Face causal LM loaded with ``attn_implementation="shared_prompt"``. Both are those of
    the distribution at ``temperature``, in fp32; the entropy is in nats.
    """
    hidden_T = model.model(
        input_ids=row.input_ids, position_ids=row.position_ids, layout=GroupLayout(row.spans), use_cache=False
    ).last_hidden_state[0]
    return token_logprobs(hidden_T[row.sources_N], head_weight(model), row.targets_N, temperature)


def head_weight(model: Any) -> Tensor:
    """Weight [V, H] of the language-model head (the embedding itself where they are tied)."""
    head = model.get_output_embeddings()
    assert isinstance(head, nn.Linear), "the language-model head is not a linear layer"
    assert head.bias is None, "language-model heads with a bias are refused by check_supported"
    return head.weight


def token_logprobs(hidden_N: Tensor, weight: Tensor, targets_N: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
    """Logprob of ``targets_N`` and entropy, both fp32 [N], for hidden states [N, H] and head weight [V, H]."""
    logprobs, entropies = _ChunkedHead.apply(hidden_N, weight, targets_N, temperature)  # type: ignore[no-untyped-call]
    return logprobs, entropies


def _chunk(vocabulary: int) -> int:
    return max(1, CHUNK_ELEMENTS // vocabulary)


def _distribution(hidden: Tensor, weight: Tensor, temperature: float) -> tuple[Tensor, Tensor, Tensor]:
    """Logprobs [c, V], probabilities [c, V] and entropy [c] of one chunk, in fp32."""
    logits = (hidden @ weight.T).float()
    if temperature != 1.0:
        logits /= temperature
    logprobs = logits - logits.logsumexp(-1, keepdim=True)
    probs = logprobs.exp()
    # A token of probability 0 adds nothing to the entropy; 0 * -inf would make it NaN.
    entropy = -(probs * logprobs.clamp_min(-1e4)).sum(-1)
    return logprobs, probs, entropy


class _ChunkedHead(torch.autograd.Function):
    """(logprob of target, entropy) with the head's logits recomputed chunk by chunk in the backward pass."""

    @staticmethod
    def forward(ctx: Any, hidden: Tensor, weight: Tensor, targets: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
        logprobs = hidden.new_empty(len(targets), dtype=torch.float32)
        entropies = torch.empty_like(logprobs)
        step = _chunk(weight.shape[0])
        for at in range(0, len(targets), step):
            part = slice(at, at + step)
            all_logprobs, _, entropies[part] = _distribution(hidden[part], weight, temperature)
            logprobs[part] = all_logprobs.gather(1, targets[part, None])[:, 0]
        ctx.save_for_backward(hidden, weight, targets)
        ctx.temperature = temperature
        return logprobs, entropies

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor | None, None, None]:
        hidden, weight, targets = ctx.saved_tensors
        wants_weight = ctx.needs_input_grad[1]
        d_hidden = torch.empty_like(hidden)
        d_weight = torch.zeros_like(weight) if wants_weight else None
        step = _chunk(weight.shape[0])
        for at in range(0, len(targets), step):
            part = slice(at, at + step)
            d_logits = _d_logits(hidden[part], weight, targets[part], ctx.temperature, grads[0][part], grads[1][part])
            d_hidden[part] = d_logits @ weight
            if d_weight is not None:
                d_weight.addmm_(d_logits.T, hidden[part])
        return d_hidden, d_weight, None, None


def _d_logits(
    hidden: Tensor, weight: Tensor, targets: Tensor, temperature: float, d_logprob: Tensor, d_entropy: Tensor
) -> Tensor:
    """Gradient at the logits: d logp_y / dz_j = 1[j = y] - p_j and d H / dz_j = -p_j (log p_j + H)."""
    logprobs, probs, entropy = _distribution(hidden, weight, temperature)
    scale = -d_logprob[:, None]
    if bool(d_entropy.any()):
        scale = scale - d_entropy[:, None] * (logprobs.clamp_min_(-1e4) + entropy[:, None])
    d_logits = probs.mul_(scale)
    d_logits.scatter_add_(1, targets[:, None], d_logprob[:, None])
    return (d_logits / temperature).to(hidden.dtype)
