"""Models and requests that the engine does not do exactly are refused, with why and what to use instead."""

from __future__ import annotations

import pytest
import torch
from transformers import Gemma2Config, GPT2Config, LlamaConfig, Qwen2Config

from diagnosis_zero.engine.generate import generate
from diagnosis_zero.engine.layout import pack
from diagnosis_zero.engine.model import check_supported, load, resolve_dtype
from diagnosis_zero.errors import InputError
from diagnosis_zero.types import SamplingParams


def rope(kind: str, **more: float | list[float]) -> LlamaConfig:
    return LlamaConfig(rope_parameters={"rope_type": kind, "rope_theta": 10000.0, "factor": 4.0, **more})


def soft_capped() -> LlamaConfig:
    config = LlamaConfig()
    config.attn_logit_softcapping = 50.0
    return config


WINDOW = {"sliding_window": 64, "max_window_layers": 1, "num_hidden_layers": 4}
REFUSED = {
    "sliding window in use": (Qwen2Config(**WINDOW, use_sliding_window=True), "sliding-window"),
    "soft-capping": (soft_capped(), "soft-caps"),
    "attention dropout": (LlamaConfig(attention_dropout=0.1), "dropout"),
    "dynamic RoPE": (rope("dynamic"), "'dynamic'"),
    "longrope": (rope("longrope", short_factor=[1.0] * 64, long_factor=[2.0] * 64), "'longrope'"),
    "gemma2": (Gemma2Config(), "'gemma2' is not one of"),
    "gpt2": (GPT2Config(), "'gpt2' is not one of"),
}
TAKEN = {
    # As published with Qwen2.5: a window is named, and not used.
    "sliding window named": Qwen2Config(**WINDOW, use_sliding_window=False),
    "plain": LlamaConfig(),
    "linear RoPE": rope("linear"),
    "yarn": rope("yarn"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_refused_with_why_and_what_instead(what):
    config, why = REFUSED[what]
    with pytest.raises(InputError, match=f"cannot train 'it' exactly: .*{why}.*--engine verl"):
        check_supported(config, "it")


@pytest.mark.parametrize("what", TAKEN)
def test_taken(what):
    check_supported(TAKEN[what], "it")


def test_a_truncated_weights_file_is_named(policy, tmp_path):
    policy.model.save_pretrained(tmp_path)
    policy.tokenizer.save_pretrained(tmp_path)
    assert load(str(tmp_path), dtype="float32").name == str(tmp_path)
    weights = tmp_path / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1000])
    with pytest.raises(InputError, match=f"cannot load model '{tmp_path}'.*truncated or damaged"):
        load(str(tmp_path), dtype="float32")


@pytest.mark.parametrize(
    ("params", "what"),
    [
        (SamplingParams(max_tokens=0), "max_tokens = 0"),
        (SamplingParams(max_tokens=4, top_p=0.0), "top_p = 0.0 leaves no token"),
        (SamplingParams(max_tokens=4, top_k=-1), "top_k = -1"),
        (SamplingParams(max_tokens=4, temperature=-1.0), "temperature = -1.0"),
        (SamplingParams(max_tokens=4, temperature=float("nan")), "temperature = nan"),
    ],
)
def test_sampling_that_leaves_no_token_is_refused(policy, params, what):
    with pytest.raises(InputError, match=what):
        generate(policy, [[5, 6]], 1, params)


@pytest.mark.parametrize("budget", [0, -3])
def test_a_row_needs_a_token_budget(budget):
    with pytest.raises(ValueError, match=f"must be positive, not {budget}"):
        pack([([1, 2], [[3]])], budget)


def test_a_group_over_the_budget_is_split_and_its_prompt_repeated():
    completions = [[10 + i] * 5 for i in range(6)]  # 4 fed tokens each
    rows = pack([([1, 2, 3], completions)], 12)
    assert [row.input_ids.shape[1] for row in rows] == [11, 11, 11]  # prompt of 3, two completions
    assert all(row.input_ids[0, :3].tolist() == [1, 2, 3] for row in rows)
    assert sorted(member for row in rows for member in row.members) == [(0, i) for i in range(6)]


def test_the_number_format_does_not_change_from_call_to_call():
    assert resolve_dtype("auto", "cuda") == torch.bfloat16
    assert len({resolve_dtype("auto", "cpu") for _ in range(50)}) == 1
    assert resolve_dtype("bfloat16", "cpu") == torch.bfloat16
