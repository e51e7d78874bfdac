"""Rollout: against a full forward, independent of company, stopping where it must."""

from __future__ import annotations

import pytest
import torch

from diagnosis_zero.engine.generate import EngineGenerator, encode_chat, generate
from diagnosis_zero.engine.layout import pack
from diagnosis_zero.engine.logprobs import row_logprobs
from diagnosis_zero.errors import InputError
from diagnosis_zero.types import SamplingParams

PARAMS = SamplingParams(max_tokens=24, temperature=1.0, seed=5)


def full_forward_logprobs(policy, prompt, completion, temperature=1.0):
    """Every completion token's logprob from one plain causal forward."""
    policy.model.set_attn_implementation("eager")
    try:
        with torch.no_grad():
            logits = policy.model(torch.tensor([[*prompt, *completion]])).logits[0, len(prompt) - 1 : -1]
    finally:
        policy.model.set_attn_implementation("shared_prompt")
    chosen = torch.tensor(completion)[:, None]
    return (logits.float() / temperature).log_softmax(-1).gather(1, chosen)[:, 0]


@pytest.mark.parametrize("max_rows", [3, 6, 256])
@pytest.mark.parametrize("temperature", [1.0, 0.6])
def test_sampler_logprobs_are_those_of_a_full_forward(policy, prompts, max_rows, temperature):
    params = SamplingParams(max_tokens=24, temperature=temperature, seed=5)
    written = generate(policy, prompts, 4, params, max_rows=max_rows)
    assert [len(group) for group in written] == [4] * len(prompts)
    for prompt, group in zip(prompts, written, strict=True):
        for completion in group:
            expected = full_forward_logprobs(policy, prompt, completion.token_ids, temperature)
            assert torch.allclose(torch.tensor(completion.logprobs), expected, atol=1e-4)


def test_sampler_and_trainer_agree(policy, prompts):
    written = generate(policy, prompts, 4, PARAMS)
    data = [(p, [list(c.token_ids) for c in group]) for p, group in zip(prompts, written, strict=True)]
    for row in pack(data, 200):
        with torch.no_grad():
            trainer, _ = row_logprobs(policy.model, row)
        sampler = torch.tensor([x for g, m in row.members for x in written[g][m].logprobs])
        assert (trainer - sampler).abs().max() < 1e-4


def test_a_completion_does_not_depend_on_its_company(policy, prompts):
    together = generate(policy, prompts, 4, PARAMS)
    refilled = generate(policy, prompts, 4, PARAMS, max_rows=5)
    reversed_order = generate(policy, prompts[::-1], 4, PARAMS)[::-1]
    alone = [generate(policy, [prompt], 4, PARAMS)[0] for prompt in prompts]
    fewer = [group[:2] for group in together]
    texts = lambda groups: [[c.token_ids for c in group] for group in groups]  # noqa: E731
    assert texts(refilled) == texts(together)
    assert texts(reversed_order) == texts(together)
    assert texts(alone) == texts(together)
    assert texts(generate(policy, prompts, 2, PARAMS)) == texts(fewer)


def test_members_copies_and_seeds_differ(policy, prompts):
    first, copy = generate(policy, [prompts[1], prompts[1]], 4, PARAMS)
    other_seed = generate(policy, [prompts[1]], 4, SamplingParams(max_tokens=24, seed=6))[0]
    every = [c.token_ids for c in (*first, *copy, *other_seed)]
    assert len(set(every)) == len(every)


def test_greedy_takes_the_most_likely_token_each_time(policy, prompts):
    params = SamplingParams(max_tokens=8, temperature=0.0)
    for prompt, group in zip(prompts, generate(policy, prompts, 1, params), strict=True):
        ids = list(prompt)
        policy.model.set_attn_implementation("eager")
        for token in group[0].token_ids:
            assert token == int(policy.model(torch.tensor([ids])).logits[0, -1].argmax())
            ids.append(token)
        policy.model.set_attn_implementation("shared_prompt")


def test_finish_says_length_or_stop(policy, prompts):
    groups = generate(policy, prompts, 16, SamplingParams(max_tokens=40, seed=1))
    stop_ids = policy.stop_ids()
    finishes = {c.finish for group in groups for c in group}
    assert finishes == {"stop", "length"}
    for completion in (c for group in groups for c in group):
        assert (completion.token_ids[-1] in stop_ids) == (completion.finish == "stop")
        assert not set(completion.token_ids[:-1]) & stop_ids
        assert len(completion.token_ids) <= 40
        assert len(completion.token_ids) == 40 or completion.finish == "stop"


def test_a_stop_string_ends_the_completion_where_it_appears(policy, prompts):
    free = generate(policy, [prompts[0]], 8, PARAMS)[0]
    stop = free[0].text[3:5]
    stopped = generate(policy, [prompts[0]], 8, SamplingParams(max_tokens=24, seed=5, stop=(stop,)))[0]
    for before, after in zip(free, stopped, strict=True):
        assert before.token_ids[: len(after.token_ids)] == after.token_ids
        assert (stop in after.text) == (stop in before.text)
        if stop in before.text:
            assert after.finish == "stop"
            assert stop not in policy.tokenizer.decode(after.token_ids[:-1])


def test_a_prompt_beyond_the_window_is_refused_with_the_mend(policy):
    with pytest.raises(InputError, match=r"exceeds the window of 2048 tokens.*max_tokens"):
        generate(policy, [[5] * 2040], 1, SamplingParams(max_tokens=9))


def test_chats_go_through_the_template(policy):
    chat = [{"role": "user", "content": "stiff joints"}]
    ids = encode_chat(policy.tokenizer, chat)
    assert policy.tokenizer.decode(ids) == "<|im_start|>user\nstiff joints<|im_end|>\n<|im_start|>assistant\n"
    written = EngineGenerator(policy).generate([chat], 2, PARAMS)
    assert written == generate(policy, [ids], 2, PARAMS)
