"""A device out of memory: rows of half the tokens, once, as if they had been so from the start; then a clear error.

What stands in for the device refuses rows that are too long, after it has left half a gradient behind.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from textbook import BETAS, make_group, plain_model, shared, written_by

from diagnosis_zero.engine.layout import PackedRow
from diagnosis_zero.engine.model import Policy
from diagnosis_zero.errors import InputError
from diagnosis_zero.prompts import SHORT
from diagnosis_zero.train import rollout, step
from diagnosis_zero.train.batch import Credit
from diagnosis_zero.train.loss import LossSettings
from diagnosis_zero.train.optimizer import MasterAdamW
from diagnosis_zero.train.step import Updated, UpdateSettings, update
from diagnosis_zero.types import Reward, SamplingParams

GROUPS = [
    make_group(20, [1.0, 0.1, 0.0, 1.0], [12, 5, 1, 7], prompt=23, limit=12),
    make_group(21, [0.0, 1.0], [6, 6], prompt=11, limit=12),
]
SETTINGS = UpdateSettings(LossSettings(), Credit(max_tokens=12, overlong_buffer=4), token_budget=96)


def small_device(monkeypatch: pytest.MonkeyPatch, tokens: int) -> list[int]:
    """From here on rows of more than ``tokens`` tokens do not fit; the sizes of the rows that were tried."""
    tried: list[int] = []
    real = step.backward

    def limited(model: Any, row: PackedRow, *args: Any, **kwargs: Any) -> None:
        tried.append(row.input_ids.shape[1])
        if tried[-1] > tokens:
            for parameter in model.parameters():
                parameter.grad = torch.ones_like(parameter)
            raise torch.OutOfMemoryError("out of memory")
        real(model, row, *args, **kwargs)

    monkeypatch.setattr(step, "backward", limited)
    return tried


def stepped(settings: UpdateSettings) -> tuple[Updated, dict[str, torch.Tensor]]:
    model = shared(plain_model())
    optimizer = MasterAdamW(model, betas=BETAS, weight_decay=0.0)
    done = update(model, optimizer, written_by(plain_model(), GROUPS), 1e-3, settings)
    return done, model.state_dict()


def test_rows_are_halved_and_nothing_of_the_failed_row_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    expected, weights = stepped(replace(SETTINGS, token_budget=48))
    tried = small_device(monkeypatch, 50)
    done, halved = stepped(SETTINGS)
    assert tried[0] > 50
    assert max(tried[1:]) <= 48
    assert done.token_budget == 48
    assert done.metrics == expected.metrics
    assert all(torch.equal(weights[name], halved[name]) for name in weights)


def test_the_second_time_it_is_the_users_to_mend(monkeypatch: pytest.MonkeyPatch) -> None:
    small_device(monkeypatch, 10)
    with pytest.raises(InputError, match=r"rows of 96 tokens, and of 48.*gradient_checkpointing = true"):
        stepped(SETTINGS)


def test_in_the_rollout_too_it_is_the_users_to_mend(monkeypatch: pytest.MonkeyPatch, toy_policy: Policy) -> None:
    def full(*args: Any, **kwargs: Any) -> None:
        raise torch.OutOfMemoryError("out of memory")

    monkeypatch.setattr(rollout, "generate", full)
    with pytest.raises(InputError, match=r"in a rollout of 1 x 4 completions.*rollout\.group"):
        rollout.rollout(toy_policy, [GROUPS[0].case], SHORT, lambda text, case: Reward(0.0, {}), 4, SamplingParams(8))


def test_a_device_that_is_large_enough_keeps_its_budget() -> None:
    assert stepped(SETTINGS)[0].token_budget == 96
