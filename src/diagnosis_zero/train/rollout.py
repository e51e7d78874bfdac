"""From cases to scored groups: the policy writes, the reward reads."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from random import Random

import torch

from diagnosis_zero.engine.generate import encode_chat, generate
from diagnosis_zero.engine.model import Policy
from diagnosis_zero.errors import InputError
from diagnosis_zero.prompts import build_chat
from diagnosis_zero.types import Case, Group, RewardFn, SamplingParams


def rollout(
    policy: Policy, cases: Sequence[Case], template: str, reward: RewardFn, n: int, params: SamplingParams
) -> list[Group]:
    """One group of ``n`` scored completions for each case, in the order of the cases.

    Raises:
        InputError: the device is out of memory, or a prompt does not fit the model's window.
    """
    prompts = [tuple(encode_chat(policy.tokenizer, build_chat(case, template))) for case in cases]
    policy.model.eval()
    try:
        written = generate(policy, prompts, n, params)
    except torch.OutOfMemoryError as error:
        what = f"the device is out of memory in a rollout of {len(prompts)} x {n} completions"
        mend = "Lower rollout.prompts, rollout.group, rollout.max_tokens or data.max_prompt_tokens."
        raise InputError(what, mend=mend) from error
    return [
        Group(case, prompt, tuple(completions), tuple(reward(c.text, case) for c in completions))
        for case, prompt, completions in zip(cases, prompts, written, strict=True)
    ]


def cases_of_step(cases: Sequence[Case], step: int, prompts: int, seed: int) -> list[Case]:
    """The cases of step ``step`` (from 1): a stream of shuffled passes, each its own permutation.

    A function of its arguments alone, so that a resumed run goes on where it was without any state.
    """
    first = (step - 1) * prompts
    return [cases[_place(index, len(cases), seed)] for index in range(first, first + prompts)]


def _place(index: int, count: int, seed: int) -> int:
    epoch, position = divmod(index, count)
    return _permutation(epoch, count, seed)[position]


@lru_cache(maxsize=2)  # a step spans two passes at most where it holds fewer prompts than there are cases
def _permutation(epoch: int, count: int, seed: int) -> tuple[int, ...]:
    order = list(range(count))
    Random(f"{seed}/{epoch}").shuffle(order)
    return tuple(order)
