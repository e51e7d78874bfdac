"""One real step of GRPO on each family from random weights: saved, reloaded, the same logits."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from benchmarks.toy_runs import raw_policy, toy_cases
from transformers import AutoModelForCausalLM, LlamaConfig, Qwen2Config, Qwen3Config

from diagnosis_zero.engine import model as models
from diagnosis_zero.engine.model import Policy
from diagnosis_zero.prompts import SHORT
from diagnosis_zero.train import checkpoint
from diagnosis_zero.train.batch import Credit
from diagnosis_zero.train.loss import LossSettings
from diagnosis_zero.train.optimizer import MasterAdamW
from diagnosis_zero.train.rollout import rollout
from diagnosis_zero.train.step import UpdateSettings, update
from diagnosis_zero.types import Case, Reward, SamplingParams

SHAPE = {
    "hidden_size": 48,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 256,
}
FAMILIES: dict[str, Any] = {"qwen2": Qwen2Config, "qwen3": partial(Qwen3Config, head_dim=16), "llama": LlamaConfig}
LR = 1e-3


def random_policy(family: str, *, tied: bool, dtype: torch.dtype) -> Policy:
    tokenizer = raw_policy().tokenizer
    special = {"eos_token_id": tokenizer.eos_token_id, "pad_token_id": tokenizer.pad_token_id, "bos_token_id": None}
    with torch.random.fork_rng():
        torch.manual_seed(4)
        shape = FAMILIES[family](vocab_size=len(tokenizer), tie_word_embeddings=tied, **SHAPE, **special)
        model = AutoModelForCausalLM.from_config(shape, dtype=dtype)
    return Policy(models.prepare(model), tokenizer, family)


def by_length(text: str, case: Case) -> Reward:
    """Random weights are right about nothing: something else must differ, or there is nothing to learn."""
    return Reward(float(len(text)), {"accuracy": 0.0})


def one_step(policy: Policy) -> dict[str, float]:
    groups = rollout(policy, toy_cases(3), SHORT, by_length, 4, SamplingParams(max_tokens=8, seed=2))
    optimizer = MasterAdamW(policy.model, betas=(0.9, 0.999), weight_decay=0.01)
    settings = UpdateSettings(LossSettings(), Credit(max_tokens=8), token_budget=128)
    return dict(update(policy.model, optimizer, groups, LR, settings).metrics)


def logits(policy: Policy) -> torch.Tensor:
    """From a plain forward with Hugging Face's own attention."""
    policy.model.eval().set_attn_implementation("sdpa")
    with torch.no_grad():
        found: Any = policy.model(torch.arange(40)[None]).logits
    return found


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["fp32", "bf16"])
@pytest.mark.parametrize("tied", [True, False], ids=["tied", "untied"])
@pytest.mark.parametrize("family", FAMILIES)
def test_step_save_reload(family: str, tied: bool, dtype: torch.dtype, tmp_path: Path) -> None:
    policy = random_policy(family, tied=tied, dtype=dtype)
    before = {name: p.detach().clone() for name, p in policy.model.named_parameters()}
    metrics = one_step(policy)
    assert metrics["policy/grad_norm"] > 0
    assert metrics["policy/mismatch_kl"] < (1e-6 if dtype == torch.float32 else 1e-2)
    moved = {name: float((p.detach() - before[name]).abs().max()) for name, p in policy.model.named_parameters()}
    assert max(moved.values()) == pytest.approx(LR, rel=0.1 if dtype == torch.float32 else 0.5)
    assert all(change > 0 for name, change in moved.items() if "norm" not in name)

    def save_model(folder: Path) -> None:
        policy.model.save_pretrained(folder)
        policy.tokenizer.save_pretrained(folder)

    folder = checkpoint.save(tmp_path, 1, save_model, {})
    reloaded = models.load(str(folder), dtype=str(dtype).removeprefix("torch."))
    assert type(reloaded.model) is type(policy.model)
    assert (reloaded.model.get_output_embeddings().weight is reloaded.model.get_input_embeddings().weight) is tied
    assert torch.equal(logits(reloaded), logits(policy))
    assert reloaded.stop_ids() == policy.stop_ids()
    text = "Patient 12's  rash, H\u00fcrthle\n<think>sign</think> <|endoftext|>"
    assert reloaded.tokenizer(text)["input_ids"] == policy.tokenizer(text)["input_ids"]
