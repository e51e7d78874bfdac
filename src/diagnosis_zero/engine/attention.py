"""Attention over groups that share a prompt, registered with Hugging Face as ``shared_prompt``.

What a call needs travels as the model keyword ``layout``; there is no global state. A layout has one method,
``attend(layer, q, k, v, scale) -> out``, with q [1 or rows, Hq, T, D], k and v the same with Hkv heads.

On the CPU each group is computed in pieces (prompt causal, completion against prompt, completion causal) by the
flash kernel, whose outputs are merged by their log-sum-exp. The backward pass gives each piece the merged output and
log-sum-exp: with these the kernel's own backward is the exact gradient of the whole, so that no mask and no copy
of the prompt's keys is ever made. On CUDA the same pattern is one FlexAttention call with a block mask.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.nn.attention.flex_attention import BlockMask, create_block_mask, flex_attention
from transformers import AttentionInterface

from diagnosis_zero.engine.layout import GroupSpan

NAME = "shared_prompt"
Qkv = tuple[Tensor, Tensor, Tensor]
Piece = tuple[Tensor, Tensor]
"""Output [B, H, T, D] and log-sum-exp [B, H, T]."""


class Layout(Protocol):
    """What the registered attention function hands its work to."""

    def attend(self, layer: int, q: Tensor, k: Tensor, v: Tensor, scale: float) -> Tensor:
        """Attention output, shaped like ``q``."""
        ...


def shared_prompt_attention(
    module: torch.nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float,
    dropout: float = 0.0,
    layout: Layout | None = None,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """The function that Hugging Face calls in every layer.

    Raises:
        ValueError: the call carries no ``layout``, or asks for what is not computed here (dropout, soft-capping,
            attention sinks). Models that need these are refused by ``model.check_supported`` before.
    """
    if layout is None:
        raise ValueError("attention 'shared_prompt' needs the model keyword `layout`; plain calls want 'sdpa'")
    if dropout or kwargs.get("softcap") or kwargs.get("s_aux") is not None:
        raise ValueError("attention 'shared_prompt' computes no dropout, soft-capping or attention sinks")
    layer = module.layer_idx
    assert isinstance(layer, int)
    return layout.attend(layer, query, key, value, scaling).transpose(1, 2), None


def register() -> None:
    """Make ``attn_implementation="shared_prompt"`` known to transformers; may be called again."""
    AttentionInterface.register(NAME, shared_prompt_attention)


@dataclass(slots=True)
class GroupLayout:
    """Layout of packed rows, for the update and for prefill.

    With ``keep`` the keys and values of every layer are kept in ``kept`` (prefill wants them).
    """

    spans: tuple[GroupSpan, ...]
    keep: bool = False
    kept: dict[int, Piece] = field(default_factory=dict)
    _mask: BlockMask | None = None

    def attend(self, layer: int, q: Tensor, k: Tensor, v: Tensor, scale: float) -> Tensor:
        if self.keep:
            self.kept[layer] = (k, v)
        if q.is_cuda:
            return self._flex(q, k, v, scale)
        # torch gives Function.apply no types
        out: Tensor = _PiecewiseAttention.apply(q, k, v, self.spans, scale)  # type: ignore[no-untyped-call]
        return out

    def _flex(self, q: Tensor, k: Tensor, v: Tensor, scale: float) -> Tensor:
        if self._mask is None:
            self._mask = block_mask(self.spans, q.shape[2], q.device)
        out = _flex_compiled()(q, k, v, block_mask=self._mask, scale=scale, enable_gqa=q.shape[1] != k.shape[1])
        assert isinstance(out, Tensor)
        return out


@cache
def _flex_compiled() -> Any:
    return torch.compile(flex_attention, dynamic=True)


def block_mask(spans: Sequence[GroupSpan], length: int, device: torch.device) -> BlockMask:
    """FlexAttention's mask of the same pattern: a token sees its group's prompt and its own completion, causally."""
    group_T = torch.full((length,), -1, dtype=torch.int32)
    branch_T = torch.zeros(length, dtype=torch.int32)  # 0 in the prompt, 1.. in the completions
    for index, span in enumerate(spans):
        group_T[span.start : span.end] = index
        at = span.body
        for branch, width in enumerate(span.completions, start=1):
            branch_T[at : at + width] = branch
            at += width
    group_T, branch_T = group_T.to(device), branch_T.to(device)

    def visible(b: Tensor, h: Tensor, i: Tensor, j: Tensor) -> Tensor:
        shared = (branch_T[j] == 0) | (branch_T[j] == branch_T[i])
        return (group_T[i] == group_T[j]) & (j <= i) & shared

    return create_block_mask(visible, None, None, length, length, device=str(device))


class _PiecewiseAttention(torch.autograd.Function):
    """Attention of one packed row [1, H, T, D], group by group, exact in forward and backward."""

    @staticmethod
    def forward(ctx: Any, q: Tensor, k: Tensor, v: Tensor, spans: tuple[GroupSpan, ...], scale: float) -> Tensor:
        out = torch.empty_like(q, memory_format=torch.contiguous_format)
        lse = q.new_empty(q.shape[:3], dtype=torch.float32)
        for span in spans:
            prompt = slice(span.start, span.body)
            out[:, :, prompt], lse[:, :, prompt] = _flash((q, k, v), prompt, prompt, True, scale)
            if span.body < span.end:
                body = slice(span.body, span.end)
                out[:, :, body], lse[:, :, body] = _completions((q, k, v), span, scale)
        ctx.save_for_backward(q, k, v, out, lse)
        ctx.spans, ctx.scale = spans, scale
        return out

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, Tensor, None, None]:
        q, k, v, out, lse = ctx.saved_tensors
        given = _Backward(grads[0].contiguous(), (q, k, v), (out, lse), ctx.scale)
        total = torch.empty_like(q), torch.empty_like(k), torch.empty_like(v)
        for span in ctx.spans:
            prompt, body = slice(span.start, span.body), slice(span.body, span.end)
            given.put_own(total, prompt)
            if span.body < span.end:
                given.put_completions(total, span)
                given.add_shared(total, body, prompt)
        return *total, None, None


def _flash(qkv: Qkv, at: slice, keys: slice, causal: bool, scale: float) -> Piece:
    """The queries of positions ``at`` against the keys of positions ``keys``."""
    q, k, v = qkv
    return _flash_rows((q[:, :, at], k[:, :, keys], v[:, :, keys]), causal, scale)


def _flash_rows(qkv: Qkv, causal: bool, scale: float) -> Piece:
    out, lse = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(*qkv, 0.0, causal, scale=scale)
    return out, lse


def _completions(qkv: Qkv, span: GroupSpan, scale: float) -> Piece:
    """Completion tokens against their prompt (all at once) and against their own (in runs of equal length)."""
    shared = _flash(qkv, slice(span.body, span.end), slice(span.start, span.body), False, scale)
    own = torch.empty_like(shared[0]), torch.empty_like(shared[1])
    for run in _runs(span):
        q, k, v = (run.rows(x) for x in qkv)
        out, lse = _flash_rows((q, k, v), True, scale)
        at = slice(run.start - span.body, run.stop - span.body)
        own[0][:, :, at], own[1][:, :, at] = _unrows(out), _unrows(lse)
    return merge(shared, own)


def merge(a: Piece, b: Piece) -> Piece:
    """Attention over two sets of keys from the attention over each, by their log-sum-exp."""
    lse = torch.logaddexp(a[1], b[1])
    weight_a, weight_b = ((x[1] - lse).exp().unsqueeze(-1).to(a[0].dtype) for x in (a, b))
    return a[0] * weight_a + b[0] * weight_b, lse


@dataclass(frozen=True, slots=True)
class _Backward:
    """What every piece of the backward pass is given: the whole row's gradient, inputs and merged outputs."""

    dout: Tensor
    qkv: Qkv
    merged: Piece
    scale: float

    def put_own(self, total: Qkv, at: slice) -> None:
        """Set the gradients of the prompt at ``at`` against itself."""
        for grad, fresh in zip(total, self._piece(at, at, causal=True), strict=True):
            grad[:, :, at] = fresh

    def put_completions(self, total: Qkv, span: GroupSpan) -> None:
        """Set the gradients of every completion against its own tokens."""
        out, lse = self.merged
        for run in _runs(span):
            inputs = *(run.rows(x) for x in (self.dout, *self.qkv, out)), run.rows(lse[..., None])[..., 0]
            for grad, fresh in zip(total, self._kernel(inputs, True), strict=True):
                grad[:, :, run.start : run.stop] = _unrows(fresh)

    def add_shared(self, total: Qkv, at: slice, keys: slice) -> None:
        """Add the gradients of the completions ``at`` against the prompt's ``keys``."""
        for grad, fresh, where in zip(total, self._piece(at, keys, causal=False), (at, keys, keys), strict=True):
            grad[:, :, where] += fresh

    def _piece(self, at: slice, keys: slice, *, causal: bool) -> Qkv:
        (q, k, v), (out, lse) = self.qkv, self.merged
        inputs = self.dout[:, :, at], q[:, :, at], k[:, :, keys], v[:, :, keys], out[:, :, at], lse[:, :, at]
        return self._kernel(inputs, causal)

    def _kernel(self, inputs: tuple[Tensor, ...], causal: bool) -> Qkv:
        op = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward
        grads: Qkv = op(*inputs, 0.0, causal, scale=self.scale)
        return grads


@dataclass(frozen=True, slots=True)
class _Run:
    """Neighbouring completions of equal length, ``count`` of ``width`` tokens from ``start``."""

    start: int
    count: int
    width: int

    @property
    def stop(self) -> int:
        return self.start + self.count * self.width

    def rows(self, x: Tensor) -> Tensor:
        """[1, H, T, D] as [count, H, width, D]."""
        own = x[0, :, self.start : self.stop]
        return own.view(own.shape[0], self.count, self.width, own.shape[2]).transpose(0, 1)


def _runs(span: GroupSpan) -> list[_Run]:
    runs: list[_Run] = []
    at = span.body
    for width in span.completions:
        if width and runs and runs[-1].width == width:
            runs[-1] = _Run(runs[-1].start, runs[-1].count + 1, width)
        elif width:
            runs.append(_Run(at, 1, width))
        at += width
    return runs


def _unrows(x: Tensor) -> Tensor:
    """[count, H, width, ...] as [1, H, count * width, ...]."""
    return x.transpose(0, 1).flatten(1, 2)[None]
