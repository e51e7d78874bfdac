"""The model as far as it can be known without computing: files, architecture, tokenizer, weights.

What the checks go on with is a *dummy*: the same architecture and tokenizer with two narrow layers of random weights.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import HfApi, errors, snapshot_download
from safetensors import SafetensorError, safe_open
from transformers import AutoConfig, AutoModelForCausalLM, GenerationConfig

from diagnosis_zero import prompts
from diagnosis_zero.doctor.notes import Note, error, ok, warning
from diagnosis_zero.engine import model as models
from diagnosis_zero.engine import tiny
from diagnosis_zero.engine.model import Policy
from diagnosis_zero.errors import InputError
from diagnosis_zero.recipe import Recipe
from diagnosis_zero.train import start
from diagnosis_zero.train.warmstart import Example
from diagnosis_zero.types import Case

NARROW: dict[str, int] = {
    "num_hidden_layers": 2,
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "head_dim": 32,
}
"""Shape of a dummy; vocabulary, window, RoPE and everything else stay the model's."""
SMALL_FILES = ("*.json", "*.jinja", "*.txt", "*.model", "*.py")
"""What is fetched from the Hub to look at a model: everything but its weights."""
SCANNED_BYTES = 4 << 30
"""Weights up to this size are read for numbers that are not finite."""
HUB_SECONDS = 5.0
"""How long the Hub may take to answer."""


@dataclass(frozen=True, slots=True)
class Opened:
    """What could be known of the model. ``shape`` is its Hugging Face config and ``folder`` where its files are, both
    None for a stand-in (the model could not be had); ``parameters`` counts the whole model, 0 for a stand-in."""

    dummy: Policy
    shape: Any = None
    folder: Path | None = None
    parameters: int = 0


def open_model(recipe: Recipe, cases: Sequence[Case], examples: Sequence[Example]) -> Opened:
    """Config and tokenizer of the recipe's model, fetched (without the weights) where they are not here.

    Raises:
        InputError: it cannot be had, or the engine cannot train it; says what to do.
    """
    if recipe.model.id == "tiny":
        whole = start.untaught_policy(recipe, cases, examples)
        shape = whole.model.config
        return Opened(dummy_of(shape, whole.tokenizer), shape, None, _parameters(shape, trust=False))
    folder, trust = find(recipe.model.id), recipe.model.trust_remote_code
    try:
        shape = AutoConfig.from_pretrained(folder, trust_remote_code=trust)
        tokenizer = models.load_tokenizer(folder, trust)
    except (OSError, ValueError, ImportError) as fault:
        mend = "Fetch the model again; the folder needs config.json and a tokenizer (tokenizer.json)."
        raise InputError(f"cannot be read: {str(fault).partition(chr(10))[0]}", where=folder, mend=mend) from fault
    models.check_supported(shape, recipe.model.id)
    dummy = dummy_of(shape, tokenizer)
    if (folder / "generation_config.json").is_file():
        dummy.model.generation_config = GenerationConfig.from_pretrained(folder)
    return Opened(dummy, shape, folder, _parameters(shape, trust))


def stand_in(recipe: Recipe, cases: Sequence[Case]) -> Opened:
    """A dummy for a model that cannot be had: the project's own tiny tokenizer and architecture."""
    template = prompts.load_template(recipe.prompt.template)
    texts = [prompts.fill(template, case.text) for case in cases[: start.WARMSTART_CASES]]
    policy = tiny.build(texts, seed=0, vocabulary=start.TINY["vocabulary"], hidden=64, layers=2, heads=2, window=32768)
    return Opened(policy)


def find(name: str) -> Path:
    """The folder of a model: the one named, or the Hub's cache, into which the small files are fetched."""
    if name == "smollm2":
        return models.smollm2()
    if Path(name).is_dir():
        return Path(name)
    try:
        return Path(snapshot_download(name, local_files_only=True))
    except errors.HFValidationError as fault:
        mend = "Give a Hugging Face id (owner/name), a folder, 'smollm2' or 'tiny'."
        raise InputError(f"model {name!r} is neither a folder here nor a Hugging Face id", mend=mend) from fault
    except errors.LocalEntryNotFoundError:
        return _fetch(name)


def _fetch(name: str) -> Path:
    try:
        HfApi().model_info(name, timeout=HUB_SECONDS)
        return Path(snapshot_download(name, allow_patterns=list(SMALL_FILES)))
    except errors.GatedRepoError as fault:
        mend = f"Accept its terms at https://huggingface.co/{name}, then log in: hf auth login (or set HF_TOKEN)."
        raise InputError(f"model {name!r} is gated", mend=mend) from fault
    except errors.RepositoryNotFoundError as fault:
        mend = "Mend model.id; for a private model log in: hf auth login (or set HF_TOKEN)."
        raise InputError(f"the Hugging Face Hub has no model {name!r} that you may read", mend=mend) from fault
    except Exception as fault:  # whatever the client's HTTP library raises without a network
        local = name.rpartition("/")[2]
        mend = (
            f"Where there is a network, run: hf download {name} --local-dir {local}; bring that folder here, and add "
            f"--set model.id={local}"
        )
        raise InputError(f"model {name!r} is not here, and the Hub cannot be reached ({fault})", mend=mend) from fault


