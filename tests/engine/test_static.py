"""The decode step that CUDA captures as a graph, run as it is on the CPU: against the packed decoder, which is tested
against full forwards; and without any word from the host."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import pytest
import torch
from families import FAMILIES
from torch.utils._python_dispatch import TorchDispatchMode

from diagnosis_zero.engine import lora, static
from diagnosis_zero.engine.decoder import PROJECTIONS
from diagnosis_zero.engine.generate import generate
from diagnosis_zero.engine.layout import pack
from diagnosis_zero.engine.logprobs import row_logprobs
from diagnosis_zero.engine.model import Policy, prepare
from diagnosis_zero.engine.static import Buffers, Step
from diagnosis_zero.types import Completion, SamplingParams

PARAMS = SamplingParams(max_tokens=30, seed=5)
Written = list[list[Completion]]


def gap(found: Written, expected: Written) -> float:
    """Largest difference of logprobs between completions, which otherwise must be the same."""
    pairs = [pair for groups in zip(found, expected, strict=True) for pair in zip(*groups, strict=True)]
    for a, b in pairs:
        assert (a.token_ids, a.text, a.finish) == (b.token_ids, b.text, b.finish)
        assert len(a.logprobs) == len(a.token_ids)
    return max(abs(x - y) for a, b in pairs for x, y in zip(a.logprobs, b.logprobs, strict=True))


def both(
    policy: Policy, prompts: list[list[int]], n: int, params: SamplingParams, **more: Any
) -> tuple[Written, float]:
    expected = generate(policy, prompts, n, params, static=False, **more)
    return expected, gap(generate(policy, prompts, n, params, static=True, **more), expected)


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_writes_what_the_packed_decoder_writes(family: str, policy: Policy) -> None:
    torch.manual_seed(2)
    model = FAMILIES[family]().eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)  # biases are zero and norms one at the start
    own = Policy(prepare(model), policy.tokenizer, family)
    prompts = [[3, 14, 15, 9, 26], [5, 35, 8], list(range(10, 60)), [7]]
    assert both(own, prompts, 3, PARAMS)[1] < 2e-5


class OftenStopping(Policy):
    """One token in seven ends a completion."""

    def stop_ids(self) -> frozenset[int]:
        return frozenset(range(0, 300, 7))


@pytest.mark.parametrize("max_rows", [1, 3, 4, 9, 256])
def test_groups_that_wait_or_are_cut_by_the_rows(policy: Policy, prompts: list[list[int]], max_rows: int) -> None:
    """Four a group and five groups: row by row, a group in parts, one after another, two at once, all at once."""
    often = OftenStopping(policy.model, policy.tokenizer, policy.name)
    written, worst = both(often, prompts, 4, PARAMS, max_rows=max_rows)
    assert worst < 2e-5
    lengths = [len(c.token_ids) for group in written for c in group]
    assert len(set(lengths)) > 6, "rows must end at different times"
    assert {c.finish for group in written for c in group} == {"stop", "length"}
    assert 1 in lengths, "a row must end at its first token"


@pytest.mark.parametrize(
    "settings",
    [
        {"temperature": 0.0},
        {"temperature": 0.7},
        {"top_p": 0.8},
        {"top_k": 7},
        {"top_p": 0.9, "top_k": 20, "temperature": 1.3},
        {"max_tokens": 1},
        {"max_tokens": 8},
        {"max_tokens": 9},
        {"seed": 8},
    ],
)
def test_every_way_of_sampling(policy: Policy, prompts: list[list[int]], settings: dict[str, Any]) -> None:
    assert both(policy, prompts, 3, replace(PARAMS, **settings), max_rows=6)[1] < 2e-5


@pytest.mark.parametrize("targets", [("q_proj", "v_proj", "down_proj"), PROJECTIONS])
def test_an_adapter(policy: Policy, prompts: list[list[int]], targets: tuple[str, ...]) -> None:
    model = copy.deepcopy(policy.model)
    lora.adapt(model, rank=4, alpha=8.0, targets=targets, seed=1)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                parameter.copy_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(2)) * 0.2)
    # Not the seed of the others: with two threads one of its draws falls on the border of two tokens, within rounding.
    params = replace(PARAMS, seed=6)
    written, worst = both(Policy(model, policy.tokenizer, policy.name), prompts, 2, params)
    assert worst < 2e-5
    assert written != generate(policy, prompts, 2, params)


def test_sampler_and_trainer_agree_in_bf16(policy: Policy, prompts: list[list[int]]) -> None:
    own = Policy(copy.deepcopy(policy.model).to(torch.bfloat16), policy.tokenizer, policy.name)
    written = generate(own, prompts, 4, PARAMS, static=True)
    data = [(p, [list(c.token_ids) for c in group]) for p, group in zip(prompts, written, strict=True)]
    [row] = pack(data, 4096)
    with torch.no_grad():
        trainer, _ = row_logprobs(own.model, row)
    sampler = torch.tensor([x for g, m in row.members for x in written[g][m].logprobs])
    assert float((trainer - sampler).abs().mean()) < 0.03


def test_a_stop_string_cuts_what_was_written_until_the_next_look(policy: Policy, prompts: list[list[int]]) -> None:
    free = generate(policy, prompts, 6, PARAMS)
    stop = free[0][0].text[3:5]
    written, worst = both(policy, prompts, 6, replace(PARAMS, stop=(stop,)), max_rows=12)
    assert worst < 2e-5
    cut = [c for group in written for c in group if stop in c.text]
    assert {len(c.token_ids) % static.LOOK for c in cut} - {1}, "some must end between two looks"


def test_more_tokens_than_one_block_of_own_keys(policy: Policy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(static, "OWN_BLOCK", 16)
    attended: list[int] = []
    step = Step.__call__

    def listened(self: Step, own: int) -> None:
        attended.append(own)
        step(self, own)

    monkeypatch.setattr(Step, "__call__", listened)
    endless = replace(PARAMS, max_tokens=60, temperature=1.5)
    assert both(policy, [[9, 4], [8] * 30], 4, endless)[1] < 2e-5
    assert sorted(set(attended)) == [16, 32, 48, 64]


def test_a_key_hidden_too_many_would_be_noticed(
    policy: Policy, prompts: list[list[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Negative control: the prompt's first token is not seen."""
    of = static._StepLayout.of

    def short(buffers: Buffers, own: int) -> static._StepLayout:
        layout = of(buffers, own)
        layout.hidden[..., 0] = -torch.inf
        return layout

    monkeypatch.setattr(static._StepLayout, "of", short)
    with pytest.raises(AssertionError):
        assert both(policy, prompts, 3, PARAMS)[1] < 2e-5


