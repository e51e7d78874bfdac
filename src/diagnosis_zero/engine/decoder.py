"""One decode step on the CPU, several times quicker than the model's own forward and equal to it.

A step of few rows does little arithmetic: it streams the weights and starts many small operations. So the projections
that read the same input are one matrix, every matrix is stored the way oneDNN reads it (packed once a rollout, freed
after it), and the residual is added inside the product (measured: ``benchmarks/NOTES.md``).

A LoRA adapter is added to the weights as they are packed. The model's own forward is used in bf16 with an adapter or on
a processor without instructions for it (oneDNN packs it only with AVX-512), and for models whose projections are no
linear layers. CUDA has ``static.py``, which takes its layers from here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

import torch
from torch import Tensor, nn

from diagnosis_zero.engine import lora
from diagnosis_zero.engine.attention import Layout
from diagnosis_zero.engine.cache import DecodeCache
from diagnosis_zero.engine.logprobs import exact_head, head_weight, logits

Project = Callable[[Tensor], Tensor]
AddedProject = Callable[[Tensor, Tensor], Tensor]
"""(x, residual) -> x W + b + residual."""
Logits = Callable[[DecodeCache, Sequence[int]], Tensor]
"""(cache, last token of every active row) -> fp32 logits [rows, V] of the next."""

PROJECTIONS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


def decoder(model: Any, rows: int) -> Logits:
    """The quickest way to decode about ``rows`` rows at once with this model as it is now."""
    rounds_adapter = lora.is_adapted(model) and model.dtype != torch.float32  # what it has learnt is below an ulp
    if model.device.type == "cpu" and is_plain(model) and packs(model.dtype) and not rounds_adapter:
        return _PackedDecoder(model, rows)
    return _ModelDecoder(model)


@cache
def packs(dtype: torch.dtype) -> bool:
    """Whether oneDNN stores weights of this type in its own layout on this processor."""
    if not torch.backends.mkldnn.is_available():
        return False
    try:
        _pack(torch.ones(8, 8, dtype=dtype), 1)
    except RuntimeError:  # its only way to say no
        return False
    return True


def is_plain(model: Any) -> bool:
    """Whether every projection is a linear layer, or one with an adapter beside it."""
    found = (m for name, m in model.model.named_modules() if name.rpartition(".")[2] in PROJECTIONS)
    return all(type(module) is nn.Linear or lora.has_adapter(module) for module in found)


class _ModelDecoder:
    """The model's own forward."""

    def __init__(self, model: Any) -> None:
        self.model, self.head = model, exact_head(head_weight(model).detach())

    def __call__(self, cache: DecodeCache, tokens: Sequence[int]) -> Tensor:
        positions = cache.begin_step()
        ids = torch.tensor(tokens, device=positions.device)[:, None]
        hidden = self.model.model(input_ids=ids, position_ids=positions, layout=cache, use_cache=False)
        cache.end_step()
        return logits(hidden.last_hidden_state[:, 0], self.head)


class _PackedDecoder:
    """The same computation for the families of ``model.FAMILIES``, layer by layer, over packed weights."""

    def __init__(self, model: Any, rows: int) -> None:
        self.base = model.model
        self.layers = [
            Layer.of(layer, partial(_joined, rows=rows), partial(_AddedProjection, rows=rows))
            for layer in self.base.layers
        ]
        self.head = _packed([exact_head(head_weight(model))], [None], rows)

    def __call__(self, cache: DecodeCache, tokens: Sequence[int]) -> Tensor:
        positions = cache.begin_step()
        x = self.base.embed_tokens(torch.tensor(tokens))
        rotation = self.base.rotary_emb(x, positions)
        for index, layer in enumerate(self.layers):
            x = layer.forward(index, x, rotation, cache)
        cache.end_step()
        return self.head(normed(self.base.norm, x).float())


