"""AdamW whose two moments take one byte a weight each, instead of four.

Both are kept in blocks of 256 numbers beside the block's largest (Dettmers et al. 2022, "8-bit Optimizers via
Block-wise Quantization"). The mean is a signed square root in 127 steps, rounded to the nearest. The mean square is
a power of two in tenths: Adam divides by its root, so what counts is the ratio. It is rounded at random, up or down
in proportion: its steps are 7 %, and at a beta of 0.999 the nearest would never be another one.

The arithmetic is that of AdamW in float32, over a piece at a time, without a compiler. The random numbers follow from
the step (every piece is rounded by the same ones), so that a resumed run draws the same.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import torch
from torch import Tensor

BLOCK = 256
PIECE = {"cpu": 1 << 18, "cuda": 1 << 24}
"""Numbers computed at once: on a CPU they should stay in the cache, on a GPU a dozen copies of them take little."""
ROOTS = 127
"""Steps of the mean's square root, on either side of zero."""
OCTAVE = 10
"""Codes for each factor of two of the mean square: 255 of them reach down to 5e-8 of the block's largest."""
EPS = 1e-8
TINY = torch.finfo(torch.float32).tiny


class AdamW8bit:
    """As ``torch.optim.AdamW`` for ``step``, ``param_groups``, ``state_dict`` and ``load_state_dict``."""

    def __init__(self, groups: Sequence[Mapping[str, Any]], *, lr: float, betas: tuple[float, float]) -> None:
        self.param_groups: list[dict[str, Any]] = [{"lr": lr, "betas": betas, **group} for group in groups]
        self.steps = 0
        self.moments = [_zeros(parameter) for group in self.param_groups for parameter in group["params"]]

    @torch.no_grad()
    def step(self) -> None:
        """One update of every parameter from its gradient."""
        self.steps += 1
        draws = {device: _draws(self.steps, device) for device in self._devices()}
        moments = iter(self.moments)
        for group in self.param_groups:
            for parameter in group["params"]:
                self._step_one(parameter, next(moments), group, draws[parameter.device])

    def _devices(self) -> set[torch.device]:
        return {parameter.device for group in self.param_groups for parameter in group["params"]}

    def zero_grad(self, set_to_none: bool = True) -> None:
        for group in self.param_groups:
            for parameter in group["params"]:
                parameter.grad = None

    def _step_one(
        self, parameter: Tensor, moments: Mapping[str, Tensor], group: Mapping[str, Any], draws: Tensor
    ) -> None:
        assert parameter.grad is not None
        weights, gradient = parameter.view(-1), parameter.grad.reshape(-1)
        size = PIECE[parameter.device.type]
        for start in range(0, len(weights), size):
            blocks = slice(start // BLOCK, (start + size) // BLOCK)
            own = {name: kept[blocks] for name, kept in moments.items()}
            change = self._change(_in_blocks(gradient[start : start + size]), own, group["betas"], draws)
            piece = weights[start : start + size]
            piece.mul_(1 - group["lr"] * group["weight_decay"]).sub_(change.view(-1)[: len(piece)], alpha=group["lr"])

    def _change(
        self, gradient: Tensor, moments: Mapping[str, Tensor], betas: tuple[float, float], draws: Tensor
    ) -> Tensor:
        """Adam's direction [blocks, BLOCK] from the moments with the new gradient in them; writes them back."""
        mean = mean_of(moments["mean"], moments["mean_scale"]).lerp_(gradient, 1 - betas[0])
        square = square_of(moments["square"], moments["square_scale"])
        square.mul_(betas[1]).addcmul_(gradient, gradient, value=1 - betas[1])
        _store(moments["mean"], moments["mean_scale"], mean_codes(mean))
        _store(moments["square"], moments["square_scale"], square_codes(square, draws[: len(square)]))
        size = square.sqrt_().div_(math.sqrt(1 - betas[1] ** self.steps)).add_(EPS)
        return mean.div_(1 - betas[0] ** self.steps).div_(size)

    def state_dict(self) -> dict[str, Any]:
        return {"steps": self.steps, "moments": self.moments}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.steps = int(state["steps"])
        for mine, saved in zip(self.moments, state["moments"], strict=True):
            for name, kept in mine.items():
                kept.copy_(saved[name])


def mean_codes(mean: Tensor) -> tuple[Tensor, Tensor]:
    """int8 codes [blocks, BLOCK] and scales [blocks, 1] of a signed moment."""
    scale = torch.linalg.vector_norm(mean, torch.inf, dim=-1, keepdim=True)
    share = mean / scale.clamp_min(TINY)
    return share.abs().sqrt_().mul_(ROOTS).round_().copysign_(share).to(torch.int8), scale


def mean_of(codes: Tensor, scale: Tensor) -> Tensor:
    """What ``mean_codes`` stands for."""
    roots = codes.float()
    return roots.mul_(roots.abs()).mul_(scale / ROOTS**2)


def square_codes(square: Tensor, draws: Tensor) -> tuple[Tensor, Tensor]:
    """uint8 codes and scales of a moment that is not negative, rounded by ``draws``, uniform in [0, 1). 0 stands for
    zero alone, so that nothing else divides by it."""
    scale = square.amax(-1, keepdim=True)
    exact = (square / scale.clamp_min(TINY)).log2_().mul_(OCTAVE).add_(255)
    return exact.add_(draws).floor_().clamp_(1, 255).mul_(square > 0).to(torch.uint8), scale


def square_of(codes: Tensor, scale: Tensor) -> Tensor:
    """What ``square_codes`` stands for."""
    return _squares(codes.device)[codes.int()].mul_(scale)


@cache
def _squares(device: torch.device) -> Tensor:
    """Of every code, as shares of the scale."""
    shares = torch.arange(-255, 1, device=device).div(OCTAVE).exp2()
    shares[0] = 0
    return shares


def _draws(step: int, device: torch.device) -> Tensor:
    """Uniform numbers [blocks of a piece, BLOCK]."""
    generator = torch.Generator(device).manual_seed(step)
    return torch.rand(PIECE[device.type] // BLOCK, BLOCK, generator=generator, device=device)


def _store(codes: Tensor, scales: Tensor, fresh: tuple[Tensor, Tensor]) -> None:
    codes.copy_(fresh[0])
    scales.copy_(fresh[1])


def _zeros(parameter: Tensor) -> dict[str, Tensor]:
    blocks = math.ceil(parameter.numel() / BLOCK)
    new = parameter.new_zeros
    return {
        "mean": new(blocks, BLOCK, dtype=torch.int8),
        "mean_scale": new(blocks, 1),
        "square": new(blocks, BLOCK, dtype=torch.uint8),
        "square_scale": new(blocks, 1),
    }


def _in_blocks(numbers: Tensor) -> Tensor:
    """[blocks, BLOCK], the last one filled up with zeros."""
    return torch.nn.functional.pad(numbers, (0, -len(numbers) % BLOCK)).view(-1, BLOCK)
