"""Memory, time and disk of a run from the model's shape and the recipe's numbers: arithmetic, nothing measured.

Memory counts what the engine and the optimizer hold (``engine.logprobs``, ``engine.cache``, ``train.optimizer``); time
counts products and reads of the weights. Attention over long rows is left out of both.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from diagnosis_zero.engine.generate import MAX_ROWS
from diagnosis_zero.engine.logprobs import CHUNK_TOKENS

FP32 = 4
LAYER_SECONDS = 4e-4
"""What one layer of one decode step costs at least, however small it is: a dozen calls into torch."""


@dataclass(frozen=True, slots=True)
class Shape:
    """A decoder: ``width`` bytes a number while computing; ``kv`` numbers of keys (or values) a token and layer."""

    parameters: int
    layers: int
    hidden: int
    inner: int
    kv: int
    vocabulary: int
    width: int

    @classmethod
    def of(cls, config: Any, parameters: int, width: int) -> Shape:
        """From a Hugging Face config."""
        head = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
        return cls(
            parameters=parameters,
            layers=config.num_hidden_layers,
            hidden=config.hidden_size,
            inner=config.intermediate_size,
            kv=config.num_key_value_heads * head,
            vocabulary=config.vocab_size,
            width=width,
        )


@dataclass(frozen=True, slots=True)
class Work:
    """One step: ``prompts`` groups of ``group`` completions, in rows of at most ``row_tokens``."""

    prompts: int
    group: int
    prompt_tokens: int
    completion_tokens: int
    row_tokens: int
    checkpointing: bool
    reference: bool
    minibatches: int
    device: str

    @property
    def completions(self) -> int:
        return self.prompts * self.group

    @property
    def tokens(self) -> int:
        """Fed in one pass over the step: every prompt once."""
        return self.prompts * self.prompt_tokens + self.completions * self.completion_tokens


@dataclass(frozen=True, slots=True)
class Rates:
    """How fast a machine multiplies (floating-point operations a second) and reads weights (bytes a second)."""

    flops: float
    bandwidth: float


def memory(shape: Shape, work: Work) -> dict[str, int]:
    """Bytes at the peak, by what they are for. Rollout and update do not overlap: the larger of them counts."""
    parameters, low = shape.parameters, shape.width < FP32
    held = {
        "master weights": FP32 * parameters,
        "optimizer moments": 2 * FP32 * parameters,
        "compute copy": shape.width * parameters if low else 0,
        "reference model": shape.width * parameters if work.reference else 0,
    }
    update = {
        "gradients": (FP32 + (shape.width if low else 0)) * parameters,
        "gradient of the head": FP32 * shape.vocabulary * shape.hidden,
        "activations": _activations(shape, work),
        "logits of a chunk": 3 * FP32 * min(CHUNK_TOKENS[work.device], work.row_tokens) * shape.vocabulary,
    }
    rollout = {
        "key-value cache": _cache(shape, work),
        "logits of a chunk": 3 * FP32 * min(MAX_ROWS, work.completions) * shape.vocabulary,
    }
    return held | max(update, rollout, key=lambda parts: sum(parts.values()))


def _activations(shape: Shape, work: Work) -> int:
    """What the backward pass needs of one row: all layers, or (checkpointing) their inputs and one layer."""
    layer = shape.width * (8 * shape.hidden + 2 * shape.kv + 4 * shape.inner) + 4 * FP32 * shape.hidden
    tokens = min(work.row_tokens, work.tokens)
    if work.checkpointing:
        return tokens * (shape.layers * shape.width * shape.hidden + layer)
    return tokens * shape.layers * layer


def _cache(shape: Shape, work: Work) -> int:
    rows = min(MAX_ROWS, work.completions)
    prompts = math.ceil(rows / work.group) * work.prompt_tokens
    return 2 * shape.width * shape.layers * shape.kv * (prompts + rows * work.completion_tokens)


def step_seconds(shape: Shape, work: Work, rates: Rates) -> float:
    """Seconds of one step, with completions half as long as they may be."""
    half = work.completion_tokens / 2
    tokens = work.prompts * work.prompt_tokens + work.completions * half
    passes = 3 + work.checkpointing + work.reference + (work.minibatches > 1)
    update = 2 * shape.parameters * tokens * passes / rates.flops
    rows = min(MAX_ROWS, work.completions)
    read = shape.width * shape.parameters / rates.bandwidth + LAYER_SECONDS * shape.layers
    decode = max(read, 2 * shape.parameters * rows / rates.flops) * half * math.ceil(work.completions / MAX_ROWS)
    prefill = 2 * shape.parameters * work.prompts * work.prompt_tokens / rates.flops
    return update + decode + prefill


def disk_bytes(shape: Shape, *, steps: int, every: int, keep: int) -> int:
    """Bytes of the checkpoints when the run ends: the newest ``keep`` and the best whole, one being written, of all
    others the weights."""
    written = 1 + math.ceil(steps / every)
    whole = min(written, keep + 2)
    weights, state = shape.width * shape.parameters, 3 * FP32 * shape.parameters
    return written * weights + whole * state
