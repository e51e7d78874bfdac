"""FlexAttention, which CUDA uses, against the pieces, which the CPU uses; its mask can be tried without a GPU."""

from __future__ import annotations

import pytest
import torch
from test_parity import groups
from torch.nn.attention.flex_attention import flex_attention

from diagnosis_zero.engine import attention
from diagnosis_zero.engine.attention import GroupLayout
from diagnosis_zero.engine.layout import GroupSpan, pack

HEADS, KV_HEADS, WIDTH = 4, 2, 16
SCALE = WIDTH**-0.5


def inputs(length: int) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    shapes = [(1, HEADS, length, WIDTH), (1, KV_HEADS, length, WIDTH), (1, KV_HEADS, length, WIDTH)]
    return [torch.randn(shape, generator=generator) for shape in shapes]


@pytest.mark.filterwarnings("ignore:flex_attention called without torch.compile")
@pytest.mark.parametrize("budget", [60, 4096])
def test_its_mask_gives_the_pieces_outputs(monkeypatch, budget):
    monkeypatch.setattr(attention, "_flex_compiled", lambda: flex_attention)
    for row in pack(groups(), budget):
        q, k, v = inputs(len(row.input_ids[0]))
        pieces = GroupLayout(row.spans).attend(0, q, k, v, SCALE)
        flex = GroupLayout(row.spans)._flex(q, k, v, SCALE)
        torch.testing.assert_close(flex, pieces, atol=1e-6, rtol=1e-5)


@pytest.mark.filterwarnings("ignore:flex_attention called without torch.compile")
def test_a_prompt_cut_short_gives_others(monkeypatch):
    """Negative control: the comparison above sees a single prompt token that is hidden."""
    monkeypatch.setattr(attention, "_flex_compiled", lambda: flex_attention)
    [row] = pack(groups()[:1], 4096)
    q, k, v = inputs(len(row.input_ids[0]))
    short = tuple(GroupSpan(s.start, s.prompt - 1, (s.completions[0] + 1, *s.completions[1:])) for s in row.spans)
    assert not torch.allclose(
        GroupLayout(short)._flex(q, k, v, SCALE), GroupLayout(row.spans).attend(0, q, k, v, SCALE)
    )
