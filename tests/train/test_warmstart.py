"""The warm start: the loss falls, the form is learnt, and twice the same is the same."""

from __future__ import annotations

import copy

import pytest
import torch
from benchmarks.toy_runs import raw_policy, toy_cases, toy_examples
from textbook import worst_error

from diagnosis_zero.engine.generate import EngineGenerator, encode_chat
from diagnosis_zero.engine.layout import pack
from diagnosis_zero.engine.logprobs import row_logprobs
from diagnosis_zero.engine.model import Policy
from diagnosis_zero.parsing import parse, render
from diagnosis_zero.prompts import SHORT, build_chat
from diagnosis_zero.train.optimizer import MasterAdamW
from diagnosis_zero.train.warmstart import warm_start
from diagnosis_zero.types import SamplingParams


def warmed(
    policy: Policy, *, batches: int, size: int = 16, lr: float = 1e-2, budget: int = 2048, seed: int = 0
) -> list[float]:
    losses: list[float] = []
    seen: list[int] = []

    def on_batch(batch: int, loss: float) -> None:
        seen.append(batch)
        losses.append(loss)

    warm_start(
        policy,
        toy_examples(),
        batches=batches,
        batch_size=size,
        lr=lr,
        seed=seed,
        token_budget=budget,
        on_batch=on_batch,
    )
    assert seen == list(range(1, batches + 1))
    return losses


def well_formed(policy: Policy) -> float:
    policy.model.eval()
    chats = [build_chat(case, SHORT) for case in toy_cases(16)]
    written = EngineGenerator(policy).generate(chats, 1, SamplingParams(max_tokens=30, temperature=0.0))
    return sum(parse(group[0].text).well_formed for group in written) / len(written)


def test_the_loss_falls_and_the_form_is_learnt() -> None:
    policy = raw_policy()
    assert well_formed(policy) == 0
    losses = warmed(policy, batches=60)
    assert losses[0] == pytest.approx(torch.log(torch.tensor(float(policy.model.config.vocab_size))).item(), rel=0.1)
    assert losses[-1] < losses[0] / 5
    assert well_formed(policy) == 1


def test_the_loss_is_the_mean_negative_logprob_of_the_target_and_its_end() -> None:
    """One batch of all examples, before any update, against a plain forward of each."""
    policy = raw_policy()
    plain = copy.deepcopy(policy.model)
    plain.set_attn_implementation("eager")
    total, tokens = 0.0, 0
    for chat, target in toy_examples():
        prompt = encode_chat(policy.tokenizer, chat)
        completion = [*policy.tokenizer(target, add_special_tokens=False)["input_ids"], policy.tokenizer.eos_token_id]
        with torch.no_grad():
            logits = plain(torch.tensor([[*prompt, *completion]])).logits[0, len(prompt) - 1 : -1]
        total -= float(logits.log_softmax(-1).gather(1, torch.tensor(completion)[:, None]).sum())
        tokens += len(completion)
    assert warmed(policy, batches=1, size=len(toy_examples())) == [pytest.approx(total / tokens, rel=1e-5)]


def test_twice_the_same_is_the_same_and_another_seed_is_not() -> None:
    one, two, other = raw_policy(), raw_policy(), raw_policy()
    assert warmed(one, batches=4) == warmed(two, batches=4)
    for a, b in zip(one.model.parameters(), two.model.parameters(), strict=True):
        assert torch.equal(a, b)
    assert warmed(other, batches=4, seed=1) != warmed(raw_policy(), batches=4)


def test_the_token_budget_changes_nothing() -> None:
    whole, cut = raw_policy(), raw_policy()
    assert warmed(whole, batches=3, lr=1e-4) == pytest.approx(warmed(cut, batches=3, lr=1e-4, budget=70), rel=1e-5)
    assert worst_error(list(cut.model.parameters()), list(whole.model.parameters())) < 1e-5


def test_what_is_learnt_is_the_full_form() -> None:
    """The examples are what the parser calls well formed: a warm start cannot teach a form that is not rewarded."""
    assert all(parse(target).well_formed for _, target in toy_examples())
    assert render("sign", "Gout") in {target for _, target in toy_examples()}


def test_a_bf16_model_learns_on_after_the_warm_start() -> None:
    """The warm start's optimizer must not take the gradients that come after it."""
    policy = raw_policy()
    policy.model.to(torch.bfloat16)
    warmed(policy, batches=2)
    optimizer = MasterAdamW(policy.model, betas=(0.9, 0.99), weight_decay=0.0)
    for row in pack([([3, 5, 8], [[2, 7, 4]])], 64):
        row_logprobs(policy.model, row)[0].sum().backward()
    optimizer.collect()
    assert all(master.grad is not None and bool(master.grad.any()) for master in optimizer.masters)
