"""Generate groups: one prefill a prompt, rows that leave when finished, waiting prompts that take their place."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from diagnosis_zero.engine import sampling
from diagnosis_zero.engine.attention import GroupLayout
from diagnosis_zero.engine.cache import DecodeCache
from diagnosis_zero.engine.decoder import decoder, is_plain
from diagnosis_zero.engine.layout import pack
from diagnosis_zero.engine.logprobs import head_weight, logits
from diagnosis_zero.engine.model import Policy, load
from diagnosis_zero.engine.static import StaticDecoding, draw
from diagnosis_zero.engine.written import Ending, Written
from diagnosis_zero.errors import InputError
from diagnosis_zero.types import Chat, Completion, SamplingParams

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
    static: bool | None = None,
) -> list[list[Completion]]:
    """``n`` completions of each prompt (token ids), in the order of the prompts.

    A completion is a function of (seed, prompt, member) up to the rounding of the matrix products; its
    ``token_ids`` include the end-of-sequence token where it stopped on one, its text does not. ``static`` chooses the
    way of decoding: None is what suits the device.

    Raises:
        InputError: a prompt with ``max_tokens`` does not fit the model's window, or ``params`` leave no token to draw.
    """
    _check_params(params)
    _check_window(policy, prompts, params)
    waiting = deque(_admissions(len(prompts), n, max_rows))
    if not waiting:
        return [[] for _ in prompts]
    if static is None:
        static = policy.device.type == "cuda" and is_plain(policy.model)
    keys = _keys(prompts, n)
    done = 0
    with torch.inference_mode():
        decoding = _decoding(policy, prompts, params, waiting, max_rows, static=static)
        while waiting or decoding.active:
            if admissions := _next_admissions(waiting, decoding, prompts):
                scores, layout = _prefill(policy, [prompts[group[0][0]] for group in admissions])
                decoding.admit(admissions, keys, layout, scores)
            decoding.step()
            if progress is not None and len(decoding.finished) > done:
                done = len(decoding.finished)
                progress(done, len(prompts) * n)
    return [[decoding.finished[(prompt, member)] for member in range(n)] for prompt in range(len(prompts))]


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


class Decoding(Protocol):
    """The state of one ``generate`` call: what each active row has written, what is finished."""

    finished: dict[tuple[int, int], Completion]

    @property
    def active(self) -> bool:
        """Whether any row is being written."""
        ...

    def fits(self, admissions: Sequence[Admission]) -> bool:
        """Whether all these may enter now."""
        ...

    def admit(
        self, admissions: Sequence[Admission], keys: Sequence[Sequence[int]], layout: GroupLayout, scores: Tensor
    ) -> None:
        """Take over prefilled prompts (the spans of ``layout``) with the logits [groups, V] of their first tokens."""
        ...

    def step(self) -> None:
        """At least one token for every active row."""
        ...


def _decoding(
    policy: Policy,
    prompts: Sequence[Sequence[int]],
    params: SamplingParams,
    waiting: Sequence[Admission],
    max_rows: int,
    *,
    static: bool,
) -> Decoding:
    width = max(map(len, waiting))
    if static:
        return StaticDecoding(policy, prompts, params, width, slots=min(len(waiting), max_rows // width))
    return _Decoding(policy, params, width, max_rows, rows=min(sum(map(len, waiting)), max_rows))


def _next_admissions(
    waiting: deque[Admission], decoding: Decoding, prompts: Sequence[Sequence[int]]
) -> list[Admission]:
    """Take from the queue what fits beside the active rows and into one prefill pass."""
    taken: list[Admission] = []
    tokens = 0
    while waiting and decoding.fits([*taken, waiting[0]]):
        tokens += len(prompts[waiting[0][0][0]])
        if taken and tokens > PREFILL_TOKENS:
            break
        taken.append(waiting.popleft())
    return taken


class _Decoding:
    """``Decoding`` over a cache that grows and shrinks with the rows: no row that has ended is computed."""

    def __init__(self, policy: Policy, params: SamplingParams, width: int, max_rows: int, rows: int) -> None:
        self.params, self.max_rows, self.ending = params, max_rows, Ending(policy, params)
        self.cache = DecodeCache(int(policy.model.config.num_hidden_layers), width)
        self.finished: dict[tuple[int, int], Completion] = {}
        self.decode = decoder(policy.model, rows)
        self.written: list[Written] = []  # beside cache.rows, same order

    @property
    def active(self) -> bool:
        return bool(self.cache.rows)

    def fits(self, admissions: Sequence[Admission]) -> bool:
        return len(self.cache.rows) + sum(map(len, admissions)) <= self.max_rows

    def admit(
        self, admissions: Sequence[Admission], keys: Sequence[Sequence[int]], layout: GroupLayout, scores: Tensor
    ) -> None:
        first = len(self.cache.rows)
        self.cache.add_groups(layout, admissions)
        self.written += [Written(keys[prompt][member]) for group in admissions for prompt, member in group]
        repeats = torch.tensor([len(group) for group in admissions], device=scores.device)
        self._draw(scores.repeat_interleave(repeats, dim=0), range(first, len(self.cache.rows)))

    def step(self) -> None:
        if not self.cache.rows:
            return
        tokens = [written.tokens[-1] for written in self.written]
        self._draw(self.decode(self.cache, tokens), range(len(self.cache.rows)))

    def _draw(self, scores: Tensor, rows: range) -> None:
        """Sample the next token of ``rows`` from their logits; rows that end leave the cache."""
        keys = torch.tensor([self.written[i].key for i in rows], device=scores.device)
        at = torch.tensor([len(self.written[i].tokens) for i in rows], device=scores.device)
        tokens, logprobs = draw(scores, keys, at, self.params)
        for i, token, logprob in zip(rows, tokens.tolist(), logprobs.tolist(), strict=True):
            self.written[i].add(token, logprob)
        for i in reversed(rows):  # from the end, since a finished row's slot is taken by the last one
            if (completion := self.ending.completion(self.written[i])) is not None:
                self._leave(i, completion)

    def _leave(self, index: int, completion: Completion) -> None:
        row = self.cache.rows[index]
        self.finished[(row.prompt, row.member)] = completion
        self.cache.remove(index)
        self.written[index] = self.written[-1]
        self.written.pop()


def _prefill(policy: Policy, prompts: Sequence[Sequence[int]]) -> tuple[Tensor, GroupLayout]:
    """Logits [prompts, V] after each prompt, and the layout that kept their keys and values."""
    rows = pack([(ids, [[0]]) for ids in prompts], budget=sum(map(len, prompts)))
    assert len(rows) == 1
    row = rows[0].to(policy.device)
    layout = GroupLayout(_in_order(row.spans, row.members), keep=True)
    hidden = policy.model.model(
        input_ids=row.input_ids, position_ids=row.position_ids, layout=layout, use_cache=False
    ).last_hidden_state[0]
    last = torch.tensor([span.body - 1 for span in layout.spans], device=hidden.device)
    return logits(hidden[last], head_weight(policy.model)), layout


def _in_order(spans: Sequence[Any], members: Sequence[tuple[int, int]]) -> tuple[Any, ...]:
    """The spans in the order of the prompts; packing placed the longest first."""
    by_prompt = {group: span for span, (group, _) in zip(spans, members, strict=True)}
    return tuple(by_prompt[i] for i in range(len(spans)))
