"""Attention over groups that share a prompt, registered with Hugging Face as ``shared_prompt``.

What a call needs travels as the model keyword ``layout``; there is no global state. A layout has one method,
``attend(layer, q, k, v, scale) -> out``, with q [1 or rows, Hq, T, D], k and v the same with Hkv heads.

On the CPU each group is computed in pieces (prompt causal, completion against prompt, completion causal) by the
flash kernel, whose outputs are merged by their log-sum-exp. The backward pass gives each piece the merged output and
log-sum-exp: with these the kernel's own backward is the exact gradient of the whole, so that no mask and no copy
of the prompt's keys is ever made. On CUDA the same pattern is one FlexAttention call with a block mask.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.nn.attention.flex_attention import BlockMask, create_block_mask, flex_attention
from transformers import AttentionInterface

from diagnosis_zero.engine.layout import GroupSpan

NAME = "shared_prompt"
HALVED_FROM = 128
"""Tokens of a prompt whose backward pass is done by halves."""
PART_FROM = 64
"""Fewest queries of a part that is given to a thread of its own."""
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
        piecewise: Callable[..., Tensor] = _PiecewiseAttention.apply
        return piecewise(q, k, v, self.spans, scale)

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
            given.put_prompt(total, span)
            if span.body < span.end:
                for run in _runs(span):
                    given.put_own(total, run)
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

    def put_prompt(self, total: Qkv, span: GroupSpan) -> None:
        """Set the gradients of the prompt against itself: of a long one by halves, since the causal kernel computes
        most of what it then hides."""
        if span.prompt < HALVED_FROM:
            self.put_own(total, _Run(span.start, 1, span.prompt))
            return
        halves = _Run(span.start, 2, span.prompt // 2)
        self.put_own(total, halves)
        self.add_shared(
            total, slice(span.start + halves.width, halves.stop), slice(span.start, halves.start + halves.width)
        )
        if halves.stop < span.body:  # an odd token is left
            last = slice(halves.stop, span.body)
            for grad in total:
                grad[:, :, last] = 0.0
            self.add_shared(total, last, slice(span.start, span.body))

    def put_own(self, total: Qkv, run: _Run) -> None:
        """Set the gradients of each part of the run against its own tokens, causally."""
        k, v = (run.rows(x) for x in self.qkv[1:])
        for grad, fresh in zip(total, self._kernel(run, k, v, causal=True), strict=True):
            grad[:, :, run.start : run.stop] = _unrows(fresh)

    def add_shared(self, total: Qkv, at: slice, keys: slice) -> None:
        """Add the gradients of the queries ``at`` against all ``keys``: in equal parts, since the kernel gives a thread
        whole heads of a part, and heads alone seldom divide among the threads."""
        count = _equal_parts(at.stop - at.start, self.dout.shape[1])
        parts = _Run(at.start, count, (at.stop - at.start) // count)
        for run in (parts, _Run(parts.stop, 1, at.stop - parts.stop)):
            if not run.width:
                continue
            k, v = (x[:, :, keys].expand(run.count, -1, -1, -1) for x in self.qkv[1:])
            dq, dk, dv = self._kernel(run, k, v, causal=False)
            total[0][:, :, run.start : run.stop] += _unrows(dq)
            total[1][:, :, keys] += dk.sum(0)
            total[2][:, :, keys] += dv.sum(0)

    def _kernel(self, run: _Run, k: Tensor, v: Tensor, *, causal: bool) -> Qkv:
        """Gradients of the run's queries, as rows, and of ``k`` and ``v``."""
        op = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward
        out, lse = self.merged
        dout, q, rows_out = (run.rows(x) for x in (self.dout, self.qkv[0], out))
        lse_rows = run.rows(lse[..., None])[..., 0]
        grads: Qkv = op(dout, q, k, v, rows_out, lse_rows, 0.0, causal, scale=self.scale)
        return grads


def _equal_parts(tokens: int, heads: int) -> int:
    """The fewest parts whose heads divide among the threads; 1 where the parts would be small."""
    threads = torch.get_num_threads()
    return next((n for n in range(1, tokens // PART_FROM + 1) if n * heads % threads == 0), 1)


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
