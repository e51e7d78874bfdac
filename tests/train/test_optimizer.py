"""AdamW on fp32 masters: torch's own step for step, small updates not lost, states that come back."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
from torch import nn

from diagnosis_zero.train.optimizer import MasterAdamW

BETAS = (0.9, 0.99)


def network(seed: int = 0) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return nn.Sequential(nn.Linear(5, 8), nn.Tanh(), nn.LayerNorm(8), nn.Linear(8, 3))


def batches(count: int) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(3)
    return [torch.randn(7, 5, generator=generator) for _ in range(count)]


def loss_of(model: nn.Module, batch: torch.Tensor) -> torch.Tensor:
    return (model(batch.to(next(model.parameters()).dtype)).float() - 1).square().mean()


def train(optimizer: MasterAdamW, model: nn.Module, data: list[torch.Tensor], lr: float = 1e-2) -> None:
    for batch in data:
        loss_of(model, batch).backward()
        optimizer.collect()
        optimizer.step(lr, max_grad_norm=0.5)


def test_equals_torchs_adamw_step_for_step_on_an_fp32_model() -> None:
    """Decay on matrices alone, gradients clipped, and a rate that changes at each step."""
    ours, theirs = network(), network()
    optimizer = MasterAdamW(ours, betas=BETAS, weight_decay=0.1)
    decayed = [p for p in theirs.parameters() if p.dim() > 1]
    others = [p for p in theirs.parameters() if p.dim() == 1]
    adam = torch.optim.AdamW(
        [{"params": decayed, "weight_decay": 0.1}, {"params": others, "weight_decay": 0.0}], betas=BETAS
    )
    for step, batch in enumerate(batches(20), start=1):
        loss_of(ours, batch).backward()
        optimizer.collect()
        norm = optimizer.step(step * 1e-3, max_grad_norm=0.5)
        adam.zero_grad()
        loss_of(theirs, batch).backward()
        expected = float(nn.utils.clip_grad_norm_(theirs.parameters(), 0.5))
        for group in adam.param_groups:
            group["lr"] = step * 1e-3
        adam.step()
        assert norm == pytest.approx(expected, rel=1e-6)
        for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
            torch.testing.assert_close(a, b, rtol=1e-6, atol=1e-7)  # ours is the fused kernel


def test_vectors_do_not_decay() -> None:
    """A gradient of zero everywhere leaves decay alone at work: lr * decay = 1 % off the matrices."""
    model = network()
    before = copy.deepcopy(model.state_dict())
    optimizer = MasterAdamW(model, betas=BETAS, weight_decay=0.1)
    (sum(p.sum() for p in model.parameters()) * 0).backward()
    assert optimizer.step(0.1, 1.0) == 0
    for name, parameter in model.named_parameters():
        kept = 0.99 if parameter.dim() > 1 else 1.0
        assert torch.allclose(parameter, before[name] * kept, rtol=1e-6, atol=0)


def test_clipping_by_hand() -> None:
    """Gradient (3, 4): norm 5. Clipped to 1 it is (0.6, 0.8), and so is ten times the first moment."""
    model = nn.Linear(2, 1, bias=False)
    optimizer = MasterAdamW(model, betas=(0.9, 0.999), weight_decay=0.0)
    (model.weight @ torch.tensor([3.0, 4.0])).sum().backward()
    assert optimizer.step(1e-3, max_grad_norm=1.0) == pytest.approx(5.0)
    moment = optimizer.adam.state[model.weight]["exp_avg"]
    assert (10 * moment[0]).tolist() == pytest.approx([0.6, 0.8], rel=1e-5)


def test_micro_batch_gradients_of_a_bf16_model_add_up_in_fp32() -> None:
    """1 and 2^-9 make 1.001953125, which bf16 cannot hold."""
    model = nn.Linear(1, 1, bias=False).to(torch.bfloat16)
    optimizer = MasterAdamW(model, betas=BETAS, weight_decay=0.0)
    for gradient in (1.0, 2.0**-9):
        (model.weight * gradient).sum().backward()
        optimizer.collect()
        assert model.weight.grad is None
    assert optimizer.step(1e-3, max_grad_norm=10.0) == 1.001953125


START, NEXT = 2.0**-4, 2.0**-4 + 2.0**-11
"""Neighbours among the numbers that bf16 can hold, 4.9e-4 apart."""


def one_weight() -> nn.Linear:
    model = nn.Linear(1, 1, bias=False).to(torch.bfloat16)
    nn.init.constant_(model.weight, START)
    return model


def value(weight: torch.Tensor) -> float:
    return float(weight.detach())


def loss_towards(model: nn.Linear, target: float) -> torch.Tensor:
    return (model(torch.ones(1, 1, dtype=torch.bfloat16)).float() - target).square().sum()


def test_updates_of_a_millionth_reach_a_bf16_model_through_its_masters() -> None:
    """After 244 steps of 1e-6 the master is nearer to the next number that bf16 can hold."""
    model = one_weight()
    optimizer = MasterAdamW(model, betas=(0.9, 0.999), weight_decay=0.0)
    for _ in range(300):
        loss_towards(model, NEXT).backward()
        optimizer.collect()
        optimizer.step(1e-6, max_grad_norm=1.0)
    assert value(model.weight) == NEXT
    assert value(loss_towards(model, NEXT)) == 0


def test_without_masters_they_are_swallowed() -> None:
    """Negative control: torch's AdamW on the bf16 weights themselves."""
    model = one_weight()
    adam = torch.optim.AdamW(model.parameters(), lr=1e-6, weight_decay=0.0)
    for _ in range(300):
        adam.zero_grad()
        loss_towards(model, NEXT).backward()
        adam.step()
    assert value(model.weight) == START


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_state_read_back_goes_on_as_if_nothing_had_happened(tmp_path: Path, dtype: torch.dtype) -> None:
    data = batches(12)
    model = network().to(dtype)
    optimizer = MasterAdamW(model, betas=BETAS, weight_decay=0.1)
    train(optimizer, model, data[:6])
    torch.save({"model": model.state_dict(), "optimizer": optimizer.state()}, tmp_path / "state.pt")
    train(optimizer, model, data[6:])

    saved = torch.load(tmp_path / "state.pt", weights_only=True)
    other = network(seed=9).to(dtype)
    other.load_state_dict(saved["model"])
    resumed = MasterAdamW(other, betas=BETAS, weight_decay=0.1)
    resumed.load_state(saved["optimizer"])
    train(resumed, other, data[6:])
    for a, b in zip((*model.parameters(), *optimizer.masters), (*other.parameters(), *resumed.masters), strict=True):
        assert torch.equal(a, b)


