"""Norms and MLP that keep less: the same values, gradients by autograd's own rules, and fewer numbers kept."""

from __future__ import annotations

import copy

import pytest
import torch
from transformers import Qwen3Config, Qwen3ForCausalLM

from diagnosis_zero.engine.lean import make_lean

HIDDEN, INNER = 32, 80


@pytest.fixture(params=[torch.float32, torch.bfloat16], ids=["fp32", "bf16"])
def layers(request):
    """A Qwen3 layer as transformers made it, and a lean copy."""
    torch.manual_seed(4)
    config = Qwen3Config(
        vocab_size=16,
        hidden_size=HIDDEN,
        intermediate_size=INNER,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=16,
    )
    plain = Qwen3ForCausalLM(config).to(request.param)
    with torch.no_grad():
        for parameter in plain.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.2)
    lean = copy.deepcopy(plain)
    make_lean(lean)
    return plain.model.layers[0], lean.model.layers[0]


PARTS = {
    "norm": lambda layer: layer.input_layernorm,
    "norm of heads": lambda layer: layer.self_attn.q_norm,
    "mlp": lambda layer: layer.mlp,
}
WIDTH = {"norm": HIDDEN, "norm of heads": 16, "mlp": HIDDEN}


@pytest.mark.parametrize("part", PARTS)
def test_values_are_the_same_to_the_last_bit_and_gradients_to_rounding(layers, part):
    dtype = layers[0].mlp.up_proj.weight.dtype
    x = torch.randn(2, 5, WIDTH[part]).to(dtype)
    upstream = torch.randn(2, 5, WIDTH[part]).to(dtype)
    outs, grads = [], []
    for layer in layers:
        module, given = PARTS[part](layer), x.clone().requires_grad_()
        outs.append(module(given))
        outs[-1].backward(upstream)
        grads.append([given.grad, *(p.grad for p in module.parameters())])
    assert torch.equal(*outs)
    tolerance = 1e-5 if dtype == torch.float32 else 3e-2
    for plain, lean in zip(*grads, strict=True):
        assert (plain - lean).float().norm() < tolerance * plain.float().norm()


@pytest.mark.parametrize(("part", "numbers"), [("norm", 32 + 1), ("mlp", 2 * INNER + HIDDEN)])
def test_what_is_kept_of_a_token(layers, part, numbers):
    """A norm keeps its input and one number; the MLP its input, for gate and up, and what these gave."""
    module = PARTS[part](layers[1])
    weights = {p.untyped_storage().data_ptr() for p in module.parameters()}
    kept: dict[int, int] = {}

    def note(x: torch.Tensor) -> torch.Tensor:
        kept[x.untyped_storage().data_ptr()] = x.numel()
        return x

    with torch.autograd.graph.saved_tensors_hooks(note, lambda x: x):
        out = module(torch.randn(10, HIDDEN).to(next(module.parameters()).dtype).requires_grad_())
    assert out.requires_grad
    assert sum(n for where, n in kept.items() if where not in weights) == 10 * numbers