# -- nothing is asked of the host


class Listener(TorchDispatchMode):
    """Fails at any operation that touches the processor's memory."""

    def __init__(self) -> None:
        super().__init__()
        self.operations = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        self.operations += 1
        tensors = [x for x in torch.utils._pytree.tree_leaves((args, kwargs, out)) if isinstance(x, torch.Tensor)]
        here = [x for x in tensors if x.device.type == "cpu"]
        assert not here, f"{func} touches the host"
        return out


def numberless_step(family: str, params: SamplingParams) -> Step:
    """A step in bf16 over tensors that have shapes and no numbers (device "meta"): what asks for a number fails."""
    with torch.device("meta"):
        model = prepare(FAMILIES[family]().to(torch.bfloat16).eval())
    return Step(model, params, [2, 7], Buffers.of(model, 3, 4, 50, params.max_tokens))


@pytest.mark.parametrize("settings", [{}, {"temperature": 0.0}, {"top_p": 0.9, "top_k": 5, "temperature": 0.7}])
@pytest.mark.parametrize("family", FAMILIES)
def test_a_step_asks_the_host_nothing(family: str, settings: dict[str, Any]) -> None:
    with torch.inference_mode():
        step = numberless_step(family, replace(PARAMS, **settings))
        with Listener() as listener:
            step(16)
    assert listener.operations > 100


def test_a_question_to_the_host_would_be_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Negative controls: a number read from the device, and one brought to it."""
    record = Step._record

    def asking(self: Step, tokens: torch.Tensor, logprobs: torch.Tensor) -> None:
        if bool(self.buffers.live.any()):
            record(self, tokens, logprobs)

    def telling(self: Step, tokens: torch.Tensor, logprobs: torch.Tensor) -> None:
        self.buffers.column.copy_(torch.tensor([0]))

    for fault, complaint in ((asking, "meta tensors"), (telling, "touches the host")):
        monkeypatch.setattr(Step, "_record", fault)
        with torch.inference_mode():
            step = numberless_step("qwen2", PARAMS)
            with pytest.raises((RuntimeError, AssertionError), match=complaint), Listener():
                step(16)
