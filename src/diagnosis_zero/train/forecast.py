"""What a step will need, by arithmetic alone: bytes and seconds by part, before any weight is loaded.

Needs no torch. ``forecast`` counts what the engine holds and computes for given sizes; how fast the machine multiplies
and reads memory is the caller's to measure (``Rates``). Tests hold it against what a step then takes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from diagnosis_zero.errors import InputError

Optimizer = Literal["adamw", "adamw8bit"]

FP32 = 4
BASE_BYTES = 550_000_000
"""The interpreter with torch, transformers and their threads."""
HEAD_CHUNK = {"cpu": 128, "cuda": 2048}
"""Tokens whose distribution over the vocabulary is held at once (``engine.logprobs.CHUNK_TOKENS``)."""
OPTIMIZER_BYTES: dict[Optimizer, int] = {"adamw": 7 * FP32, "adamw8bit": 300}
"""Of memory moved for each weight. AdamW reads a weight, its gradient and its moments, and writes all but the gradient;
with 8 bits the codes are computed in many passes: measured on the CPU, as bytes."""
MOMENT_BYTES: dict[Optimizer, float] = {"adamw": 2 * FP32, "adamw8bit": 2 * (1 + FP32 / 256)}
"""Held for each weight: two numbers, or two codes and their blocks' scales (``train.lowbit``)."""
PIECE_BYTES = {"cpu": 12 * FP32 << 18, "cuda": 12 * FP32 << 24}
"""What a step with 8 bits computes with at once: about a dozen copies of a piece (``train.lowbit.PIECE``)."""
PROJECTIONS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
HEAD_COPIES = 3
"""Logits, logprobs and a working copy of one chunk."""


@dataclass(frozen=True, slots=True)
class Reached:
    """What of the machine's rates a step reaches."""

    passes: float
    """Share of the matrix rate in prefill, forward and backward: the rest is attention's and the elementwise work."""
    decode: float
    """Share of it in a decode step, whose matrices have few rows."""
    layer_seconds: float
    """A decode step's fixed cost of each layer: attention, norms, and starting them."""


REACHED = {
    # Fitted on two cores of an EPYC (AVX2), SmolLM2-135M in float32, both shapes of benchmarks/results/step.json.
    "cpu": Reached(passes=0.74, decode=0.35, layer_seconds=0.7e-3),
    # Not measured: no GPU was at hand. A decode step waits for Python there.
    "cuda": Reached(passes=0.5, decode=0.5, layer_seconds=1.0e-3),
}