@dataclass(frozen=True, slots=True)
class Layer:
    """One decoder layer for one new token a row; ``module`` is the model's own, asked for its norms and activation."""

    module: Any
    qkv: Project
    out: AddedProject
    gate_up: Project
    down: AddedProject

    @classmethod
    def of(
        cls, module: Any, joined: Callable[[Sequence[nn.Linear]], Project], added: Callable[[nn.Linear], AddedProject]
    ) -> Layer:
        """``joined`` makes one product of projections of the same input, ``added`` one with the residual inside."""
        attention, mlp = module.self_attn, module.mlp
        return cls(
            module,
            joined([attention.q_proj, attention.k_proj, attention.v_proj]),
            added(attention.o_proj),
            joined([mlp.gate_proj, mlp.up_proj]),
            added(mlp.down_proj),
        )

    def forward(self, index: int, x: Tensor, rotation: tuple[Tensor, Tensor], layout: Layout) -> Tensor:
        """x [rows, hidden] after this layer."""
        module = self.module
        q, k, v = self._heads(self.qkv(normed(module.input_layernorm, x)), rotation)
        attended = layout.attend(index, q, k, v, module.self_attn.scaling)
        x = self.out(attended.flatten(1), x)
        gate, up = self.gate_up(normed(module.post_attention_layernorm, x)).chunk(2, dim=-1)
        return self.down(module.mlp.act_fn(gate).mul_(up), x)

    def _heads(self, qkv: Tensor, rotation: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        """Rotated queries [rows, Hq, 1, D] and keys, and values [rows, Hkv, 1, D]."""
        attention = self.module.self_attn
        width = attention.head_dim
        heads, kv_heads = attention.q_proj.out_features // width, attention.k_proj.out_features // width
        split = qkv.view(len(qkv), -1, width)
        qk = split[:, : heads + kv_heads]
        if hasattr(attention, "q_norm"):  # Qwen3
            qk = torch.cat([normed(attention.q_norm, qk[:, :heads]), normed(attention.k_norm, qk[:, heads:])], dim=1)
        rotated = _rotated(qk, *rotation)[:, :, None]
        return rotated[:, :heads], rotated[:, heads:], split[:, heads + kv_heads :, None]


def normed(norm: Any, x: Tensor) -> Tensor:
    """RMSNorm by one call instead of seven."""
    return nn.functional.rms_norm(x, norm.weight.shape, norm.weight, norm.variance_epsilon)


def _rotated(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """x [rows, heads, D] at the angles [rows, 1, D]."""
    first, second = x.chunk(2, dim=-1)
    return (x * cos).addcmul_(torch.cat((-second, first), dim=-1), sin)


class _AddedProjection:
    """x W + b + other, for ``other`` a residual."""

    def __init__(self, linear: nn.Linear, rows: int) -> None:
        self.weight, self.bias = _pack(lora.weight_of(linear), rows), linear.bias

    def __call__(self, x: Tensor, other: Tensor) -> Tensor:
        added: Tensor = torch.ops.mkldnn._linear_pointwise.binary(x, other, self.weight, self.bias, "add")
        return added


def _joined(linears: Sequence[nn.Linear], rows: int) -> Project:
    return _packed([lora.weight_of(linear) for linear in linears], [linear.bias for linear in linears], rows)


def _packed(weights: Sequence[Tensor], biases: Sequence[Tensor | None], rows: int) -> Project:
    """One product with the weights stacked, in oneDNN's own layout."""
    weight = _pack(torch.cat(list(weights)) if len(weights) > 1 else weights[0], rows)
    bias = stacked(biases)

    def project(x: Tensor) -> Tensor:
        projected: Tensor = torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")
        return projected

    return project


def stacked(biases: Sequence[Tensor | None]) -> Tensor | None:
    """The biases of joined projections, which all have one or none."""
    given = [bias.detach() for bias in biases if bias is not None]
    return torch.cat(given) if given else None


def _pack(weight: Tensor, rows: int) -> Tensor:
    packed: Tensor = torch.ops.mkldnn._reorder_linear_weight(weight.detach(), rows)
    return packed
