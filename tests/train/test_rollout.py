"""Which cases a step takes, and what becomes of them."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from diagnosis_zero.engine.generate import encode_chat
from diagnosis_zero.engine.model import Policy
from diagnosis_zero.prompts import SHORT, build_chat
from diagnosis_zero.train.rollout import cases_of_step, rollout
from diagnosis_zero.types import Case, Reward, SamplingParams


def numbered(count: int) -> list[Case]:
    return [Case(str(i), "made", str(i), f"Patient {i}.", ("Gout",)) for i in range(count)]


def stream(cases: list[Case], prompts: int, seed: int, steps: int) -> list[str]:
    return [case.id for step in range(1, steps + 1) for case in cases_of_step(cases, step, prompts, seed)]


@given(count=st.integers(1, 40), prompts=st.integers(1, 17), seed=st.integers(0, 3), epochs=st.integers(1, 3))
def test_the_steps_are_one_stream_of_shuffled_passes(count: int, prompts: int, seed: int, epochs: int) -> None:
    cases = numbered(count)
    ids = stream(cases, prompts, seed, steps=-(-count * epochs // prompts))
    for epoch in range(epochs):
        assert Counter(ids[epoch * count : (epoch + 1) * count]) == Counter(case.id for case in cases)


@given(count=st.integers(1, 40), prompts=st.integers(1, 17), seed=st.integers(0, 3), data=st.data())
def test_a_step_is_a_function_of_its_number_alone(count: int, prompts: int, seed: int, data: st.DataObject) -> None:
    cases = numbered(count)
    steps = list(range(1, 9))
    in_order = {step: cases_of_step(cases, step, prompts, seed) for step in steps}
    shuffled = data.draw(st.permutations(steps))
    assert {step: cases_of_step(cases, step, prompts, seed) for step in shuffled} == in_order
    assert all(len(chosen) == prompts for chosen in in_order.values())


def test_passes_and_seeds_shuffle_differently() -> None:
    cases = numbered(30)
    first, second = (stream(cases, 30, seed=0, steps=2)[at : at + 30] for at in (0, 30))
    other_seed = stream(cases, 30, seed=1, steps=1)
    plain = [case.id for case in cases]
    assert len({tuple(order) for order in (first, second, other_seed, plain)}) == 4


def test_a_group_for_each_case_in_order_scored_by_the_reward(toy_policy: Policy) -> None:
    cases = numbered(3)
    read: list[tuple[str, str]] = []

    def reward(text: str, case: Case) -> Reward:
        read.append((text, case.id))
        return Reward(len(text), {"accuracy": 0.0})

    groups = rollout(toy_policy, cases, SHORT, reward, 4, SamplingParams(max_tokens=6, seed=1))
    assert [group.case for group in groups] == cases
    assert read == [(c.text, group.case.id) for group in groups for c in group.completions]
    for group in groups:
        assert list(group.prompt_ids) == encode_chat(toy_policy.tokenizer, build_chat(group.case, SHORT))
        assert [reward.score for reward in group.rewards] == [len(c.text) for c in group.completions]
        assert len(group.completions) == 4
        assert all(len(c.logprobs) == len(c.token_ids) <= 6 for c in group.completions)
    again = rollout(toy_policy, cases[::-1], SHORT, reward, 4, SamplingParams(max_tokens=6, seed=1))
    for one, other in zip(again[::-1], groups, strict=True):
        for a, b in zip(one.completions, other.completions, strict=True):
            assert (a.token_ids, a.text, a.finish) == (b.token_ids, b.text, b.finish)
            assert a.logprobs == pytest.approx(b.logprobs, abs=1e-5)  # other company, other rounding