@dataclass(frozen=True, slots=True)
class ModelSize:
    """The sizes of a Llama-like decoder. ``tied``: the head is the embedding."""

    layers: int
    hidden: int
    intermediate: int
    heads: int
    kv_heads: int
    head_width: int
    vocabulary: int
    tied: bool

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> ModelSize:
        """From a model's ``config.json``.

        Raises:
            InputError: a size is missing.
        """
        try:
            heads = int(config["num_attention_heads"])
            return cls(
                layers=int(config["num_hidden_layers"]),
                hidden=int(config["hidden_size"]),
                intermediate=int(config["intermediate_size"]),
                heads=heads,
                kv_heads=int(config.get("num_key_value_heads") or heads),
                head_width=int(config.get("head_dim") or config["hidden_size"] // heads),
                vocabulary=int(config["vocab_size"]),
                tied=bool(config.get("tie_word_embeddings", False)),
            )
        except KeyError as error:
            raise InputError(f"config.json of the model lacks {error.args[0]!r}") from error

    @property
    def layer_weights(self) -> int:
        """Parameters of one layer's matrices."""
        attention = self.hidden * self.head_width * (2 * self.heads + 2 * self.kv_heads)
        return attention + 3 * self.hidden * self.intermediate

    @property
    def embedding_weights(self) -> int:
        return self.vocabulary * self.hidden

    @property
    def parameters(self) -> int:
        """All of them, but for norms and biases (under 0.1 %)."""
        return self.layers * self.layer_weights + self.embedding_weights * (1 if self.tied else 2)


@dataclass(frozen=True, slots=True)
class Workload:
    """One step and how it is trained; tokens are those of the longest prompt and completion for memory to suffice."""

    prompts: int
    prompt_tokens: int
    group: int
    response_tokens: int
    token_budget: int
    """Tokens of one forward pass of the update (``train.micro_batch_tokens``)."""
    weight_bytes: int = 2
    """Of one weight in the compute type: 4 float32, 2 bfloat16. Not 4: float32 master weights are held beside."""
    checkpointing: bool = False
    kl: bool = False
    """A reference model is held and passed over (with LoRA it is the policy without its adapter)."""
    optimizer: Optimizer = "adamw"
    offload: bool = False
    """Masters, their gradients and the moments in host memory; on the CPU all is there already."""
    lora_rank: int = 0
    """0: every weight is trained."""
    lora_targets: tuple[str, ...] = PROJECTIONS
    """The projections that have an adapter."""
    device: Literal["cpu", "cuda"] = "cuda"


@dataclass(frozen=True, slots=True)
class Rates:
    """What the machine does: multiply-adds count as two operations."""

    flops: float
    """Matrix products in the compute type, per second."""
    bytes_per_second: float
    """Reading memory."""


@dataclass(frozen=True, slots=True)
class Forecast:
    """Bytes and seconds by part. ``rollout``, ``update`` and ``optimizer step`` do not overlap: the largest counts."""

    held: Mapping[str, int]
    """On the device throughout: weights, masters, moments, reference, base."""
    passing: Mapping[str, int]
    """On the device during one phase."""
    host: Mapping[str, int]
    """In host memory beside a GPU; empty on the CPU."""
    seconds: Mapping[str, float]
    """Rollout: prefill and decode; update: reference, forward and backward; optimizer."""

    @property
    def peak_bytes(self) -> int:
        return sum(self.held.values()) + max(self.passing.values())

    @property
    def step_seconds(self) -> float:
        return sum(self.seconds.values())


def forecast(model: ModelSize, work: Workload, rates: Rates) -> Forecast:
    """Memory and time of one step, optimizer included."""
    trained = trained_parameters(model, work)
    adapter = trained if work.lora_rank else 0
    offload = work.offload and work.device == "cuda"
    stepped = {  # lies where the optimizer computes
        "master weights": trained * FP32 if work.weight_bytes != FP32 or offload else 0,
        "moments": round(trained * MOMENT_BYTES[work.optimizer]),
    }
    held = {
        "weights": (model.parameters + adapter) * work.weight_bytes,
        **({} if offload else stepped),
        "reference": model.parameters * work.weight_bytes if work.kl and not work.lora_rank else 0,
        "base": BASE_BYTES,
    }
    gradients = trained * FP32
    on_device = 0 if offload else gradients
    # Freed after the rollout, the packed weights leave gaps that fit gradients of their sizes and nothing larger.
    left = max(0, _packed_bytes(model, work) - gradients)
    scratch = PIECE_BYTES[work.device] if work.optimizer == "adamw8bit" else 0
    passing = {
        "rollout": _rollout_bytes(model, work),
        "update": on_device + left + _head_bytes(model, work) + _activation_bytes(model, work),
        "optimizer step": on_device + (0 if offload else scratch) + largest_trained(model, work) * FP32,
    }
    host = {**stepped, "gradients": gradients} if offload else {}
    return Forecast(held, passing, host, _seconds(model, work, rates))


def trained_parameters(model: ModelSize, work: Workload) -> int:
    """Weights that the optimizer steps: all, or the two thin matrices of LoRA beside each of a layer's targets."""
    if not work.lora_rank:
        return model.parameters
    sides = _projection_sides(model)
    return model.layers * work.lora_rank * sum(sum(sides[target]) for target in work.lora_targets)


def largest_trained(model: ModelSize, work: Workload) -> int:
    """Numbers of the largest tensor that is stepped."""
    if not work.lora_rank:
        return model.embedding_weights
    return work.lora_rank * max(max(side) for side in _projection_sides(model).values())


def _projection_sides(model: ModelSize) -> dict[str, tuple[int, int]]:
    """What each of a layer's matrices takes and gives."""
    q, kv = model.heads * model.head_width, model.kv_heads * model.head_width
    hidden, inner = model.hidden, model.intermediate
    sides = [(hidden, q), (hidden, kv), (hidden, kv), (q, hidden), (hidden, inner), (hidden, inner), (inner, hidden)]
    return dict(zip(PROJECTIONS, sides, strict=True))


def row_tokens(work: Workload) -> int:
    """Tokens of the fullest row of the update; a completion's last token is never fed."""
    group = work.prompt_tokens + work.group * (work.response_tokens - 1)
    return min(work.token_budget, work.prompts * group)


def _activation_bytes(model: ModelSize, work: Workload) -> int:
    """What the backward pass keeps of every token: all layers, or (checkpointing) their inputs and one layer whole."""
    kept = model.hidden * work.weight_bytes * model.layers if work.checkpointing else 0
    layers = 1 if work.checkpointing else model.layers
    return row_tokens(work) * (kept + layers * _layer_activation(model, work))


def _layer_activation(model: ModelSize, work: Workload) -> int:
    """Bytes kept of one token in one layer: in and out of both norms; queries, keys, values and what attention gives,
    twice (as it leaves the kernel and as the projection reads it); gate and up (``engine.lean``). An adapter at the
    MLP's way out keeps what is between too, and every adapter its few numbers."""
    q, kv = model.heads * model.head_width, model.kv_heads * model.head_width
    inner = 4 if work.lora_rank and "down_proj" in work.lora_targets else 2
    thin = work.lora_rank * len(work.lora_targets)
    return work.weight_bytes * (4 * model.hidden + 3 * q + 2 * kv + inner * model.intermediate + thin)


def _head_bytes(model: ModelSize, work: Workload) -> int:
    """A chunk's distributions; the gradient of the head, in float32 and as it waits in the weights' own type."""
    chunk = HEAD_CHUNK[work.device] * model.vocabulary * FP32 * HEAD_COPIES
    if work.lora_rank:
        return chunk
    return chunk + model.embedding_weights * (FP32 if work.weight_bytes == FP32 else FP32 + work.weight_bytes)


def _rollout_bytes(model: ModelSize, work: Workload) -> int:
    """Keys and values: every prompt once, every completion's own; the logits of one token of each; packed weights."""
    per_token = 2 * model.layers * model.kv_heads * model.head_width * work.weight_bytes
    completions = work.prompts * work.group
    tokens = work.prompts * work.prompt_tokens + completions * work.response_tokens
    return _packed_bytes(model, work) + tokens * per_token + completions * model.vocabulary * FP32 * HEAD_COPIES


def _packed_bytes(model: ModelSize, work: Workload) -> int:
    """Copies of the weights that decode makes: on the CPU all of them, as oneDNN packs them, and the head's in float32
    (``engine.decoder``; in bf16 where the processor has it); on CUDA the projections that are joined
    (``engine.static``), unless an adapter stands beside them."""
    if work.device == "cpu":
        return (model.parameters - model.embedding_weights) * work.weight_bytes + model.embedding_weights * FP32
    q, kv = model.heads * model.head_width, model.kv_heads * model.head_width
    joined = model.layers * model.hidden * (q + 2 * kv + 2 * model.intermediate)
    return 0 if work.lora_rank else joined * work.weight_bytes


def _seconds(model: ModelSize, work: Workload, rates: Rates) -> dict[str, float]:
    body, head = model.layers * model.layer_weights, model.embedding_weights
    completions = work.prompts * work.group
    written = completions * work.response_tokens
    prompt_tokens = work.prompts * work.prompt_tokens
    unique = prompt_tokens + completions * (work.response_tokens - 1)
    forward = 2 * (body * unique + head * written) + _attention_flops(model, work)
    reached = REACHED[work.device]
    weights_read = (body + head) * work.weight_bytes / rates.bytes_per_second
    multiplied = 2 * (body + head) * completions / (reached.decode * rates.flops)
    a_pass = 1 / (reached.passes * rates.flops)
    passes = (2 if work.lora_rank else 3) + work.checkpointing  # frozen weights want no gradient of their own
    moved = trained_parameters(model, work) * OPTIMIZER_BYTES[work.optimizer]
    return {
        "prefill": 2 * body * prompt_tokens * a_pass,
        "decode": work.response_tokens * (max(multiplied, weights_read) + model.layers * reached.layer_seconds),
        "reference": forward * a_pass if work.kl else 0.0,
        "forward and backward": forward * passes * a_pass,
        "optimizer": moved / rates.bytes_per_second,
    }


def _attention_flops(model: ModelSize, work: Workload) -> int:
    """Scores and weighted values of one forward pass: prompt causal, completions against prompt and themselves."""
    prompt, response = work.prompt_tokens, work.response_tokens
    pairs = prompt * prompt // 2 + work.group * (response * prompt + response * response // 2)
    return work.prompts * model.layers * 4 * model.heads * model.head_width * pairs
