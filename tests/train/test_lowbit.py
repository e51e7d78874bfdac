"""Moments of 8 bits: what the codes stand for, that they follow what they should, that a network learns as well."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from diagnosis_zero.errors import InputError
from diagnosis_zero.train.lowbit import BLOCK, AdamW8bit, mean_codes, mean_of, square_codes, square_of
from diagnosis_zero.train.optimizer import MasterAdamW

BETAS = (0.9, 0.999)


def draws(seed: int = 0) -> Tensor:
    return torch.rand(1, BLOCK, generator=torch.Generator().manual_seed(seed))


def block(*numbers: float) -> Tensor:
    return torch.tensor([[*numbers, *[0.0] * (BLOCK - len(numbers))]])


def test_codes_of_the_mean_by_hand() -> None:
    """Largest -4: code -127. A quarter of it has half its root: 63.5, rounded to the even 64."""
    codes, scale = mean_codes(block(-4.0, 1.0, 1e-9))
    assert codes[0, :4].tolist() == [-127, 64, 0, 0]
    assert float(scale) == 4.0
    assert mean_of(codes, scale)[0, :4].tolist() == pytest.approx([-4.0, 4 * (64 / 127) ** 2, 0.0, 0.0])


def test_codes_of_the_mean_square_by_hand() -> None:
    """Ten codes below the largest for each halving; what is not zero never becomes it; zero stays."""
    codes, scale = square_codes(block(8.0, 4.0, 1.0, 8e-30), draws())
    assert codes[0, :2].tolist() == [255, 245]
    assert codes[0, 3:5].tolist() == [1, 0]
    assert square_of(codes, scale)[0, :3].tolist() == pytest.approx([8.0, 4.0, 1.0])


@given(st.lists(st.floats(2.0**-20, 1.0), min_size=1, max_size=BLOCK), st.integers(0, 1000))
def test_a_mean_square_is_off_by_one_code_at_most(numbers: list[float], seed: int) -> None:
    given_ = block(*numbers)[:, : len(numbers)]
    back = square_of(*square_codes(given_, draws(seed)[:, : len(numbers)]))
    assert ((back / given_).log2().abs() <= 0.1001).all()


@given(st.lists(st.floats(-1.0, 1.0, width=32), min_size=1, max_size=BLOCK))
def test_a_mean_is_off_by_half_a_step_of_its_root(numbers: list[float]) -> None:
    given_ = block(*numbers)
    codes, scale = mean_codes(given_)
    signed = mean_of(codes, scale).abs().sqrt() - given_.abs().sqrt()
    assert (signed.abs() <= scale.sqrt() * (0.5 / 127) * 1.001 + 1e-7).all()


def follow(rounding: str) -> Tensor:
    """The mean square of 256 numbers, half of which have their gradients fall from 1 to 0.1, over 2,000 steps at a
    beta of 0.999."""
    square = torch.ones(1, BLOCK)
    gradient = torch.cat([torch.ones(BLOCK // 2), torch.full((BLOCK // 2,), 0.1)])
    for step in range(2000):
        square = square * 0.999 + 0.001 * gradient.square()
        codes, scale = square_codes(square, draws(step))
        if rounding == "nearest":
            exact = (square / scale).log2() * 10 + 255
            codes = exact.round().to(torch.uint8)
        square = square_of(codes, scale)
    return square[0]


def test_the_mean_square_follows_gradients_that_fall() -> None:
    """0.99 x 0.999^2000 + 0.01 = 0.144."""
    kept, fallen = follow("at random").split(BLOCK // 2)
    assert kept.tolist() == pytest.approx([1.0] * 128)
    assert float(fallen.mean()) == pytest.approx(0.144, rel=0.1)


def test_rounded_to_the_nearest_it_would_never_move() -> None:
    """Negative control."""
    assert follow("nearest").tolist() == pytest.approx([1.0] * BLOCK)


def task() -> tuple[nn.Module, Tensor, Tensor]:
    """A student of the right shape, and what a teacher says of 512 inputs."""
    with torch.random.fork_rng():
        torch.manual_seed(5)
        teacher, student = (
            nn.Sequential(nn.Linear(24, 96), nn.Tanh(), nn.LayerNorm(96), nn.Linear(96, 8)) for _ in range(2)
        )
        inputs = torch.randn(512, 24)
    return student, inputs, teacher(inputs).detach()


def learnt(kind: str) -> float:
    """The share of the loss that is left after 300 steps."""
    student, inputs, wanted = task()
    optimizer = MasterAdamW(student, betas=BETAS, weight_decay=0.01, kind=kind)
    losses = []
    for _ in range(300):
        loss = (student(inputs) - wanted).square().mean()
        loss.backward()
        optimizer.collect()
        optimizer.step(3e-3, max_grad_norm=10.0)
        losses.append(loss.item())
    return losses[-1] / losses[0]


def test_a_network_learns_as_well_as_with_moments_of_32_bits() -> None:
    full, low = learnt("adamw"), learnt("adamw8bit")
    assert full < 0.1
    assert low < 1.05 * full


def test_the_first_step_is_adamws_own() -> None:
    """The moments are rounded only after they have been used; a rate and a decay that differ between groups."""
    ours, _, _ = task()
    theirs = copy.deepcopy(ours)
    low = MasterAdamW(ours, betas=BETAS, weight_decay=0.1, kind="adamw8bit")
    full = MasterAdamW(theirs, betas=BETAS, weight_decay=0.1)
    for model, optimizer in ((ours, low), (theirs, full)):
        model(torch.ones(3, 24)).square().sum().backward()
        optimizer.step(1e-2, max_grad_norm=1.0)
    for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6)


def test_moments_take_a_byte_each_and_a_scale_for_256() -> None:
    weight = nn.Parameter(torch.zeros(300, 512))
    adam = AdamW8bit([{"params": [weight], "weight_decay": 0.0}], lr=0.0, betas=BETAS)
    kept = sum(x.numel() * x.element_size() for x in adam.moments[0].values())
    assert kept == weight.numel() * 2 * (1 + 4 / 256)


def test_a_state_read_back_goes_on_as_if_nothing_had_happened(tmp_path: Path) -> None:
    def go_on(model: nn.Module, optimizer: MasterAdamW, inputs: Tensor) -> None:
        for _ in range(5):
            (model(inputs) - 1).square().mean().backward()
            optimizer.step(1e-3, max_grad_norm=1.0)

    model, inputs, _ = task()
    optimizer = MasterAdamW(model, betas=BETAS, weight_decay=0.1, kind="adamw8bit")
    go_on(model, optimizer, inputs)
    torch.save(optimizer.state(), tmp_path / "state.pt")
    go_on(model, optimizer, inputs)
    other, _, _ = task()
    resumed = MasterAdamW(other, betas=BETAS, weight_decay=0.1, kind="adamw8bit")
    resumed.load_state(torch.load(tmp_path / "state.pt", weights_only=True))
    go_on(other, resumed, inputs)
    for a, b in zip(model.parameters(), other.parameters(), strict=True):
        assert torch.equal(a, b)


def test_a_state_of_the_other_kind_is_refused() -> None:
    model, _, _ = task()
    full = MasterAdamW(model, betas=BETAS, weight_decay=0.0)
    with pytest.raises(InputError, match=r"\(adamw\) is not that of this recipe \(adamw8bit\)"):
        MasterAdamW(model, betas=BETAS, weight_decay=0.0, kind="adamw8bit").load_state(full.state())
