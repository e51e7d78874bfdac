"""What a decode step must read and an update must compute, by hand."""

from __future__ import annotations

import pytest
from benchmarks.common import Shape
from benchmarks.floor import step_bytes, update_flops

from diagnosis_zero.train.forecast import ModelSize

QWEN = ModelSize(28, 1536, 8960, 12, 2, 128, 151936, tied=True)
SMALL = ModelSize(1, 2, 3, 1, 1, 2, 5, tied=True)


def test_bytes_of_a_step_of_qwen_1_5b() -> None:
    """1,543,569,408 weights and 28,672 bytes of keys and values a token; 8 prompts, 128 halves of 300 tokens."""
    assert step_bytes(QWEN, Shape(700, 16, 300, 8), 2) == 2 * 1_543_569_408 + 28_672 * (5_600 + 128 * 150)


def test_operations_of_an_update() -> None:
    """34 weights a layer, 10 in the head. 4 tokens of prompt, 2 completions of 3, of which 2 are fed: 8 fed, 6 written.
    Pairs of attention: 4 * 4 / 2 in the prompt, 2 * (3 * 4 + 3 * 3 // 2) of the completions, 8 operations each."""
    products = 2 * (34 * 8 + 10 * 6)
    attention = 8 * (8 + 2 * (12 + 4))
    assert update_flops(SMALL, Shape(4, 2, 3)) == pytest.approx(3 * (products + attention))
