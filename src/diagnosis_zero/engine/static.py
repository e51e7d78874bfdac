"""Decoding on CUDA: a step that never asks the host, so that it can be captured once as a graph and replayed.

A step is a function of tensors on the device alone: the last tokens, how much each row has written, keys and values in
buffers of fixed size, random numbers counted from (seed, key, position). The host looks every ``LOOK`` tokens, collects
the rows that have ended and lets waiting groups in. Without a GPU the same step runs as it is, which is how it is
tested.

A group has a slot, and its rows lie side by side: row = slot * width + place. So the queries of a group are one matrix
against its prompt, whose keys are read once a step, and no row is ever moved. A slot is free when all of its group have
ended; until then the places of ended rows are computed and thrown away, which costs little where a step waits for the
weights to be read.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from diagnosis_zero.engine import sampling
from diagnosis_zero.engine.attention import GroupLayout
from diagnosis_zero.engine.decoder import AddedProject, Layer, Project, normed, stacked
from diagnosis_zero.engine.logprobs import head_weight, logits
from diagnosis_zero.engine.model import Policy
from diagnosis_zero.engine.written import Ending, Written
from diagnosis_zero.types import Completion, SamplingParams

LOOK = 8
"""Tokens between two looks of the host."""
OWN_BLOCK = 128
"""A step attends to own keys up to the next multiple of this; there is one graph for each."""
ALIGNED = 8
"""Lengths of buffers are multiples of this, as the matrix units want them."""


# -- what a step reads and writes ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Buffers:
    """All that changes from step to step, for R = slots x width rows.

    Prompt keys and values are [layers, slots, Hkv, P, D], own ones [layers, slots, Hkv, width, S, D]. ``tokens``,
    ``written`` (tokens written so far; the last one's key is not yet in the buffer), ``keys`` (of the random numbers)
    and ``live`` are [R], ``prompt_lengths`` [slots]. Step ``column`` [1] of a window writes that column of
    ``new_tokens`` and ``new_logprobs`` [R, LOOK].
    """

    prompt_k: Tensor
    prompt_v: Tensor
    own_k: Tensor
    own_v: Tensor
    prompt_lengths: Tensor
    tokens: Tensor
    written: Tensor
    keys: Tensor
    live: Tensor
    new_tokens: Tensor
    new_logprobs: Tensor
    column: Tensor

    @classmethod
    def of(cls, model: Any, slots: int, width: int, longest_prompt: int, max_tokens: int) -> Buffers:
        """Buffers for prompts and completions up to these lengths. All zero, since what a mask hides is multiplied by
        zero all the same, and a place without a row must give finite numbers."""
        config, dtype, device = model.config, model.dtype, model.device
        attention = model.model.layers[0].self_attn
        layers, heads, size = config.num_hidden_layers, config.num_key_value_heads, attention.head_dim
        prompt = (layers, slots, heads, _rounded(longest_prompt, ALIGNED), size)
        own = (layers, slots, heads, width, _rounded(max_tokens, ALIGNED), size)
        rows = slots * width

        def numbers(*shape: int) -> Tensor:
            return torch.zeros(shape, dtype=torch.long, device=device)

        return cls(
            prompt_k=torch.zeros(prompt, dtype=dtype, device=device),
            prompt_v=torch.zeros(prompt, dtype=dtype, device=device),
            own_k=torch.zeros(own, dtype=dtype, device=device),
            own_v=torch.zeros(own, dtype=dtype, device=device),
            prompt_lengths=numbers(slots),
            tokens=numbers(rows),
            written=numbers(rows) + 1,
            keys=numbers(rows),
            live=torch.zeros(rows, dtype=torch.bool, device=device),
            new_tokens=numbers(rows, LOOK),
            new_logprobs=torch.zeros(rows, LOOK, device=device),
            column=numbers(1),
        )

    @property
    def slots(self) -> int:
        return self.own_k.shape[1]

    @property
    def width(self) -> int:
        return self.own_k.shape[3]


def _rounded(number: int, block: int) -> int:
    return -(-number // block) * block


# -- one step ------------------------------------------------------------------------------------------------------


class Step:
    """One token for every row. A call reads and writes nothing but ``buffers`` and decides nothing on the host."""

    def __init__(self, model: Any, params: SamplingParams, stop_ids: Sequence[int], buffers: Buffers) -> None:
        self.base, self.params, self.buffers = model.model, params, buffers
        self.layers = [Layer.of(layer, _joined, _added) for layer in self.base.layers]
        self.head = head_weight(model).detach()
        self.stop_ids = torch.tensor(stop_ids, dtype=torch.long, device=model.device)

    def __call__(self, own: int) -> None:
        """``own``: positions of the own keys attended to, at least as many as any live row has written."""
        buffers = self.buffers
        layout = _StepLayout.of(buffers, own)
        positions = _by_row(buffers.prompt_lengths, buffers.width) + layout.at
        x = self.base.embed_tokens(buffers.tokens)
        rotation = self.base.rotary_emb(x, positions[:, None])
        for index, layer in enumerate(self.layers):
            x = layer.forward(index, x, rotation, layout)
        self._record(*draw(logits(normed(self.base.norm, x), self.head), buffers.keys, buffers.written, self.params))

    def _record(self, tokens: Tensor, logprobs: Tensor) -> None:
        """Rows that have ended stay as they are: their columns are filled, but not counted in ``written``."""
        b = self.buffers
        column = b.column.expand(len(tokens))[:, None]
        b.new_tokens.scatter_(1, column, tokens[:, None])
        b.new_logprobs.scatter_(1, column, logprobs[:, None])
        b.column.add_(1)
        b.tokens.copy_(torch.where(b.live, tokens, b.tokens))
        b.written.add_(b.live)
        stopped = (tokens[:, None] == self.stop_ids).any(-1)
        b.live.logical_and_(~stopped & (b.written < self.params.max_tokens))


def draw(scores: Tensor, keys: Tensor, written: Tensor, params: SamplingParams) -> tuple[Tensor, Tensor]:
    """The next token of each row and its logprob, from logits [R, V]."""
    return sampling.sample(
        scores,
        sampling.uniforms(params.seed, keys, written),
        temperature=params.temperature,
        top_p=params.top_p,
        top_k=params.top_k,
    )


def _by_row(per_slot: Tensor, width: int) -> Tensor:
    """[slots] as [R]."""
    return per_slot[:, None].expand(-1, width).flatten()


def _joined(linears: Sequence[nn.Linear]) -> Project:
    """One product with the weights stacked (copied, for this rollout). Adapters stay beside their weights: in bf16 the
    sum would lose what they have learnt."""
    if any(type(linear) is not nn.Linear for linear in linears):
        return lambda x: torch.cat([linear(x) for linear in linears], dim=-1)
    weight = torch.cat([linear.weight.detach() for linear in linears])
    bias = stacked([linear.bias for linear in linears])
    return lambda x: nn.functional.linear(x, weight, bias)


def _added(linear: nn.Linear) -> AddedProject:
    if type(linear) is not nn.Linear or linear.bias is not None:
        return lambda x, residual: residual + linear(x)
    weight = linear.weight.detach().T
    return lambda x, residual: residual.addmm_(x, weight)  # nobody reads the residual after this


@dataclass(frozen=True, slots=True)
class _StepLayout:
    """Attention of one step (see ``attention.Layout``).

    ``at`` [R] is where each row's new key goes; ``hidden`` [slots, 1, width, 1, P + own] is 0 for the keys of the
    group's prompt and the row's own ones, the new one included, and -inf elsewhere.
    """

    buffers: Buffers
    own: int
    slot: Tensor
    place: Tensor
    at: Tensor
    hidden: Tensor

    @classmethod
    def of(cls, buffers: Buffers, own: int) -> _StepLayout:
        device = buffers.written.device
        rows = torch.arange(len(buffers.written), device=device)
        at = buffers.written - 1
        beyond = torch.arange(buffers.prompt_k.shape[3], device=device) >= buffers.prompt_lengths[:, None]
        later = torch.arange(own, device=device) > at[:, None]
        by_slot = beyond[:, None].expand(-1, buffers.width, -1), later.view(buffers.slots, buffers.width, own)
        unseen = torch.cat(by_slot, dim=-1)[:, None, :, None]
        hidden = torch.zeros(unseen.shape, device=device).masked_fill_(unseen, -torch.inf)
        return cls(buffers, own, rows // buffers.width, rows % buffers.width, at, hidden)

    def attend(self, layer: int, q: Tensor, k: Tensor, v: Tensor, scale: float) -> Tensor:
        """q [R, Hq, 1, D] against the group's prompt and the row's own tokens, in one softmax over both in fp32."""
        b, kv_heads = self.buffers, k.shape[1]
        b.own_k[layer][self.slot, :, self.place, self.at] = k[:, :, 0]
        b.own_v[layer][self.slot, :, self.place, self.at] = v[:, :, 0]
        prompt_k, prompt_v = (x[layer].flatten(0, 1) for x in (b.prompt_k, b.prompt_v))
        own_k, own_v = (x[layer][..., : self.own, :].flatten(0, 2) for x in (b.own_k, b.own_v))
        by_head = q.reshape(b.slots, b.width, kv_heads, -1, q.shape[3]).transpose(1, 2)
        shape = by_head.shape[:4]  # slots, Hkv, width, rep
        queries = by_head.flatten(0, 1).flatten(1, 2)
        to_prompt = _product(queries, prompt_k.transpose(1, 2)).view(*shape, -1)
        to_own = _product(queries.view(len(own_k), -1, q.shape[3]), own_k.transpose(1, 2)).view(*shape, -1)
        scores = torch.cat([to_prompt, to_own], dim=-1)
        shares = torch.add(self.hidden, scores, alpha=scale).softmax(-1).to(v.dtype)
        of_prompt, of_own = shares.split([prompt_k.shape[1], self.own], dim=-1)
        out = torch.bmm(of_own.flatten(0, 2), own_v).view_as(queries)
        out.baddbmm_(of_prompt.flatten(0, 1).flatten(1, 2), prompt_v)
        return out.view(*shape, -1).transpose(1, 2).reshape(q.shape)


def _product(a: Tensor, b: Tensor) -> Tensor:
    """Batched product in fp32, whatever its factors are: scores rounded to bf16 would be off by up to 0.1."""
    if a.is_cuda and a.dtype != torch.float32:
        return torch.bmm(a, b, out_dtype=torch.float32)
    return torch.bmm(a.float(), b.float())


class Replayed:
    """The step as CUDA graphs, one for each number of own positions. They share a memory pool, since nothing in it
    outlives a step."""

    def __init__(self, step: Step) -> None:
        self.step = step
        self.graphs: dict[int, torch.cuda.CUDAGraph] = {}
        self.pool, self.beside = torch.cuda.graph_pool_handle(), torch.cuda.Stream()

    def __call__(self, own: int) -> None:
        if own in self.graphs:
            self.graphs[own].replay()
            return
        # The first step of its kind is computed as it is: the warm-up that capturing wants, on the same stream, since
        # what the libraries set up for a stream must not be set up during the capture.
        here = torch.cuda.current_stream()
        self.beside.wait_stream(here)
        with torch.cuda.stream(self.beside):
            self.step(own)
        here.wait_stream(self.beside)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, pool=self.pool, stream=self.beside):
            self.step(own)  # recorded, not computed
        self.graphs[own] = graph


# -- the host's side -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Row:
    prompt: int
    member: int
    written: Written


class StaticDecoding:
    """``generate.Decoding`` over static buffers: rows in fixed places, a look every ``LOOK`` tokens."""

    def __init__(
        self, policy: Policy, prompts: Sequence[Sequence[int]], params: SamplingParams, width: int, slots: int
    ) -> None:
        self.ending, self.params = Ending(policy, params), params
        self.finished: dict[tuple[int, int], Completion] = {}
        self.buffers = Buffers.of(policy.model, slots, width, max(map(len, prompts)), params.max_tokens)
        step = Step(policy.model, params, sorted(self.ending.stop_ids), self.buffers)
        self.advance: Callable[[int], None] = Replayed(step) if policy.device.type == "cuda" else step
        self.rows: list[_Row | None] = [None] * (slots * width)

    @property
    def active(self) -> bool:
        return any(self.rows)

    def fits(self, admissions: Sequence[Sequence[tuple[int, int]]]) -> bool:
        return len(admissions) <= len(self._free_slots())

    def _free_slots(self) -> list[int]:
        width = self.buffers.width
        return [slot for slot in range(self.buffers.slots) if not any(self.rows[slot * width : (slot + 1) * width])]

    def admit(
        self,
        admissions: Sequence[Sequence[tuple[int, int]]],
        keys: Sequence[Sequence[int]],
        layout: GroupLayout,
        scores: Tensor,
    ) -> None:
        """Take over prefilled prompts, and draw the first token of each row from its prompt's logits [groups, V]."""
        entering: list[int] = []
        for index, (slot, group) in enumerate(zip(self._free_slots(), admissions, strict=False)):
            self._keep_prompt(slot, layout, index)
            for place, (prompt, member) in enumerate(group):
                entering.append(slot * self.buffers.width + place)
                self.rows[entering[-1]] = _Row(prompt, member, Written(keys[prompt][member]))
        self._draw_first(entering, scores.repeat_interleave(_on(scores, map(len, admissions)), dim=0))

    def _keep_prompt(self, slot: int, layout: GroupLayout, index: int) -> None:
        span, buffers = layout.spans[index], self.buffers
        for layer, kept in layout.kept.items():
            for store, x in zip((buffers.prompt_k, buffers.prompt_v), kept, strict=True):
                store[layer, slot, :, : span.prompt] = x[0, :, span.start : span.body]
        buffers.prompt_lengths[slot] = span.prompt

    def _draw_first(self, entering: list[int], scores: Tensor) -> None:
        at, b = _on(scores, entering), self.buffers
        b.keys[at] = _on(scores, (row.written.key for i in entering if (row := self.rows[i])))
        tokens, logprobs = draw(scores, b.keys[at], torch.zeros_like(at), self.params)
        b.tokens[at], b.written[at] = tokens, torch.ones_like(at)
        for index, token, logprob in zip(entering, tokens.tolist(), logprobs.tolist(), strict=True):
            self._take(index, [token], [logprob])
        self._tell_live()

    def step(self) -> None:
        """Up to ``LOOK`` tokens for every row, and a look."""
        lengths = [len(row.written.tokens) for row in self.rows if row]
        if not lengths:
            return
        steps = min(LOOK, self.params.max_tokens - min(lengths))
        own = min(_rounded(max(lengths) + steps, OWN_BLOCK), self.buffers.own_k.shape[4])
        self.buffers.column.zero_()
        for _ in range(steps):
            self.advance(own)
        self._look()

    def _look(self) -> None:
        b = self.buffers
        written, tokens, logprobs = b.written.tolist(), b.new_tokens.tolist(), b.new_logprobs.tolist()
        for index, row in enumerate(self.rows):
            if row:
                fresh = written[index] - len(row.written.tokens)
                self._take(index, tokens[index][:fresh], logprobs[index][:fresh])
        self._tell_live()

    def _take(self, index: int, tokens: list[int], logprobs: list[float]) -> None:
        """Add to what the row has written; if that ends it, drop what came after and free its place."""
        row = self.rows[index]
        assert row is not None
        for token, logprob in zip(tokens, logprobs, strict=True):
            row.written.add(token, logprob)
            if (completion := self.ending.completion(row.written)) is not None:
                self.finished[(row.prompt, row.member)] = completion
                self.rows[index] = None
                return

    def _tell_live(self) -> None:
        """Only the host knows of stop strings."""
        self.buffers.live.copy_(torch.tensor([row is not None for row in self.rows]))


def _on(like: Tensor, numbers: Any) -> Tensor:
    return torch.tensor(list(numbers), dtype=torch.long, device=like.device)
