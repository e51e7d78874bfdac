"""LoRA (Hu et al. 2021) by peft, in place: the model's own weights are frozen, thin matrices beside them learn.

The model without its adapter is the one that training began with, so a frozen reference costs no second copy. An
adapter is kept in peft's own folder, which names the model it belongs to relative to itself.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from diagnosis_zero.errors import InputError

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
_ADAPTER = "default"
_PREFIX = "base_model.model."
"""What peft puts before every name in its files."""


def adapt(model: Any, *, rank: int, alpha: float, targets: Sequence[str], seed: int) -> None:
    """Freeze the model and put an adapter beside the projections ``targets`` (last parts of their names).

    It adds alpha / rank times B A; B is zero at first, so that the model computes what it did. Its numbers have the
    type of the model's.

    Raises:
        InputError: peft is not installed, or the model has none of the projections.
    """
    _inject(model, {"r": rank, "lora_alpha": alpha, "target_modules": list(targets)}, seed)


def _inject(model: Any, settings: dict[str, Any], seed: int) -> None:
    try:
        from peft import LoraConfig, inject_adapter_in_model
    except ImportError as error:
        raise InputError("LoRA needs peft", mend="Run: pip install 'diagnosis-zero[train]'") from error
    model.requires_grad_(False)
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            inject_adapter_in_model(LoraConfig(**settings), model, _ADAPTER)
    except ValueError as error:
        raise InputError(f"LoRA cannot be set up: {error}", mend="Mend lora.targets.") from error
    for name, parameter in model.named_parameters():
        if "lora_" in name:  # peft may have made them float32 beside bf16 weights, and would then cast every input
            parameter.data = parameter.data.to(model.dtype)


def is_adapted(model: Any) -> bool:
    """Whether any layer has."""
    return any(has_adapter(module) for module in model.modules())


def has_adapter(module: Any) -> bool:
    """Whether this layer is a linear one with an adapter beside it."""
    return hasattr(module, "get_delta_weight")


def weight_of(projection: Any) -> Tensor:
    """The matrix that the projection multiplies with, its adapter's product added to its own."""
    weight: Tensor = projection.weight
    if not has_adapter(projection) or projection.disable_adapters or projection.merged:
        return weight
    delta: Tensor = projection.get_delta_weight(_ADAPTER)
    return weight + delta


class WithoutAdapter:
    """The frozen model that an adapted one began as, for ``logprobs.row_logprobs``: the same tensors."""

    def __init__(self, model: Any) -> None:
        self._model = model
        self.device = model.device

    def get_output_embeddings(self) -> Any:
        return self._model.get_output_embeddings()

    def model(self, **inputs: Any) -> Any:
        """The forward pass of the decoder, the adapter switched off."""
        with _switched_off(self._model):
            return self._model.model(**inputs)


@contextmanager
def _switched_off(model: Any) -> Iterator[None]:
    layers = [module for module in model.modules() if has_adapter(module)]
    for layer in layers:
        layer.enable_adapters(False)
    try:
        yield
    finally:
        for layer in layers:
            layer.enable_adapters(True)


def base_state(model: Any) -> dict[str, Tensor]:
    """The weights of the model without its adapter, by the names that they had before."""
    return {n.replace(".base_layer", ""): x for n, x in model.state_dict().items() if "lora_" not in n}


def save(model: Any, folder: Path, base: str) -> None:
    """Write the adapter as peft does; ``base`` is the model's place relative to ``folder``."""
    config = model.peft_config[_ADAPTER]
    config.base_model_name_or_path = base
    config.save_pretrained(str(folder))
    tensors = {_PREFIX + _short(n): x.contiguous() for n, x in model.state_dict().items() if "lora_" in n}
    save_file(tensors, folder / WEIGHTS, metadata={"format": "pt"})


def base_of(folder: str | Path) -> Path | None:
    """The folder of the model that the adapter in ``folder`` belongs to; None where there is no adapter.

    Raises:
        InputError: the adapter does not say, or the model is not there.
    """
    path = Path(folder) / CONFIG
    if not path.is_file():
        return None
    named = json.loads(path.read_text(encoding="utf-8")).get("base_model_name_or_path")
    base: Path | None = Path(folder) / named if named else None
    if base is None or not (base / "config.json").is_file():
        mend = "Keep the run's folder whole: the adapter of a checkpoint belongs to the checkpoint of step 0."
        raise InputError(f"the model that this adapter belongs to is not there ({named})", where=path, mend=mend)
    return base


def restore(model: Any, folder: str | Path) -> None:
    """Put the adapter of ``folder`` beside the model's weights.

    Raises:
        InputError: the adapter is not one of this model, or its file is damaged.
    """
    config = json.loads((Path(folder) / CONFIG).read_text(encoding="utf-8"))
    _inject(model, {key: config[key] for key in ("r", "lora_alpha", "target_modules")}, seed=0)
    path = Path(folder) / WEIGHTS
    own = {_PREFIX + _short(name): parameter for name, parameter in model.named_parameters() if "lora_" in name}
    try:
        saved = load_file(path)
    except (SafetensorError, OSError) as error:
        raise InputError(
            f"the adapter cannot be read ({error})", where=path, mend="Take another checkpoint."
        ) from error
    if saved.keys() != own.keys() or any(saved[name].shape != own[name].shape for name in own):
        raise InputError("the adapter is not one of this model", where=path)
    with torch.no_grad():
        for name, parameter in own.items():
            parameter.copy_(saved[name])


def merge(model: Any) -> None:
    """Add the adapter's products to the model's own weights, in float32 and rounded once, and take it away."""
    for name, module in list(model.named_modules()):
        if not has_adapter(module):
            continue
        base = module.get_base_layer()
        with torch.no_grad():
            product = module.lora_B[_ADAPTER].weight.float() @ module.lora_A[_ADAPTER].weight.float()
            base.weight.copy_(base.weight.float() + module.scaling[_ADAPTER] * product)
        parent, _, last = name.rpartition(".")
        setattr(model.get_submodule(parent), last, base)
    del model.peft_config


def _short(name: str) -> str:
    return name.replace(f".{_ADAPTER}.", ".")
