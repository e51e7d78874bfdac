"""Draw tokens by counter-based random numbers: one uniform for each (seed, row key, position).

A completion therefore does not depend on what else is in the batch, nor on the order in which rows were decoded.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import torch
from torch import Tensor

BLOCK = 128
"""The cumulative distribution is searched in two levels: over blocks of this many tokens, then inside one. Vocabularies
are often multiples of it, which saves a copy."""


def row_key(prompt: Sequence[int], occurrence: int, member: int) -> int:
    """A 63-bit key of one completion: its prompt's tokens, which copy of that prompt, which member of the group."""
    digest = hashlib.blake2b(digest_size=8)
    for number in (*prompt, -1 - occurrence, member):
        digest.update(int(number).to_bytes(8, "little", signed=True))
    return int.from_bytes(digest.digest(), "little") >> 1


def uniforms(seed: int, keys: Tensor, positions: Tensor) -> Tensor:
    """float64 in [0, 1), a function of (seed, key, position) alone; keys and positions int64 of one shape."""
    x = _mix(keys ^ _signed(seed * 0x9E3779B97F4A7C15))
    x = _mix(x + positions * _signed(0xD1B54A32D192ED03))
    return _shifted(x, 11).double() * 2.0**-53


def _mix(x: Tensor) -> Tensor:
    """SplitMix64's finaliser (Steele, Lea and Flood 2014); int64 arithmetic wraps as the unsigned one does."""
    x = (x ^ _shifted(x, 30)) * _signed(0xBF58476D1CE4E5B9)
    x = (x ^ _shifted(x, 27)) * _signed(0x94D049BB133111EB)
    return x ^ _shifted(x, 31)


def _shifted(x: Tensor, bits: int) -> Tensor:
    """Logical right shift of int64."""
    return (x >> bits) & ((1 << (64 - bits)) - 1)


def _signed(number: int) -> int:
    number &= (1 << 64) - 1
    return number - (1 << 64) if number >= 1 << 63 else number


def sample(
    logits: Tensor, uniform: Tensor, *, temperature: float, top_p: float = 1.0, top_k: int = 0
) -> tuple[Tensor, Tensor]:
    """Tokens [B] and their logprobs [B] under the distribution sampled from, for logits [B, V].

    ``temperature`` 0 takes the most likely token (its logprob then is that of temperature 1).
    """
    logits = logits.float()
    if temperature not in (0, 1):
        logits = logits / temperature
    if temperature:
        logits = restrict(logits, top_p, top_k)
    top = logits.amax(-1, keepdim=True)
    weights = (logits - top).exp_()
    tokens = inverse_cdf(weights, uniform) if temperature else logits.argmax(-1)
    # The weights are at hand: logsumexp would pass over the vocabulary several times more.
    total = weights.sum(-1, dtype=torch.float64).log().float()
    return tokens, (logits.gather(-1, tokens[:, None]) - top)[:, 0] - total


def inverse_cdf(weights: Tensor, uniform: Tensor) -> Tensor:
    """The first index where the cumulative sum of ``weights`` [B, V] (not normalised) exceeds ``uniform`` [B] of the
    total. A token of weight zero is never drawn."""
    padding = -weights.shape[1] % BLOCK
    whole = torch.nn.functional.pad(weights, (0, padding)) if padding else weights
    blocks = whole.unflatten(1, (-1, BLOCK))
    sums = blocks.sum(-1, dtype=torch.float64).cumsum(-1)
    goal = uniform * sums[:, -1]
    block = torch.searchsorted(sums, goal[:, None], right=True).clamp_(max=sums.shape[1] - 1)
    before = torch.where(block > 0, sums.gather(1, (block - 1).clamp_(min=0)), 0.0)
    inside = blocks.gather(1, block[..., None].expand(-1, -1, BLOCK))[:, 0].double().cumsum(-1)
    # Rounding may leave the goal at the block's very end: stay on the block's last token of positive weight.
    last = (inside < inside[:, -1:]).sum(-1, keepdim=True)
    offset = torch.searchsorted(inside, goal[:, None] - before, right=True).minimum(last)
    return (block * BLOCK + offset)[:, 0]


def restrict(logits: Tensor, top_p: float, top_k: int) -> Tensor:
    """Logits with what top-k and top-p leave out set to -inf; untouched where neither is asked for."""
    if 0 < top_k < logits.shape[-1]:
        kth = logits.topk(top_k).values[:, -1:]
        logits = logits.masked_fill(logits < kth, -torch.inf)
    if top_p < 1.0:
        ordered, order = logits.sort(descending=True)
        mass = ordered.softmax(-1).cumsum(-1)
        beyond = mass - ordered.softmax(-1) >= top_p
        logits = logits.masked_fill(beyond.scatter(1, order, beyond), -torch.inf)
    return logits
