"""The engine on a CUDA device, against itself on the CPU. Run with `make test-gpu`."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest
import torch
from test_parity import groups, pair, shared_loss, token_weights, worst_gradient_error

from diagnosis_zero.engine import lora, static
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


def the_same(ours, theirs) -> bool:
    """The uniforms are counted, so in fp32 only a draw within rounding of a boundary can differ."""
    pairs = [(a.token_ids, b.token_ids) for x, y in zip(ours, theirs, strict=True) for a, b in zip(x, y, strict=True)]
    return sum(a == b for a, b in pairs) >= len(pairs) - 1


@pytest.mark.parametrize("max_rows", [4, 9, 256])
@pytest.mark.parametrize("settings", [{}, {"temperature": 0.0}, {"top_p": 0.8, "top_k": 40}, {"stop": ("st",)}])
def test_completions_are_those_of_the_cpu(policy, on_cuda, prompts, max_rows, settings):
    params = replace(PARAMS, **settings)
    ours, theirs = (generate(p, prompts, 4, params, max_rows=max_rows) for p in (on_cuda, policy))
    assert the_same(ours, theirs)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_replayed_graph_is_the_step(on_cuda, prompts, monkeypatch, dtype):
    """The same kernels in the same order: equal to the last bit, over several lengths of own keys."""
    on_cuda.model.to(dtype)
    monkeypatch.setattr(static, "OWN_BLOCK", 16)
    made = []

    class Counted(static.Replayed):
        def __init__(self, step):
            super().__init__(step)
            made.append(self.graphs)

    params = replace(PARAMS, max_tokens=60, temperature=1.5)
    monkeypatch.setattr(static, "Replayed", Counted)
    replayed = generate(on_cuda, prompts, 4, params, max_rows=12)
    assert sorted(made[0]) == [16, 32, 48, 64]
    monkeypatch.setattr(static, "Replayed", lambda step: step)
    assert generate(on_cuda, prompts, 4, params, max_rows=12) == replayed


def test_a_step_waits_for_nothing(on_cuda, prompts, monkeypatch):
    """CUDA itself fails at a synchronisation inside the step; a look outside it is one."""
    step = static.Step.__call__

    def watched(self, own):
        torch.cuda.set_sync_debug_mode("error")
        try:
            step(self, own)
        finally:
            torch.cuda.set_sync_debug_mode("default")

    monkeypatch.setattr(static.Step, "__call__", watched)
    assert all(c.token_ids for group in generate(on_cuda, prompts, 2, PARAMS) for c in group)


def test_an_adapted_model_writes_what_it_writes_on_the_cpu(policy, prompts):
    model = copy.deepcopy(policy.model)
    lora.adapt(model, rank=4, alpha=8.0, targets=("q_proj", "v_proj", "down_proj"), seed=1)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                parameter.fill_(0.05)
    ours, theirs = (
        generate(Policy(copy.deepcopy(model).to(device), policy.tokenizer, "adapted"), prompts, 4, PARAMS)
        for device in ("cuda", "cpu")
    )
    assert the_same(ours, theirs)


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
