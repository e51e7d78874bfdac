"""Generate groups: one prefill a prompt, rows that leave when finished, waiting prompts that take their place."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from diagnosis_zero.engine import sampling
from diagnosis_zero.engine.attention import GroupLayout
from diagnosis_zero.engine.cache import DecodeCache
from diagnosis_zero.engine.decoder import decoder
from diagnosis_zero.engine.layout import pack
from diagnosis_zero.engine.logprobs import head_weight, logits
from diagnosis_zero.engine.model import Policy, load
from diagnosis_zero.errors import InputError
from diagnosis_zero.types import Chat, Completion, Finish, SamplingParams

MAX_ROWS = 256
"""Completions decoded at once; a step with more of them refills as rows finish."""
PREFILL_TOKENS = 8192
"""Prompt tokens prefilled in one pass."""

Progress = Callable[[int, int], None]
"""Called with (completions finished, completions wanted)."""


@dataclass(frozen=True, slots=True)
class EngineGenerator:
    """``types.Generator`` over a local model: chats in, completions out.

    ``raw`` joins the messages' contents instead of using the tokenizer's chat template.
    """

    policy: Policy
    raw: bool = False
    progress: Progress | None = None

    def generate(self, prompts: Sequence[Chat], n: int, params: SamplingParams) -> list[list[Completion]]:
        ids = [encode_chat(self.policy.tokenizer, chat, raw=self.raw) for chat in prompts]
        return generate(self.policy, ids, n, params, progress=self.progress)


def load_generator(
    name: str, *, dtype: str = "auto", raw: bool = False, trust_remote_code: bool = False
) -> EngineGenerator:
    """A model by id, folder or "smollm2", ready to generate."""
    policy = load(name, dtype=dtype, trust_remote_code=trust_remote_code)
    policy.model.eval()
    return EngineGenerator(policy, raw=raw)


def encode_chat(tokenizer: Any, chat: Chat, *, raw: bool = False) -> list[int]:
    """Token ids of a chat, up to and including the template's opening of the assistant's turn."""
    if raw or tokenizer.chat_template is None:
        return list(tokenizer("\n".join(m["content"] for m in chat))["input_ids"])
    text = tokenizer.apply_chat_template(list(chat), tokenize=False, add_generation_prompt=True)
    return list(tokenizer(text, add_special_tokens=False)["input_ids"])


def generate(
    policy: Policy,
    prompts: Sequence[Sequence[int]],
    n: int,
    params: SamplingParams,
    *,
    max_rows: int = MAX_ROWS,
    progress: Progress | None = None,
) -> list[list[Completion]]:
    """``n`` completions of each prompt (token ids), in the order of the prompts.

    A completion is a function of (seed, prompt, member) up to the rounding of the matrix products; its
    ``token_ids`` include the end-of-sequence token where it stopped on one, its text does not.

    Raises:
        InputError: a prompt with ``max_tokens`` does not fit the model's window, or ``params`` leave no token to draw.
    """
    _check_params(params)
    _check_window(policy, prompts, params)
    state = _Decoding(policy, prompts, params, _keys(prompts, n), DecodeCache(_layers(policy), width=min(n, max_rows)))
    waiting = deque(_admissions(len(prompts), n, max_rows))
    done = 0
    with torch.inference_mode():
        while waiting or state.cache.rows:
            state.admit(_next_admissions(waiting, len(state.cache.rows), max_rows, prompts))
            state.step()
            if progress is not None and len(state.finished) > done:
                done = len(state.finished)
                progress(done, len(prompts) * n)
    return [[state.finished[(prompt, member)] for member in range(n)] for prompt in range(len(prompts))]


def _layers(policy: Policy) -> int:
    return int(policy.model.config.num_hidden_layers)


def _check_params(params: SamplingParams) -> None:
    what = {
        f"max_tokens = {params.max_tokens} leaves nothing to write": params.max_tokens < 1,
        f"top_p = {params.top_p} leaves no token to draw": not 0 < params.top_p <= 1,
        f"top_k = {params.top_k} leaves no token to draw": params.top_k < 0,
        f"temperature = {params.temperature} is no temperature": not params.temperature >= 0,
    }
    for fault, found in what.items():
        if found:
            raise InputError(fault, mend="Whole vocabulary: top_p = 1, top_k = 0; greedy: temperature = 0.")


def _check_window(policy: Policy, prompts: Sequence[Sequence[int]], params: SamplingParams) -> None:
    window = policy.model.config.max_position_embeddings
    longest = max((len(p) for p in prompts), default=0)
    if longest + params.max_tokens > window:
        raise InputError(
            f"a prompt of {longest} tokens with {params.max_tokens} to write exceeds the window of {window} tokens",
            mend="Prepare the cases with a lower --max-prompt-tokens, or lower rollout.max_tokens.",
        )


def _keys(prompts: Sequence[Sequence[int]], n: int) -> list[list[int]]:
    """Random-number keys: by content, so that company and order do not matter; copies of a prompt differ."""
    seen: Counter[tuple[int, ...]] = Counter()
    keys = []
    for prompt in map(tuple, prompts):
        keys.append([sampling.row_key(prompt, seen[prompt], member) for member in range(n)])
        seen[prompt] += 1
    return keys


Admission = list[tuple[int, int]]
"""The (prompt, member) pairs that enter together behind one prefill of their prompt."""


def _admissions(prompts: int, n: int, max_rows: int) -> list[Admission]:
    """A group enters whole, or (where it is larger than the batch) in parts of ``max_rows``."""
    return [
        [(prompt, member) for member in range(start, min(start + max_rows, n))]
        for prompt in range(prompts)
        for start in range(0, n, max_rows)
    ]


def _next_admissions(
    waiting: deque[Admission], active: int, max_rows: int, prompts: Sequence[Sequence[int]]
) -> list[Admission]:
    """Take from the queue what fits beside the active rows and into one prefill pass."""
    taken: list[Admission] = []
    tokens = 0
    while waiting and active + len(waiting[0]) <= max_rows:
        tokens += len(prompts[waiting[0][0][0]])
        if taken and tokens > PREFILL_TOKENS:
            break
        taken.append(waiting.popleft())
        active += len(taken[-1])
    return taken


@dataclass(slots=True)
class _Written:
    """What a row has written so far."""

    key: int
    tokens: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)


class _Decoding:
    """The state of one ``generate`` call: the cache, what each row has written, what is finished."""

    def __init__(
        self,
        policy: Policy,
        prompts: Sequence[Sequence[int]],
        params: SamplingParams,
        keys: list[list[int]],
        cache: DecodeCache,
    ) -> None:
        self.policy, self.prompts, self.params, self.keys, self.cache = policy, prompts, params, keys, cache
        self.finished: dict[tuple[int, int], Completion] = {}
        self.stop_ids = policy.stop_ids()
        self.decode = decoder(policy.model, min(cache.width * len(prompts), MAX_ROWS))
        self.written: list[_Written] = []  # beside cache.rows, same order

    def admit(self, admissions: list[Admission]) -> None:
        """Prefill the prompts of the newcomers and draw the first token of each."""
        if not admissions:
            return
        ids = [self.prompts[group[0][0]] for group in admissions]
        hidden, layout = _prefill(self.policy, ids)
        first = len(self.cache.rows)
        self.cache.add_groups(layout, admissions)
        self.written += [_Written(self.keys[prompt][member]) for group in admissions for prompt, member in group]
        repeats = torch.tensor([len(group) for group in admissions], device=hidden.device)
        scores = logits(hidden, head_weight(self.policy.model))
        self._draw(scores.repeat_interleave(repeats, dim=0), range(first, len(self.cache.rows)))

    def step(self) -> None:
        """One token for every active row."""
        if not self.cache.rows:
            return
        tokens = [written.tokens[-1] for written in self.written]
        self._draw(self.decode(self.cache, tokens), range(len(self.cache.rows)))

    def _draw(self, scores: Tensor, rows: range) -> None:
        """Sample the next token of ``rows`` from their logits; rows that end leave the cache."""
        params = self.params
        keys = torch.tensor([self.written[i].key for i in rows], device=scores.device)
        at = torch.tensor([len(self.written[i].tokens) for i in rows], device=scores.device)
        tokens, logprobs = sampling.sample(
            scores,
            sampling.uniforms(params.seed, keys, at),
            temperature=params.temperature,
            top_p=params.top_p,
            top_k=params.top_k,
        )
        for i, token, logprob in zip(rows, tokens.tolist(), logprobs.tolist(), strict=True):
            self.written[i].tokens.append(token)
            self.written[i].logprobs.append(logprob)
        for i in reversed(rows):  # from the end, since a finished row's slot is taken by the last one
            if (completion := self._completed(self.written[i])) is not None:
                self._leave(i, completion)

    def _completed(self, written: _Written) -> Completion | None:
        """The completion, if its last token ended it."""
        ended = written.tokens[-1] in self.stop_ids
        if not (ended or len(written.tokens) >= self.params.max_tokens or self._at_stop_string(written)):
            return None
        text = self.policy.tokenizer.decode(written.tokens, skip_special_tokens=True)
        finish: Finish = "stop" if ended or self._at_stop_string(written) else "length"
        return Completion(text, finish, tuple(written.tokens), tuple(written.logprobs))

    def _at_stop_string(self, written: _Written) -> bool:
        if not self.params.stop:
            return False
        # A stop string of k characters spans at most k tokens; a few more cover pieces of one character.
        tail = self.policy.tokenizer.decode(written.tokens[-max(map(len, self.params.stop)) - 4 :])
        return any(stop in tail for stop in self.params.stop)

    def _leave(self, index: int, completion: Completion) -> None:
        row = self.cache.rows[index]
        self.finished[(row.prompt, row.member)] = completion
        self.cache.remove(index)
        self.written[index] = self.written[-1]
        self.written.pop()


def _prefill(policy: Policy, prompts: Sequence[Sequence[int]]) -> tuple[Tensor, GroupLayout]:
    """Last hidden state [prompts, H] of each prompt, and the layout that kept their keys and values."""
    rows = pack([(ids, [[0]]) for ids in prompts], budget=sum(map(len, prompts)))
    assert len(rows) == 1
    row = rows[0].to(policy.device)
    layout = GroupLayout(_in_order(row.spans, row.members), keep=True)
    hidden = policy.model.model(
        input_ids=row.input_ids, position_ids=row.position_ids, layout=layout, use_cache=False
    ).last_hidden_state[0]
    last = torch.tensor([span.body - 1 for span in layout.spans], device=hidden.device)
    return hidden[last], layout


def _in_order(spans: Sequence[Any], members: Sequence[tuple[int, int]]) -> tuple[Any, ...]:
    """The spans in the order of the prompts; packing placed the longest first."""
    by_prompt = {group: span for span, (group, _) in zip(spans, members, strict=True)}
    return tuple(by_prompt[i] for i in range(len(spans)))
