"""RMSNorm and the gated MLP with less kept for the backward pass: a third of a training step's activations.

PyTorch keeps the output of every elementwise operation that a gradient may want: of a Llama-like layer four tensors of
the intermediate width and six of the hidden one. Two of each suffice, the rest is cheap to compute again. The forward
values are those of the model's own modules to the last bit; the gradients are the same formulas in another order.
"""

from __future__ import annotations

from collections.abc import Callable
from types import MethodType
from typing import Any

import torch
from torch import Tensor, nn


def make_lean(model: Any) -> None:
    """Give the model's norms and MLPs the forward methods of this module. May be called again."""
    for module in model.model.modules():
        if type(module).__name__.endswith("RMSNorm") and hasattr(module, "variance_epsilon"):
            module.forward = MethodType(_norm_forward, module)
        elif type(module).__name__.endswith("MLP") and model.config.hidden_act == "silu":
            module.forward = MethodType(_mlp_forward, module)


def _norm_forward(self: Any, hidden_states: Tensor) -> Tensor:
    norm: Callable[..., Tensor] = _RmsNorm.apply
    return norm(hidden_states, self.weight, self.variance_epsilon)


def _mlp_forward(self: Any, x: Tensor) -> Tensor:
    gate, up, down = self.gate_proj(x), self.up_proj(x), self.down_proj
    if type(down) is not nn.Linear or down.bias is not None:  # LoRA, say
        own: Tensor = down(self.act_fn(gate) * up)
        return own
    gated: Callable[..., Tensor] = _GatedDown.apply
    return gated(gate, up, down.weight)


class _RmsNorm(torch.autograd.Function):
    """weight * x / rms(x), fp32 inside. Keeps x and one number a token."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, eps: float) -> Tensor:
        wide = x.float()
        inverse = torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + eps)
        ctx.save_for_backward(x, weight, inverse)
        return weight * (wide * inverse).to(x.dtype)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor | None, None]:
        x, weight, inverse = ctx.saved_tensors
        normed = x.float() * inverse
        fresh = grads[0].float()
        along = tuple(range(x.dim() - 1))
        d_weight = (fresh * normed).sum(along).to(weight.dtype) if ctx.needs_input_grad[1] else None
        fresh = fresh * weight
        shrink = (fresh * normed).mean(-1, keepdim=True)
        d_x = fresh.sub_(normed.mul_(shrink)).mul_(inverse)
        return d_x.to(x.dtype), d_weight, None


class _GatedDown(torch.autograd.Function):
    """(silu(gate) * up) W^T. Keeps gate and up; their product is computed again."""

    @staticmethod
    def forward(ctx: Any, gate: Tensor, up: Tensor, weight: Tensor) -> Tensor:
        ctx.save_for_backward(gate, up, weight)
        return nn.functional.linear(nn.functional.silu(gate).mul_(up), weight)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
        gate, up, weight = ctx.saved_tensors
        d_out = grads[0]
        active = nn.functional.silu(gate)
        d_weight = None
        if ctx.needs_input_grad[2]:
            d_weight = d_out.flatten(0, -2).T @ (active * up).flatten(0, -2)
        d_product = d_out @ weight
        d_up = active.mul_(d_product)
        return torch.ops.aten.silu_backward(d_product.mul_(up), gate), d_up, d_weight
