"""The shared prompt against the obvious way: repeated prompts, plain attention, full softmax."""

from __future__ import annotations

import copy

import pytest
import torch
from families import FAMILIES

from diagnosis_zero.engine import model as engine_model
from diagnosis_zero.engine.layout import GroupSpan, pack
from diagnosis_zero.engine.logprobs import row_logprobs

# Ragged on purpose: lengths 1 (nothing fed), equal neighbours, one long.
GROUPS = [
    ((5, 7, 9, 11, 13, 2, 8), [9, 1, 4, 4, 17]),
    ((3, 1, 4), [2, 6]),
    (tuple(range(40, 75)), [3, 12, 12, 1]),
]


def groups(seed: int = 0) -> list[tuple[tuple[int, ...], list[list[int]]]]:
    generator = torch.Generator().manual_seed(seed)
    return [
        (prompt, [torch.randint(0, 211, (length,), generator=generator).tolist() for length in lengths])
        for prompt, lengths in GROUPS
    ]


def repeated_prompt_logprobs(model, prompt, completion, temperature=1.0):
    """The slow reference: one row per completion, the prompt in each, Hugging Face's own attention."""
    ids = torch.tensor([[*prompt, *completion]])
    logits = model(ids).logits[0, len(prompt) - 1 : -1].float() / temperature
    logprobs = logits.log_softmax(-1)
    entropy = -(logprobs.exp() * logprobs).sum(-1)
    return logprobs.gather(1, torch.tensor(completion)[:, None])[:, 0], entropy


def pair(family: str):
    torch.manual_seed(1)
    reference = FAMILIES[family]()
    with torch.no_grad():
        for parameter in reference.parameters():
            if parameter.dim() > 1:
                parameter.mul_(3.0)  # away from the near-uniform start, where errors would hide
    reference.set_attn_implementation("eager")
    return reference, engine_model.prepare(copy.deepcopy(reference))


def objective(logprobs, entropy, weight):
    return (logprobs * weight).sum() + 0.1 * entropy.sum()


def shared_loss(model, data, weights, budget, temperature=1.0):
    total = torch.zeros(())
    for row in pack(data, budget):
        logprobs, entropy = row_logprobs(model, row, temperature)
        weight = torch.cat([weights[member] for member in row.members])
        part = objective(logprobs, entropy, weight)
        part.backward()
        total += part.detach()
    return total


def reference_loss(model, data, weights, temperature=1.0):
    total = torch.zeros(())
    for g, (prompt, completions) in enumerate(data):
        for c, completion in enumerate(completions):
            logprobs, entropy = repeated_prompt_logprobs(model, prompt, completion, temperature)
            part = objective(logprobs, entropy, weights[(g, c)])
            part.backward()
            total += part.detach()
    return total


def token_weights(data):
    generator = torch.Generator().manual_seed(7)
    return {
        (g, c): torch.randn(len(completion), generator=generator)
        for g, (_, completions) in enumerate(data)
        for c, completion in enumerate(completions)
    }


def worst_gradient_error(a, b) -> float:
    pairs = [(x.grad, y.grad) for x, y in zip(a.parameters(), b.parameters(), strict=True)]
    whole = torch.stack([x.norm() for x, _ in pairs]).norm()
    return max(float((x - y).norm() / max(x.norm(), 1e-6 * whole)) for x, y in pairs)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("budget", [20, 60, 4096])
def test_loss_and_every_gradient_equal_the_repeated_prompt(family, budget):
    reference, shared = pair(family)
    data = groups()
    weights = token_weights(data)
    expected = reference_loss(reference, data, weights, temperature=0.7)
    got = shared_loss(shared, data, weights, budget, temperature=0.7)
    assert float(got) == pytest.approx(float(expected), rel=1e-5)
    assert worst_gradient_error(reference, shared) < 1e-5


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_long_groups_are_cut_for_the_threads_and_nothing_changes(threads):
    """Prompts beyond ``HALVED_FROM``, of an odd and an even number of tokens; bodies that do and do not divide."""
    generator = torch.Generator().manual_seed(4)
    draw = lambda length: torch.randint(0, 211, (length,), generator=generator).tolist()  # noqa: E731 - short
    data = [(tuple(draw(131)), [draw(70), draw(70), draw(61)]), (tuple(draw(128)), [draw(64), draw(64)])]
    reference, shared = pair("llama")
    weights = token_weights(data)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        got = shared_loss(shared, data, weights, 4096)
        expected = reference_loss(reference, data, weights)
    finally:
        torch.set_num_threads(before)
    assert float(got) == pytest.approx(float(expected), rel=1e-5)
    assert worst_gradient_error(reference, shared) < 1e-5


def test_gradient_checkpointing_changes_nothing():
    reference, shared = pair("qwen2")
    engine_model.enable_checkpointing(shared)
    shared.train()
    data = groups()
    weights = token_weights(data)
    reference_loss(reference, data, weights)
    shared_loss(shared, data, weights, budget=4096)
    assert worst_gradient_error(reference, shared) < 1e-5


def test_a_wrong_mask_is_noticed(monkeypatch):
    """Negative control: completions that do not see their prompt give other gradients."""
    reference, shared = pair("qwen2")
    data = groups()
    weights = token_weights(data)
    blind = lambda spans: tuple(GroupSpan(s.start, 1, (s.prompt - 1, *s.completions)) for s in spans)  # noqa: E731
    layout = "diagnosis_zero.engine.logprobs.GroupLayout"
    from diagnosis_zero.engine.attention import GroupLayout

    monkeypatch.setattr(layout, lambda spans: GroupLayout(blind(spans)))
    reference_loss(reference, data, weights)
    shared_loss(shared, data, weights, budget=4096)
    assert worst_gradient_error(reference, shared) > 1e-2
