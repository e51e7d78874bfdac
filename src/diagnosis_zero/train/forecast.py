"""What a step will need, by arithmetic alone: bytes and seconds by part, before any weight is loaded.

Needs no torch. ``forecast`` counts what the engine holds and computes for given sizes; how fast the machine multiplies
and reads memory is the caller's to measure (``Rates``). Tests hold it against what a step then takes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from diagnosis_zero.errors import InputError

Optimizer = Literal["adamw", "adamw-8bit"]

FP32 = 4
BASE_BYTES = 550_000_000
"""The interpreter with torch, transformers and their threads."""
HEAD_CHUNK = {"cpu": 128, "cuda": 2048}
"""Tokens whose distribution over the vocabulary is held at once (``engine.logprobs.CHUNK_TOKENS``)."""
OPTIMIZER_BYTES = 7 * FP32
"""AdamW reads a weight, its gradient and its moments, and writes all but the gradient."""
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
    """Moments in host memory."""
    lora_rank: int = 0
    """0: every weight is trained."""
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
    moments = round(trained * {"adamw": 2 * FP32, "adamw-8bit": 2 * (1 + FP32 / 256)}[work.optimizer])
    separate_masters = work.weight_bytes != FP32 and not work.lora_rank
    held = {
        "weights": model.parameters * work.weight_bytes + (trained * FP32 if work.lora_rank else 0),
        "master weights": trained * FP32 if separate_masters else 0,
        "moments": 0 if work.offload else moments,
        "reference": model.parameters * work.weight_bytes if work.kl and not work.lora_rank else 0,
        "base": BASE_BYTES,
    }
    gradients = trained * FP32
    head = _head_bytes(model, work)
    passing = {
        "rollout": _rollout_bytes(model, work),
        "update": gradients + head + _activation_bytes(model, work),
        "optimizer step": gradients + model.embedding_weights * FP32,
    }
    return Forecast(held, passing, {"moments": moments} if work.offload else {}, _seconds(model, work, rates))


def trained_parameters(model: ModelSize, work: Workload) -> int:
    """Weights that the optimizer steps: all, or the two thin matrices of LoRA beside each of a layer's seven."""
    if not work.lora_rank:
        return model.parameters
    q, kv = model.heads * model.head_width, model.kv_heads * model.head_width
    sides = 2 * (model.hidden + q) + 2 * (model.hidden + kv) + 3 * (model.hidden + model.intermediate)
    return model.layers * work.lora_rank * sides


def row_tokens(work: Workload) -> int:
    """Tokens of the fullest row of the update; a completion's last token is never fed."""
    group = work.prompt_tokens + work.group * (work.response_tokens - 1)
    return min(work.token_budget, work.prompts * group)


def _activation_bytes(model: ModelSize, work: Workload) -> int:
    """What the backward pass keeps of every token: all layers, or (checkpointing) their inputs and one layer whole."""
    kept = model.hidden * work.weight_bytes * model.layers if work.checkpointing else 0
    layers = 1 if work.checkpointing else model.layers
    return row_tokens(work) * (kept + layers * _layer_activation(model, work.weight_bytes))


def _layer_activation(model: ModelSize, width: int) -> int:
    """Bytes kept of one token in one layer: in and out of both norms; queries, keys, values and what attention gives,
    twice (as it leaves the kernel and as the projection reads it); gate and up (``engine.lean``)."""
    q, kv = model.heads * model.head_width, model.kv_heads * model.head_width
    return width * (4 * model.hidden + 3 * q + 2 * kv + 2 * model.intermediate)


def _head_bytes(model: ModelSize, work: Workload) -> int:
    chunk = HEAD_CHUNK[work.device] * model.vocabulary * FP32 * HEAD_COPIES
    return chunk + (0 if work.lora_rank else model.embedding_weights * FP32)


def _rollout_bytes(model: ModelSize, work: Workload) -> int:
    """Keys and values: every prompt once, every completion's own; the logits of one token of each; on the CPU the
    weights as oneDNN packs them (``engine.decoder``)."""
    per_token = 2 * model.layers * model.kv_heads * model.head_width * work.weight_bytes
    completions = work.prompts * work.group
    tokens = work.prompts * work.prompt_tokens + completions * work.response_tokens
    packed = model.parameters * FP32 if work.device == "cpu" and work.weight_bytes == FP32 else 0
    return packed + tokens * per_token + completions * model.vocabulary * FP32 * HEAD_COPIES


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
    return {
        "prefill": 2 * body * prompt_tokens * a_pass,
        "decode": work.response_tokens * (max(multiplied, weights_read) + model.layers * reached.layer_seconds),
        "reference": forward * a_pass if work.kl else 0.0,
        "forward and backward": forward * (4 if work.checkpointing else 3) * a_pass,
        "optimizer": trained_parameters(model, work) * OPTIMIZER_BYTES / rates.bytes_per_second,
    }


def _attention_flops(model: ModelSize, work: Workload) -> int:
    """Scores and weighted values of one forward pass: prompt causal, completions against prompt and themselves."""
    prompt, response = work.prompt_tokens, work.response_tokens
    pairs = prompt * prompt // 2 + work.group * (response * prompt + response * response // 2)
    return work.prompts * model.layers * 4 * model.heads * model.head_width * pairs
