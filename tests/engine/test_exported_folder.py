"""What is exported is the same function, under the names that its readers know."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import pre_tokenizers
from transformers import AutoConfig, AutoModelForCausalLM, GenerationConfig, Qwen2Config, Qwen2ForCausalLM
from transformers.models.qwen2.tokenization_qwen2 import Qwen2Tokenizer

from diagnosis_zero.engine.export import export
from diagnosis_zero.engine.tiny import CHAT_TEMPLATE, train_tokenizer
from diagnosis_zero.errors import InputError

CHATS = [[{"role": "user", "content": "Age 34, Na 139 mmol/l; don't know."}]]
IDS = torch.arange(40).reshape(1, -1)


def checkpoint(folder: Path, tokenizer: Any) -> Any:
    """A Qwen2 model with large biases and a RoPE base that is not the default."""
    torch.manual_seed(0)
    rope = {"rope_type": "default", "rope_theta": 1e6}
    shape = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4}
    model = Qwen2ForCausalLM(
        Qwen2Config(vocab_size=len(tokenizer), num_key_value_heads=2, rope_parameters=rope, **shape)
    )
    for name, parameter in model.named_parameters():
        torch.nn.init.normal_(parameter, std=1.0 if "bias" in name else 0.3)
    model.generation_config = GenerationConfig(do_sample=True, top_k=20, top_p=0.8, repetition_penalty=1.1)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return model.eval()


def own_tokenizer() -> Any:
    return train_tokenizer([CHATS[0][0]["content"]] * 3, 300)


def qwens_tokenizer() -> Any:
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Qwen2Tokenizer(vocab={letter: i for i, letter in enumerate(alphabet)}, merges=[])
    tokenizer.chat_template = CHAT_TEMPLATE
    return tokenizer


@torch.inference_mode()
def logits(model: Any) -> torch.Tensor:
    found: torch.Tensor = model(input_ids=IDS).logits
    return found


@pytest.mark.parametrize(("tokenizer", "family"), [(qwens_tokenizer, "qwen2"), (own_tokenizer, "llama")])
def test_the_function_stays_and_the_family_changes_only_where_the_tokenizer_would(
    tmp_path: Path, tokenizer: Any, family: str
) -> None:
    model = checkpoint(tmp_path / "in", tokenizer())
    export(tmp_path / "in", tmp_path / "out", CHATS, 64)
    assert AutoConfig.from_pretrained(tmp_path / "out").model_type == family
    read = AutoModelForCausalLM.from_pretrained(tmp_path / "out").eval()
    assert torch.allclose(logits(read), logits(model), rtol=1e-5, atol=1e-4)
    assert logits(model).abs().max() > 1
    config = json.loads((tmp_path / "out" / "config.json").read_text())
    assert (config["rope_theta"], config["rope_scaling"], config["torch_dtype"]) == (1e6, None, "float32")


def test_the_base_models_sampling_filters_are_gone(tmp_path: Path) -> None:
    checkpoint(tmp_path / "in", qwens_tokenizer())
    export(tmp_path / "in", tmp_path / "out", CHATS, 64)
    written = json.loads((tmp_path / "out" / "generation_config.json").read_text())
    assert (written["do_sample"], written["max_new_tokens"]) == (False, 64)
    assert not {"top_k", "top_p", "repetition_penalty"} & set(written)


def test_weights_that_read_back_otherwise_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A fault is put into what is written; the check must see it."""
    checkpoint(tmp_path / "in", qwens_tokenizer())
    save = Qwen2ForCausalLM.save_pretrained

    def faulty(model: Any, folder: Path, **keywords: Any) -> None:
        with torch.no_grad():
            model.model.layers[0].mlp.up_proj.weight *= 1.01
        save(model, folder, **keywords)

    monkeypatch.setattr(Qwen2ForCausalLM, "save_pretrained", faulty)
    with pytest.raises(InputError, match="weights read back otherwise"):
        export(tmp_path / "in", tmp_path / "out", CHATS, 64)


def test_a_folder_that_is_no_model_is_named(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    with pytest.raises(InputError, match="in: cannot be loaded"):
        export(tmp_path / "in", tmp_path / "out", CHATS, 64)