def test_masters_come_back_finer_than_the_models_own_numbers() -> None:
    """What bf16 weights alone would lose: a part of a rounding step."""
    model = one_weight()
    optimizer = MasterAdamW(model, betas=BETAS, weight_decay=0.0)
    with torch.no_grad():
        optimizer.masters[0].fill_(START + 1e-4)
    other = one_weight()
    resumed = MasterAdamW(other, betas=BETAS, weight_decay=0.0)
    resumed.load_state(optimizer.state())
    assert value(resumed.masters[0]) == pytest.approx(START + 1e-4, abs=1e-8)
    assert value(other.weight) == START


def test_a_resumed_run_keeps_to_its_own_recipe() -> None:
    """Betas and decay are the recipe's, not those that the checkpoint was written with."""
    old = MasterAdamW(network(), betas=(0.9, 0.99), weight_decay=0.1)
    new = MasterAdamW(network(), betas=(0.8, 0.95), weight_decay=0.0)
    new.load_state(old.state())
    assert [group["weight_decay"] for group in new.adam.param_groups] == [0.0, 0.0]
    assert {tuple(group["betas"]) for group in new.adam.param_groups} == {(0.8, 0.95)}


def test_frozen_parameters_are_left_alone() -> None:
    model = network()
    model[0].requires_grad_(False)
    before = copy.deepcopy(model.state_dict())
    train(MasterAdamW(model, betas=BETAS, weight_decay=0.1), model, batches(2))
    assert torch.equal(model[0].weight, before["0.weight"])
    assert not torch.equal(model[3].weight, before["3.weight"])


def test_the_moments_are_there_before_the_first_step() -> None:
    """Two numbers a weight: a device that is too small for them is found out before the first rollout."""
    model = network()
    optimizer = MasterAdamW(model, betas=BETAS, weight_decay=0.0)
    moments = [m for one in optimizer.state()["adam"]["state"].values() for m in (one["exp_avg"], one["exp_avg_sq"])]
    assert sum(m.numel() for m in moments) == 2 * sum(p.numel() for p in model.parameters())
    assert not any(m.any() for m in moments)