def dummy_of(shape: Any, tokenizer: Any) -> Policy:
    """The same architecture, narrow and of two layers, with random weights."""
    changed: dict[str, Any] = {key: size for key, size in NARROW.items() if hasattr(shape, key)}
    if getattr(shape, "layer_types", None):
        changed["layer_types"] = list(shape.layer_types)[: NARROW["num_hidden_layers"]]
    narrow = type(shape)(**{**shape.to_dict(), **changed})
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = AutoModelForCausalLM.from_config(narrow, dtype=torch.float32)
    return Policy(models.prepare(model), tokenizer, "dummy")


def _parameters(shape: Any, trust: bool) -> int:
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(shape, trust_remote_code=trust)
    return sum(parameter.numel() for parameter in model.parameters())


def architecture(opened: Opened, longest_prompt: int, max_tokens: int) -> Iterator[Note]:
    """Does the model fit the run: window, vocabulary, no quantisation?"""
    found = list(_misfits(opened.shape, len(opened.dummy.tokenizer), longest_prompt, max_tokens))
    yield from found
    if not found:
        yield ok("model", f"{opened.shape.model_type}, {opened.parameters / 1e6:,.1f} million parameters")


def _misfits(shape: Any, vocabulary: int, longest_prompt: int, max_tokens: int) -> Iterator[Note]:
    window = shape.max_position_embeddings
    if longest_prompt + max_tokens > window:
        what = f"{longest_prompt} + {max_tokens} tokens (prompt, completion) do not fit its window of {window}"
        yield error("model.window", what, "Lower data.max_prompt_tokens or rollout.max_tokens, or take another model.")
    if vocabulary > shape.vocab_size:
        what = f"its tokenizer has {vocabulary} tokens, its embedding {shape.vocab_size}"
        yield error("model.vocabulary", what, "Tokenizer and weights are of two models: fetch both from one place.")
    if getattr(shape, "quantization_config", None):
        mend = "Take the unquantised model: quantised weights cannot be trained in full."
        yield error("model.weights", "its weights are quantised", mend)


def weights(opened: Opened, name: str) -> Iterator[Note]:
    """Are the weights of the model ``name`` here, whole, in a format that runs no code, and all numbers finite?"""
    if opened.folder is None:
        return
    files, missing = _weight_files(opened.folder)
    if not files and any(opened.folder.glob("*.bin")):
        mend = "Convert them to safetensors; a .bin file is a pickle, which can run code when it is read."
        yield error("model.weights", "there are only pickled weights (.bin)", mend)
    elif missing or not files:
        what = f"{len(missing) or 'all'} of its weight files are not here"
        if Path(name).is_dir():
            yield error("model.weights", what, "Bring the safetensors files into the model's folder.")
        else:
            yield warning("model.weights", what, f"They are fetched at the start; to do so now: hf download {name}")
    elif damaged := [f"{path.name} ({why})" for path in files if (why := _damage(path))]:
        yield error("model.weights", f"damaged: {'; '.join(damaged)}", "Fetch the model again.")
    else:
        yield from _scanned(files)


def _scanned(files: Sequence[Path]) -> Iterator[Note]:
    size = sum(path.stat().st_size for path in files)
    if size > SCANNED_BYTES:
        yield ok(
            "model.weights", f"{size / 1e9:.1f} GB in {len(files)} files, whole by their headers; not read through"
        )
    elif broken := [name for path in files for name in _not_finite(path)]:
        what = f"numbers that are not finite in {len(broken)} tensors, the first {broken[0]}"
        yield error("model.weights", what, "Fetch the model again, or go back to a checkpoint that was sound.")
    else:
        yield ok("model.weights", f"{size / 1e9:.2f} GB, every number finite")


def _weight_files(folder: Path) -> tuple[list[Path], list[str]]:
    """The files that hold the weights, and the names of those that the index wants and that are not here."""
    index = folder / "model.safetensors.index.json"
    if not index.is_file():
        return sorted(folder.glob("*.safetensors")), []
    names = sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
    return [folder / n for n in names if (folder / n).is_file()], [n for n in names if not (folder / n).is_file()]


def _damage(path: Path) -> str:
    try:
        with safe_open(path, framework="pt"):
            return ""
    except (SafetensorError, OSError) as fault:
        return str(fault)


def _not_finite(path: Path) -> Iterator[str]:
    with safe_open(path, framework="pt") as tensors:
        names: list[str] = tensors.keys()  # the handle itself cannot be iterated
        for name in names:
            if not bool(torch.isfinite(tensors.get_tensor(name)).all()):
                yield name
