"""Random numbers and draws, against their definitions."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from diagnosis_zero.engine.sampling import inverse_cdf, restrict, row_key, sample, uniforms


def test_uniforms_are_uniform_and_a_function_of_seed_key_and_position():
    keys, positions = torch.arange(400).repeat_interleave(100), torch.arange(100).repeat(400)
    draws = uniforms(7, keys, positions)
    assert torch.equal(draws, uniforms(7, keys, positions))
    assert not torch.equal(draws, uniforms(8, keys, positions))
    assert draws.min() >= 0
    assert draws.max() < 1
    counts = torch.histc(draws, bins=20, min=0, max=1)
    assert ((counts - 2000).abs() < 5 * 2000**0.5).all()  # 5 sigma of 40,000 draws in 20 bins
    grid = draws.view(400, 100)
    assert torch.corrcoef(grid)[0, 1:].abs().max() < 0.45  # neighbouring rows share nothing
    assert len(draws.unique()) == len(draws)


def test_row_keys_differ_by_prompt_copy_and_member():
    keys = {row_key(p, o, m) for p in ([1, 2], [2, 1], [1], [1, 2, 0]) for o in (0, 1) for m in range(8)}
    assert len(keys) == 4 * 2 * 8
    assert all(0 <= key < 1 << 63 for key in keys)


@given(
    weights=st.lists(st.floats(0, 1, width=32), min_size=1, max_size=700).filter(lambda w: sum(w) > 1e-3),
    uniform=st.floats(0, 1, exclude_max=True),
)
def test_inverse_cdf_is_the_first_index_beyond_and_never_of_weight_zero(weights, uniform):
    got = int(inverse_cdf(torch.tensor([weights]), torch.tensor([uniform], dtype=torch.float64)))
    exact = torch.tensor(weights, dtype=torch.float64).cumsum(0)
    goal = uniform * float(exact[-1])
    assert weights[got] > 0
    assert float(exact[got]) >= goal - 1e-6
    assert got == 0 or float(exact[got - 1]) <= goal + 1e-6


def test_frequencies_follow_the_distribution():
    logits = torch.log(torch.tensor([0.5, 0.0, 0.3, 0.2])).expand(20_000, -1)
    uniform = uniforms(1, torch.arange(20_000), torch.zeros(20_000, dtype=torch.long))
    tokens, logprobs = sample(logits, uniform, temperature=1.0)
    shares = torch.bincount(tokens, minlength=4) / 20_000
    assert torch.allclose(shares, torch.tensor([0.5, 0.0, 0.3, 0.2]), atol=0.015)
    assert torch.allclose(logprobs.exp(), torch.tensor([0.5, 0.0, 0.3, 0.2])[tokens], atol=1e-6)


def test_temperature_sharpens_and_the_logprob_is_of_the_sampled_distribution():
    logits = torch.tensor([[1.0, 0.0]])
    _, logprob = sample(logits, torch.tensor([0.0], dtype=torch.float64), temperature=0.5)
    assert float(logprob) == pytest.approx(-0.126928, abs=1e-5)  # log(e^2 / (e^2 + 1))


def test_top_k_and_top_p_by_hand():
    logits = torch.log(torch.tensor([[0.1, 0.4, 0.2, 0.3]]))
    kept = lambda x: (x > -torch.inf).tolist()[0]  # noqa: E731
    assert kept(restrict(logits, 1.0, 0)) == [True] * 4
    assert kept(restrict(logits, 1.0, 2)) == [False, True, False, True]
    assert kept(restrict(logits, 0.65, 0)) == [False, True, False, True]  # 0.4 + 0.3 reach 0.65
    assert kept(restrict(logits, 0.75, 0)) == [False, True, True, True]
    assert kept(restrict(logits, 1e-9, 0)) == [False, True, False, False]  # the likeliest always stays
