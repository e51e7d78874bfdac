"""A tiny policy over a small made-up text, shared by the engine's tests."""

from __future__ import annotations

import pytest
import torch

from diagnosis_zero.engine import tiny
from diagnosis_zero.engine.model import Policy

TEXT = "A man of forty with stiff joints, a rash and kidney stones. <think> the joints </think> <answer> gout </answer>"


@pytest.fixture(scope="session")
def policy() -> Policy:
    built = tiny.build([TEXT] * 20, seed=3, vocabulary=300, hidden=64, layers=3, heads=4)
    with torch.no_grad():
        for parameter in built.model.parameters():
            if parameter.dim() > 1:
                parameter.mul_(4.0)
    built.model.eval()
    return built


@pytest.fixture(scope="session")
def prompts(policy: Policy) -> list[list[int]]:
    texts = ["stiff joints", TEXT, "a rash and kidney stones", "A man of forty", TEXT[:50]]
    return [list(policy.tokenizer(text)["input_ids"]) for text in texts]
