"""Each recipe of the original system takes one real step: real widths, random weights, a short rollout.

Memory is what limits these tests. In fp32: weights, gradients, two moments and the frozen reference, so 20 bytes a
parameter; in bf16 the weights and the reference are half of it, and fp32 masters come to them: 20 again.
"""

from __future__ import annotations

import copy
import itertools
import math

import pytest
import torch
from benchmarks.toy_runs import raw_policy, toy_cases
from transformers import AutoModelForCausalLM, Qwen2Config

from diagnosis_zero import config, prompts
from diagnosis_zero.engine import model as models
from diagnosis_zero.engine.model import Policy
from diagnosis_zero.recipe import Recipe
from diagnosis_zero.train.loop import _sampling, _update_settings, learning_rate
from diagnosis_zero.train.optimizer import MasterAdamW
from diagnosis_zero.train.rollout import rollout
from diagnosis_zero.train.step import update
from diagnosis_zero.types import Reward, RewardFn

PUBLISHED = {
    "seed-qwen2.5-1.5b": {
        "vocab_size": 151936,
        "hidden_size": 1536,
        "intermediate_size": 8960,
        "num_attention_heads": 12,
        "num_key_value_heads": 2,
        "tie_word_embeddings": True,
        "max_window_layers": 21,
    },
    "seed-qwen2.5-3b": {
        "vocab_size": 151936,
        "hidden_size": 2048,
        "intermediate_size": 11008,
        "num_attention_heads": 16,
        "num_key_value_heads": 2,
        "tie_word_embeddings": True,
        "max_window_layers": 36,
    },
    "seed-qwen2.5-7b": {
        "vocab_size": 152064,
        "hidden_size": 3584,
        "intermediate_size": 18944,
        "num_attention_heads": 28,
        "num_key_value_heads": 4,
        "tie_word_embeddings": False,
        "max_window_layers": 28,
    },
}
"""Shapes of Qwen2.5-Instruct as published (config.json of each model)."""
CUT = {
    "seed-qwen2.5-1.5b": {"num_hidden_layers": 2},
    "seed-qwen2.5-3b": {"num_hidden_layers": 2},
    "seed-qwen2.5-7b": {"num_hidden_layers": 1, "vocab_size": 152064 // 8},
}


@pytest.mark.slow
@pytest.mark.parametrize("name", PUBLISHED)
def test_one_real_step(name: str) -> None:
    """Layers are cut to two. Of the 7B model that would be 1.6 billion parameters and 31 GB, since its embedding and
    head are not tied: it keeps one layer and an eighth of the vocabulary, and all its widths. The rollout is cut to
    2 prompts x 2 completions x 12 tokens. Everything else is the recipe's.

    Random weights earn the recipe's reward nothing, and the KL to oneself has no gradient: so that there is something
    to learn, every second completion is called right.
    """
    recipe = config.load(config.shipped(name), ["rollout.prompts=2", "rollout.group=2", "rollout.max_tokens=12"])
    policy = random_policy(recipe, {**PUBLISHED[name], **CUT[name]})
    reference = copy.deepcopy(policy.model).requires_grad_(False).eval()
    optimizer = MasterAdamW(policy.model, betas=recipe.train.betas, weight_decay=recipe.train.weight_decay)
    watched = policy.model.get_output_embeddings().weight
    before = optimizer.masters[[p is watched for _, p in optimizer.named].index(True)][:512].detach().clone()

    template = prompts.load_template(recipe.prompt.template)
    groups = rollout(policy, toy_cases(2), template, every_second(), recipe.rollout.group, _sampling(recipe, 1))
    lr = learning_rate(1, recipe.train.lr, recipe.train.warmup)
    metrics = update(policy.model, optimizer, groups, lr, _update_settings(recipe), reference).metrics

    assert all(math.isfinite(value) for value in metrics.values())
    assert metrics["policy/grad_norm"] > 0
    assert metrics["policy/skipped"] == 0
    assert metrics["policy/kl"] == pytest.approx(0, abs=1e-6)
    assert metrics["policy/mismatch_kl"] < 1e-3
    assert metrics["policy/entropy"] == pytest.approx(math.log(policy.model.config.vocab_size), rel=0.1)
    after = optimizer.masters[[p is watched for _, p in optimizer.named].index(True)][:512].detach()
    assert float((after - before).abs().max()) == pytest.approx(lr, rel=0.1)  # far below what bf16 weights can hold


def random_policy(recipe: Recipe, shape: dict[str, int | bool]) -> Policy:
    """The published shape with random weights, in the data type that the recipe has on this machine; the tokenizer is
    small, its ids being among the model's."""
    published = Qwen2Config(
        **shape,
        max_position_embeddings=32768,
        rms_norm_eps=1e-6,
        use_sliding_window=False,
        sliding_window=32768,
        rope_parameters={"rope_type": "default", "rope_theta": 1e6},
    )
    with torch.random.fork_rng():
        torch.manual_seed(recipe.run.seed)
        model = AutoModelForCausalLM.from_config(published, dtype=models.resolve_dtype(recipe.model.dtype, "cpu"))
    if recipe.model.gradient_checkpointing:
        models.enable_checkpointing(model)
    return Policy(models.prepare(model), raw_policy().tokenizer, recipe.model.id)


def every_second() -> RewardFn:
    worth = itertools.cycle([0.0, 1.0])
    return lambda text, case: Reward(next(worth), {"accuracy": 0.0})
