"""The packed decoder against one plain causal forward of the same tokens, for every family, with biases."""

from __future__ import annotations

import pytest
import torch
from families import FAMILIES, LAYERS

from diagnosis_zero.engine.attention import GroupLayout
from diagnosis_zero.engine.cache import DecodeCache
from diagnosis_zero.engine.decoder import _ModelDecoder, _PackedDecoder, decoder, packs
from diagnosis_zero.engine.layout import GroupSpan
from diagnosis_zero.engine.model import prepare

PROMPTS = [[3, 14, 15, 9, 26], [5, 35, 8]]
WRITTEN = {(0, 0): [9, 7, 9, 3], (0, 1): [2, 3, 8, 4], (1, 0): [6, 2, 6, 4]}


def build(family: str):
    torch.manual_seed(2)
    model = FAMILIES[family]().eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)  # biases are zero and norms one at the start
    return model


def plain_logits(model, prompt, written):
    model.set_attn_implementation("eager")
    return model(torch.tensor([[*prompt, *written]])).logits[0, len(prompt) :]


def prefilled(model) -> DecodeCache:
    layout = GroupLayout((GroupSpan(0, 5, ()), GroupSpan(5, 3, ())), keep=True)
    positions = torch.tensor([[*range(5), *range(3)]])
    model.model(
        input_ids=torch.tensor([[*PROMPTS[0], *PROMPTS[1]]]), position_ids=positions, layout=layout, use_cache=False
    )
    cache = DecodeCache(LAYERS, width=2)
    cache.add_groups(layout, [[(0, 0), (0, 1)], [(1, 0)]])
    return cache


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("kind", [_PackedDecoder, lambda model, rows: _ModelDecoder(model)])
@torch.no_grad()
def test_steps_equal_a_plain_forward(family, kind):
    model = build(family)
    expected = {who: plain_logits(model, PROMPTS[who[0]], tokens) for who, tokens in WRITTEN.items()}
    decode = kind(prepare(model), 3)
    cache = prefilled(model)
    for step in range(4):
        if step == 2:
            cache.remove(0)  # the last row takes its slot
        who = [(row.prompt, row.member) for row in cache.rows]
        found = decode(cache, [WRITTEN[w][step] for w in who])
        for row, w in zip(found, who, strict=True):
            torch.testing.assert_close(row, expected[w][step], atol=2e-5, rtol=1e-5)


def test_a_model_with_other_projections_keeps_its_own_forward():
    model = prepare(build("qwen2"))
    assert isinstance(decoder(model, 4), _PackedDecoder)
    model.model.layers[1].mlp.up_proj = torch.nn.Sequential(model.model.layers[1].mlp.up_proj)
    assert isinstance(decoder(model, 4), _ModelDecoder)


@torch.no_grad()
def test_bf16_is_packed_where_the_processor_has_it():
    model = prepare(build("qwen2").to(torch.bfloat16))
    kind = _PackedDecoder if packs(torch.bfloat16) else _ModelDecoder
    decode, plain = decoder(model, 3), _ModelDecoder(model)
    assert isinstance(decode, kind)
    caches = prefilled(model), prefilled(model)
    for step in range(4):
        tokens = [WRITTEN[(row.prompt, row.member)][step] for row in caches[0].rows]
        found, expected = decode(caches[0], tokens), plain(caches[1], tokens)
        assert found.dtype == torch.float32
        torch.testing.assert_close(found, expected, atol=0.1, rtol=0.05)  # each layer rounds to 8 bits


def test_float32_is_packed():
    assert packs(torch.float32)
