"""Logprobs of completion tokens from packed rows, and their gradients, never holding ``tokens x vocabulary``.

The language-model head runs over chunks of tokens. ``backward`` takes the loss as a function of a chunk's logprobs and
goes back through the head while the chunk's distribution is at hand, so that no logits are computed twice.
``row_logprobs`` is the same as ordinary differentiable tensors, at the price of computing the logits again.

Logits are fp32 whatever the model computes in: rounded to bf16 (to 1/8 where they are above 16) they are what sets the
sampler's and the trainer's logprobs apart most.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from diagnosis_zero.engine.attention import GroupLayout
from diagnosis_zero.engine.layout import PackedRow

CHUNK_TOKENS = {"cpu": 128, "cuda": 2048}
"""Tokens whose distributions are held at once. On a CPU they should stay near the cache (128 tokens of a vocabulary of
49,152 are 25 MB): chunks of 680 took twice as long."""

Objective = Callable[[slice, Tensor, Tensor], Tensor]
"""(which of the row's N tokens, their logprobs, their entropies) -> their share of the loss, a scalar."""


def row_logprobs(model: Any, row: PackedRow, temperature: float = 1.0) -> tuple[Tensor, Tensor]:
    """Logprob and entropy [N] of a row's completion tokens, in the order of ``row.members``, differentiable.

    ``model`` is a Hugging Face causal LM loaded with ``attn_implementation="shared_prompt"``. Both are those of
    the distribution at ``temperature``, in fp32; the entropy is in nats.
    """
    return token_logprobs(_hidden(model, row), head_weight(model), row.targets_N, temperature)


def backward(
    model: Any, row: PackedRow, objective: Objective, *, temperature: float = 1.0, whole_completions: bool = False
) -> None:
    """Add the gradients of a loss over a row's completion tokens to the model's parameters.

    The loss must depend on the logprobs and may on the entropies. It is the sum of ``objective`` over chunks of
    tokens; with ``whole_completions`` no completion is cut between chunks, for losses whose tokens are not independent.
    """
    hidden_N, weight = _hidden(model, row), head_weight(model)
    gradients = _HeadGradients(hidden_N.detach(), weight.detach(), temperature, weight.requires_grad)
    head = exact_head(weight.detach())
    for part in _chunks(row.lengths if whole_completions else [1] * len(row.targets_N), hidden_N.device.type):
        with torch.no_grad():
            chunk = _Chunk.of(hidden_N[part], head, row.targets_N[part], temperature)
            logprobs, entropies = chunk.logprobs(), chunk.entropies()
        terms = logprobs.requires_grad_(), entropies.requires_grad_()
        d_logprobs, d_entropies = torch.autograd.grad(objective(part, *terms), terms, allow_unused=True)
        with torch.no_grad():
            gradients.add(part, chunk, d_logprobs, d_entropies)
    if gradients.d_weight is not None:
        _add_gradient(weight, gradients.d_weight)
    hidden_N.backward(gradients.d_hidden)


def _add_gradient(parameter: Tensor, fresh: Tensor) -> None:
    fresh = fresh.to(parameter.dtype)
    parameter.grad = fresh if parameter.grad is None else parameter.grad.add_(fresh)


def _hidden(model: Any, row: PackedRow) -> Tensor:
    """The hidden states [N, H] that predict the row's completion tokens."""
    hidden_T: Tensor = model.model(
        input_ids=row.input_ids, position_ids=row.position_ids, layout=GroupLayout(row.spans), use_cache=False
    ).last_hidden_state[0]
    return hidden_T[row.sources_N]


def head_weight(model: Any) -> Tensor:
    """Weight [V, H] of the language-model head (the embedding itself where they are tied)."""
    head = model.get_output_embeddings()
    assert isinstance(head, nn.Linear), "the language-model head is not a linear layer"
    assert head.bias is None, "language-model heads with a bias are refused by check_supported"
    return head.weight


def exact_head(weight: Tensor) -> Tensor:
    """The head's weight for many calls of ``logits``: a CPU multiplies in fp32, and would copy it at each."""
    return weight if weight.is_cuda else weight.float()


def logits(hidden: Tensor, weight: Tensor) -> Tensor:
    """fp32 logits [n, V] for hidden states [n, H] and head weight [V, H] (or its ``exact_head``)."""
    if hidden.is_cuda and hidden.dtype != torch.float32:
        return torch.mm(hidden, weight.T, out_dtype=torch.float32)
    return torch.mm(hidden.float(), weight.float().T)


def token_logprobs(hidden_N: Tensor, weight: Tensor, targets_N: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
    """Logprob of ``targets_N`` and entropy, both fp32 [N], for hidden states [N, H] and head weight [V, H]."""
    head: Callable[..., tuple[Tensor, Tensor]] = _ChunkedHead.apply
    return head(hidden_N, weight, targets_N, temperature)


def _chunks(lengths: Sequence[int], device: str) -> list[slice]:
    """Neighbouring pieces of these lengths together, up to ``CHUNK_TOKENS`` (a longer piece by itself)."""
    chunks: list[slice] = []
    start = stop = 0
    for length in lengths:
        if stop > start and stop + length - start > CHUNK_TOKENS[device]:
            chunks.append(slice(start, stop))
            start = stop
        stop += length
    return [*chunks, slice(start, stop)]


@dataclass(frozen=True, slots=True)
class _Chunk:
    """The distributions of some tokens: logprobs and probabilities [c, V], fp32."""

    all_logprobs: Tensor
    probs: Tensor
    targets: Tensor

    @classmethod
    def of(cls, hidden: Tensor, weight: Tensor, targets: Tensor, temperature: float) -> _Chunk:
        scores = logits(hidden, weight)
        all_logprobs = (scores if temperature == 1.0 else scores.div_(temperature)).log_softmax(-1)
        return cls(all_logprobs, torch.exp(all_logprobs, out=scores), targets)

    def logprobs(self) -> Tensor:
        """[c], of the targets."""
        return self.all_logprobs.gather(1, self.targets[:, None])[:, 0]

    def entropies(self) -> Tensor:
        """[c], in nats."""
        negative: Tensor = torch.linalg.vecdot(self.probs, self.all_logprobs)
        return -negative


class _HeadGradients:
    """Collects the gradients at the hidden states and at the head's weight, chunk by chunk; consumes the chunks.

    d logp_y / dz_j = 1[j = y] - p_j and d H / dz_j = -p_j (log p_j + H). The sparse and the dense part are
    multiplied out apart, so that the gradient at the logits never takes a pass over ``c x V`` of its own.
    """

    def __init__(self, hidden_N: Tensor, weight: Tensor, temperature: float, wants_weight: bool) -> None:
        self.hidden, self.weight, self.temperature = hidden_N, weight, temperature
        self.d_hidden = torch.empty_like(hidden_N)
        # Sums over chunks are fp32: bf16 would lose the small ones.
        self.d_weight = torch.zeros_like(weight, dtype=torch.float32) if wants_weight else None

    def add(self, part: slice, chunk: _Chunk, d_logprobs: Tensor, d_entropies: Tensor | None) -> None:
        """The loss's derivatives [c] at the chunk's logprobs and (None: it has no such term) entropies."""
        hot = (d_logprobs / self.temperature)[:, None]
        if d_entropies is None:
            dense, scale = chunk.probs, -hot
        else:
            dense, scale = self._with_entropy(chunk, d_logprobs, d_entropies), torch.full_like(hot, -1)
        dense, targets = dense.to(self.weight.dtype), chunk.targets
        self.d_hidden[part] = hot * self.weight[targets] + scale * (dense @ self.weight)
        if self.d_weight is not None:
            hidden = self.hidden[part]
            self._add_product(dense.T, (scale * hidden).to(dense.dtype))
            self.d_weight.index_add_(0, targets, hot * hidden)

    def _with_entropy(self, chunk: _Chunk, d_logprobs: Tensor, d_entropies: Tensor) -> Tensor:
        """p_j (d_logprob + d_entropy (log p_j + H)) / temperature."""
        factor = chunk.all_logprobs.add_(chunk.entropies()[:, None]).mul_(d_entropies[:, None])
        return chunk.probs.mul_(factor.add_(d_logprobs[:, None])).div_(self.temperature)

    def _add_product(self, a: Tensor, b: Tensor) -> None:
        assert self.d_weight is not None
        if a.dtype == torch.float32:
            self.d_weight.addmm_(a, b)
        else:
            self.d_weight.add_(a @ b)


class _ChunkedHead(torch.autograd.Function):
    """(logprob of target, entropy) with the head's logits computed again, chunk by chunk, in the backward pass."""

    @staticmethod
    def forward(ctx: Any, hidden: Tensor, weight: Tensor, targets: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
        logprobs = hidden.new_empty(len(targets), dtype=torch.float32)
        entropies = torch.empty_like(logprobs)
        head = exact_head(weight)
        for part in _chunks([1] * len(targets), hidden.device.type):
            chunk = _Chunk.of(hidden[part], head, targets[part], temperature)
            logprobs[part], entropies[part] = chunk.logprobs(), chunk.entropies()
        ctx.save_for_backward(hidden, weight, targets)
        ctx.temperature = temperature
        return logprobs, entropies

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor | None, None, None]:
        hidden, weight, targets = ctx.saved_tensors
        gradients = _HeadGradients(hidden, weight, ctx.temperature, ctx.needs_input_grad[1])
        d_entropies = grads[1] if bool(grads[1].any()) else None
        head = exact_head(weight)
        for part in _chunks([1] * len(targets), hidden.device.type):
            chunk = _Chunk.of(hidden[part], head, targets[part], ctx.temperature)
            gradients.add(part, chunk, grads[0][part], None if d_entropies is None else d_entropies[part])
        d_weight = gradients.d_weight
        return gradients.d_hidden, None if d_weight is None else d_weight.to(weight.dtype), None, None
