"""The engine on a CUDA device, against itself on the CPU. Run with `make test-gpu`."""

from __future__ import annotations

import copy

import pytest
import torch
from test_parity import groups, pair, shared_loss, token_weights, worst_gradient_error

from diagnosis_zero.engine.generate import generate
from diagnosis_zero.engine.layout import pack
from diagnosis_zero.engine.logprobs import row_logprobs
from diagnosis_zero.engine.model import Policy
from diagnosis_zero.train.batch import Credit
from diagnosis_zero.train.loss import LossSettings
from diagnosis_zero.train.optimizer import MasterAdamW
from diagnosis_zero.train.step import UpdateSettings, update
from diagnosis_zero.types import Case, Group, Reward, SamplingParams

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device on this machine"),
]
PARAMS = SamplingParams(max_tokens=24, temperature=1.0, seed=5)


@pytest.fixture
def on_cuda(policy: Policy) -> Policy:
    return Policy(copy.deepcopy(policy.model).to("cuda"), policy.tokenizer, policy.name)


@pytest.mark.parametrize("family", ["qwen2", "qwen3", "llama"])
@pytest.mark.parametrize("budget", [60, 4096])
def test_gradients_are_those_of_the_cpu(family, budget):
    _, cpu = pair(family)
    cuda = copy.deepcopy(cpu).to("cuda")
    data = groups()
    weights = token_weights(data)
    shared_loss(cpu, data, weights, budget)
    for row in pack(data, budget):
        logprobs, entropy = row_logprobs(cuda, row.to(cuda.device))
        weight = torch.cat([weights[member] for member in row.members]).to(cuda.device)
        ((logprobs * weight).sum() + 0.1 * entropy.sum()).backward()
    assert worst_gradient_error(cpu, cuda.to("cpu")) < 1e-4  # other kernels, other order of sums


def test_completions_are_those_of_the_cpu(policy, on_cuda, prompts):
    """In fp32: the uniforms are counted, so only a draw within rounding of a boundary could differ."""
    ours, theirs = (generate(p, prompts, 4, PARAMS) for p in (on_cuda, policy))
    pairs = [(a.token_ids, b.token_ids) for x, y in zip(ours, theirs, strict=True) for a, b in zip(x, y, strict=True)]
    assert sum(a == b for a, b in pairs) >= len(pairs) - 1


def test_sampler_and_trainer_agree_in_bf16(on_cuda, prompts):
    on_cuda.model.to(torch.bfloat16)
    written = generate(on_cuda, prompts, 4, PARAMS)
    data = [(p, [list(c.token_ids) for c in group]) for p, group in zip(prompts, written, strict=True)]
    gaps = []
    for row in pack(data, 4096):
        with torch.no_grad():
            trainer, _ = row_logprobs(on_cuda.model, row.to(on_cuda.device))
        sampler = torch.tensor([x for g, m in row.members for x in written[g][m].logprobs])
        gaps.append((trainer.cpu() - sampler).abs())
    assert float(torch.cat(gaps).mean()) < 0.03


def test_a_bf16_step_moves_the_weights(on_cuda, prompts):
    on_cuda.model.to(torch.bfloat16)
    written = generate(on_cuda, prompts, 4, PARAMS)
    case = Case(id="0", source="made", source_id="0", text="", names=("none",))
    groups_ = [
        Group(case, tuple(p), tuple(group), tuple(Reward(float(len(c.text)), {}) for c in group))
        for p, group in zip(prompts, written, strict=True)
    ]
    optimizer = MasterAdamW(on_cuda.model, betas=(0.9, 0.999), weight_decay=0.0)
    before = [m.clone() for m in optimizer.masters]
    metrics = update(
        on_cuda.model, optimizer, groups_, 1e-5, UpdateSettings(loss=LossSettings(), credit=Credit(max_tokens=24))
    ).metrics
    assert metrics["policy/skipped"] == 0
    assert metrics["policy/grad_norm"] > 0
    assert any(not torch.equal(a, b) for a, b in zip(before, optimizer.masters, strict=True))
