"""A checkpoint as a folder that transformers and vLLM load by themselves, checked by loading it so."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig, LlamaConfig, LlamaForCausalLM
from transformers.models.qwen2.tokenization_qwen2 import Qwen2Tokenizer

from diagnosis_zero.engine import lora
from diagnosis_zero.engine.generate import encode_chat
from diagnosis_zero.engine.model import load_tokenizer
from diagnosis_zero.errors import InputError
from diagnosis_zero.types import Chat

SHARD = "5GB"
TOLERANCE = {torch.float32: 1e-4, torch.bfloat16: 2e-2, torch.float16: 5e-3}
"""Largest difference of logits, as a share of the largest logit: kernels differ, weights do not."""
SAME_IN_LLAMA = (
    "vocab_size",
    "hidden_size",
    "intermediate_size",
    "num_hidden_layers",
    "num_attention_heads",
    "num_key_value_heads",
    "hidden_act",
    "max_position_embeddings",
    "initializer_range",
    "rms_norm_eps",
    "rope_parameters",
    "tie_word_embeddings",
    "bos_token_id",
    "eos_token_id",
    "pad_token_id",
)


def export(checkpoint: Path, folder: Path, chats: Sequence[Chat], max_tokens: int) -> None:
    """Write weights (safetensors), configuration, tokenizer and chat template of ``checkpoint`` into ``folder``, a LoRA
    adapter merged into its model's weights.

    Greedy decoding of at most ``max_tokens`` is set as default: a base model's own sampling filters (top-k, top-p,
    repetition penalty) were not those of the training. ``chats`` are what the read-back is checked with: the same
    tokens, the same logits.

    Raises:
        InputError: the checkpoint cannot be read, or what was written does not read back the same.
    """
    try:
        base = lora.base_of(checkpoint) or checkpoint
        tokenizer = load_tokenizer(base, False)
        model = _read(base)
    except (OSError, ValueError, RuntimeError) as error:
        raise InputError(f"cannot be loaded ({error})", where=checkpoint) from error
    ids = [encode_chat(tokenizer, chat) for chat in chats]
    if base != checkpoint:
        lora.restore(model, checkpoint)
    expected = _logits(model, ids[0])  # with the adapter beside the weights: what merging rounds away is seen below
    if base != checkpoint:
        lora.merge(model)
    model = _as_llama(model) if _loses_its_tokenizer(model, tokenizer) else model
    model.generation_config = _greedy(model, tokenizer, max_tokens)
    model.save_pretrained(folder, max_shard_size=SHARD)
    tokenizer.save_pretrained(folder)
    _write_for_older_readers(folder)
    for file in folder.iterdir():
        file.chmod(0o644)
    del model
    _check(folder, chats, ids, expected)


def _loses_its_tokenizer(model: Any, tokenizer: Any) -> bool:
    """Whether some transformers, asked for the tokenizer of this folder, gives one that cuts words by other rules: for
    a Qwen2 model those after 5.5 take Qwen's, whatever the folder says. (The model "tiny" has a tokenizer of its own.)
    The folder may be read by another version than wrote it, so that the one installed is not asked."""
    return bool(model.config.model_type == "qwen2") and _rules(Qwen2Tokenizer()) != _rules(tokenizer)


def _rules(tokenizer: Any) -> list[Any]:
    written = json.loads(tokenizer.backend_tokenizer.to_str())
    return [written["normalizer"], written["pre_tokenizer"]]


def _as_llama(model: Any) -> Any:
    """The same function in Llama's name, whose folders keep their tokenizer. Qwen2 is Llama with biases on queries,
    keys and values; Llama's option for them has one on the attention's output too, zero here."""
    shape = {name: getattr(model.config, name) for name in SAME_IN_LLAMA}
    twin = LlamaForCausalLM(LlamaConfig(**shape, attention_bias=True)).to(model.dtype).eval()
    zeros = {name: torch.zeros_like(value) for name, value in twin.state_dict().items() if "o_proj.bias" in name}
    twin.load_state_dict({**model.state_dict(), **zeros})
    return twin


def _greedy(model: Any, tokenizer: Any, max_tokens: int) -> GenerationConfig:
    ends = getattr(model.generation_config, "eos_token_id", None)
    every = {*(ends if isinstance(ends, list) else [ends]), tokenizer.eos_token_id} - {None}
    pad = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else tokenizer.eos_token_id
    return GenerationConfig(
        do_sample=False,
        max_new_tokens=max_tokens,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=sorted(every) or None,
        pad_token_id=pad,
    )


def _write_for_older_readers(folder: Path) -> None:
    """transformers 4 (and a vLLM on top of it) passes over version 5's names, in silence: without ``rope_theta`` it
    would take 10,000 whatever the model was trained with, and of the tokenizer's class it knows the older name only."""
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    rope = dict(config.get("rope_parameters") or {})
    if "rope_theta" in rope:
        config["rope_theta"] = rope.pop("rope_theta")
        config["rope_scaling"] = None if rope.get("rope_type", "default") == "default" else rope
    config["torch_dtype"] = config.get("dtype")
    _write(folder / "config.json", config)
    path = folder / "tokenizer_config.json"
    tokenizer = json.loads(path.read_text(encoding="utf-8"))
    if tokenizer.get("tokenizer_class") == "TokenizersBackend":
        tokenizer["tokenizer_class"] = "PreTrainedTokenizerFast"
    _write(path, tokenizer)


def _read(folder: Path) -> Any:
    """The model as it was written, for inference, without running code that lies beside it."""
    model = AutoModelForCausalLM.from_pretrained(folder, dtype="auto", use_safetensors=True, trust_remote_code=False)
    return model.eval()


def _write(path: Path, value: dict[str, Any]) -> None:
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _check(folder: Path, chats: Sequence[Chat], ids: Sequence[Sequence[int]], expected: torch.Tensor) -> None:
    """Load the folder as any program would, and compare."""
    tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
    if [encode_chat(tokenizer, chat) for chat in chats] != list(ids):
        raise InputError("the tokenizer reads back otherwise than it was saved", where=folder)
    model = _read(folder)
    off = (_logits(model, ids[0]) - expected).abs().max() / expected.abs().max()
    if not off <= TOLERANCE[model.dtype]:
        raise InputError(
            f"the weights read back otherwise than they were saved (logits off by {off:.1e})", where=folder
        )


@torch.inference_mode()
def _logits(model: Any, ids: Sequence[int]) -> torch.Tensor:
    """(token, vocabulary) logits of one row, in float32."""
    logits: torch.Tensor = model(input_ids=torch.tensor([list(ids)])).logits[0].float()
    return logits
