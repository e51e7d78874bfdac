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
Piece = tuple[Tensor, Tensor]  # output [B, H, T, D], log-sum-exp [B, H, T]


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
        out: Tensor = _PiecewiseAttention.apply(q, k, v, self.spans, scale)
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
            _forward_prompt(q, k, v, out, lse, span, scale)
            _forward_completions(q, k, v, out, lse, span, scale)
        ctx.save_for_backward(q, k, v, out, lse)
        ctx.spans, ctx.scale = spans, scale
        return out

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, Tensor, None, None]:
        q, k, v, out, lse = ctx.saved_tensors
        dout = grads[0].contiguous()
        dq, dk, dv = torch.zeros_like(q), torch.zeros_like(k), torch.zeros_like(v)
        for span in ctx.spans:
            _backward_prompt(dout, q, k, v, out, lse, dq, dk, dv, span, ctx.scale)
            _backward_completions(dout, q, k, v, out, lse, dq, dk, dv, span, ctx.scale)
        return dq, dk, dv, None, None


def _flash(q: Tensor, k: Tensor, v: Tensor, causal: bool, scale: float) -> Piece:
    out, lse = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(q, k, v, 0.0, causal, scale=scale)
    return out, lse


def _flash_backward(
    dout: Tensor, q: Tensor, k: Tensor, v: Tensor, piece: Piece, causal: bool, scale: float
) -> tuple[Tensor, Tensor, Tensor]:
    op = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward
    grads: tuple[Tensor, Tensor, Tensor] = op(dout, q, k, v, *piece, 0.0, causal, scale=scale)
    return grads


def merge(a: Piece, b: Piece) -> Piece:
    """Attention over two sets of keys from the attention over each, by their log-sum-exp."""
    lse = torch.logaddexp(a[1], b[1])
    weight_a, weight_b = ((x[1] - lse).exp().unsqueeze(-1).to(a[0].dtype) for x in (a, b))
    return a[0] * weight_a + b[0] * weight_b, lse


def _forward_prompt(q: Tensor, k: Tensor, v: Tensor, out: Tensor, lse: Tensor, span: GroupSpan, scale: float) -> None:
    at = slice(span.start, span.body)
    out[:, :, at], lse[:, :, at] = _flash(q[:, :, at], k[:, :, at], v[:, :, at], True, scale)


def _forward_completions(
    q: Tensor, k: Tensor, v: Tensor, out: Tensor, lse: Tensor, span: GroupSpan, scale: float
) -> None:
    body = slice(span.body, span.end)
    if body.start == body.stop:
        return
    prompt = slice(span.start, span.body)
    shared = _flash(q[:, :, body], k[:, :, prompt], v[:, :, prompt], False, scale)
    own = torch.empty_like(shared[0]), torch.empty_like(shared[1])
    for local, count, width in _runs(span):
        block = slice(body.start + local.start, body.start + local.stop)
        piece = _flash(*(_rows(x[:, :, block], count, width) for x in (q, k, v)), True, scale)
        own[0][:, :, local], own[1][:, :, local] = _unrows(piece[0]), _unrows(piece[1])
    out[:, :, body], lse[:, :, body] = merge(shared, own)


def _backward_prompt(
    dout: Tensor,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    out: Tensor,
    lse: Tensor,
    dq: Tensor,
    dk: Tensor,
    dv: Tensor,
    span: GroupSpan,
    scale: float,
) -> None:
    at = slice(span.start, span.body)
    piece = out[:, :, at], lse[:, :, at]
    grads = _flash_backward(dout[:, :, at], q[:, :, at], k[:, :, at], v[:, :, at], piece, True, scale)
    for total, grad in zip((dq, dk, dv), grads, strict=True):
        total[:, :, at] += grad


def _backward_completions(
    dout: Tensor,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    out: Tensor,
    lse: Tensor,
    dq: Tensor,
    dk: Tensor,
    dv: Tensor,
    span: GroupSpan,
    scale: float,
) -> None:
    body, prompt = slice(span.body, span.end), slice(span.start, span.body)
    if body.start == body.stop:
        return
    piece = out[:, :, body], lse[:, :, body]
    shared = _flash_backward(dout[:, :, body], q[:, :, body], k[:, :, prompt], v[:, :, prompt], piece, False, scale)
    dq[:, :, body] += shared[0]
    dk[:, :, prompt] += shared[1]
    dv[:, :, prompt] += shared[2]
    for local, count, width in _runs(span):
        block = slice(body.start + local.start, body.start + local.stop)
        tensors = [_rows(x[:, :, block], count, width) for x in (dout, q, k, v, out)]
        own_lse = _rows(lse[:, :, block, None], count, width)[..., 0]
        grads = _flash_backward(*tensors[:4], (tensors[4], own_lse), True, scale)
        for total, grad in zip((dq, dk, dv), grads, strict=True):
            total[:, :, block] += _unrows(grad)


def _runs(span: GroupSpan) -> list[tuple[slice, int, int]]:
    """Neighbouring completions of equal length: (slice within the body, how many, their length)."""
    runs: list[tuple[slice, int, int]] = []
    at = 0
    for width in span.completions:
        if width and runs and runs[-1][2] == width:
            run, count, _ = runs[-1]
            runs[-1] = (slice(run.start, run.stop + width), count + 1, width)
        elif width:
            runs.append((slice(at, at + width), 1, width))
        at += width
    return runs


def _rows(x: Tensor, count: int, width: int) -> Tensor:
    """[1, H, count * width, D] as [count, H, width, D]."""
    return x[0].unflatten(1, (count, width)).transpose(0, 1)


def _unrows(x: Tensor) -> Tensor:
    """[count, H, width, ...] as [1, H, count * width, ...]."""
    return x.transpose(0, 1).flatten(1, 2)[None]
