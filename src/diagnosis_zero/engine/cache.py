"""Keys and values while decoding: the prompt's once a group, each completion's own once a row.

Active rows are always the first ``len(rows)`` slots and live groups the first slots of the prompt cache: a row that
finishes is overwritten by the last one, so leaving the batch copies one row and no step computes dead ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from diagnosis_zero.engine.attention import GroupLayout, Piece

OWN_BLOCK = 64
"""Own keys and values grow by this many positions at a time."""


@dataclass(slots=True)
class Row:
    """One completion being written. ``slot`` is its group's place in the prompt cache."""

    prompt: int
    member: int
    slot: int
    place: int
    length: int = 0


class DecodeCache:
    """The layout of decode steps (see ``attention.Layout``): one new token for each active row.

    Shapes: prompt keys [groups, Hkv, Pmax, D], own keys [rows, Hkv, Rmax, D]; ``width`` is the largest number of
    completions a group may have (the queries of a group's prompt are stacked ``width`` high).
    """

    def __init__(self, layers: int, width: int) -> None:
        self.layers, self.width = layers, width
        self.rows: list[Row] = []
        self.prompt_lengths: list[int] = []
        self._live: list[int] = []
        self._prompt_k: list[Tensor] = []
        self._prompt_v: list[Tensor] = []
        self._own_k: list[Tensor] = []
        self._own_v: list[Tensor] = []
        self._step: _Step | None = None

    # -- rows and groups come and go -------------------------------------------------------------------------

    def add_groups(self, prefill: GroupLayout, members: Sequence[Sequence[tuple[int, int]]]) -> None:
        """Take over the prompts of a prefilled row; ``members[i]`` are the (prompt, member) pairs of span i."""
        first = len(self.prompt_lengths)
        self.prompt_lengths += [span.prompt for span in prefill.spans]
        self._live += [len(group) for group in members]
        longest = max(self.prompt_lengths)
        for layer in range(self.layers):
            for store, x in zip((self._prompt_k, self._prompt_v), prefill.kept[layer], strict=True):
                fresh = x.new_zeros(len(prefill.spans), x.shape[1], longest, x.shape[3])
                for index, span in enumerate(prefill.spans):
                    fresh[index, :, : span.prompt] = x[0, :, span.start : span.body]
                self._put(store, layer, _stacked(store, layer, first, fresh))
        for offset, group in enumerate(members):
            for place, (prompt, member) in enumerate(group):
                self.rows.append(Row(prompt, member, first + offset, place))
        self._reserve_rows()

    def remove(self, index: int) -> None:
        """Row ``index`` has finished: the last row takes its slot, and a group without rows leaves too."""
        row, last = self.rows[index], len(self.rows) - 1
        if index != last:
            for store in (*self._own_k, *self._own_v):
                store[index] = store[last]
            self.rows[index] = self.rows[last]
        self.rows.pop()
        self._live[row.slot] -= 1
        if not self._live[row.slot]:
            self._remove_group(row.slot)

    def _remove_group(self, slot: int) -> None:
        last = len(self.prompt_lengths) - 1
        for stores in (self._prompt_k, self._prompt_v):
            for layer, store in enumerate(stores):
                store[slot] = store[last]
                stores[layer] = store[:last]
        for row in self.rows:
            if row.slot == last:
                row.slot = slot
        for per_group in (self.prompt_lengths, self._live):
            per_group[slot] = per_group[last]
            per_group.pop()

    @staticmethod
    def _put(store: list[Tensor], layer: int, value: Tensor) -> None:
        if layer < len(store):
            store[layer] = value
        else:
            store.append(value)

    def _reserve_rows(self) -> None:
        """Room for the active rows, and for one more position in each."""
        rows = len(self.rows)
        positions = max((row.length for row in self.rows), default=0) + 1
        for stores, prompts in ((self._own_k, self._prompt_k), (self._own_v, self._prompt_v)):
            for layer in range(self.layers):
                old = stores[layer] if layer < len(stores) else None
                if old is None or old.shape[0] < rows or old.shape[2] < positions:
                    self._put(stores, layer, _grown(old, prompts[layer], rows, positions))

    # -- one decode step -------------------------------------------------------------------------------------

    def begin_step(self) -> Tensor:
        """Prepare a step; position ids [rows, 1] of the new tokens."""
        self._reserve_rows()
        device = self._prompt_k[0].device
        lengths = torch.tensor([row.length for row in self.rows], device=device)
        prompts = torch.tensor(self.prompt_lengths, device=device)
        slots = torch.tensor([row.slot for row in self.rows], device=device)
        places = slots * self.width + torch.tensor([row.place for row in self.rows], device=device)
        sources = torch.zeros(len(self.prompt_lengths) * self.width, dtype=torch.long, device=device)
        every = torch.arange(len(self.rows), device=device)
        sources[places] = every
        dtype = self._prompt_k[0].dtype
        self._step = _Step(
            rows=every,
            lengths=lengths,
            places=places,
            sources=sources,
            longest=max(row.length for row in self.rows) + 1,
            longest_prompt=max(self.prompt_lengths),
            prompt_hidden=_beyond(prompts - 1, max(self.prompt_lengths), dtype),
            own_hidden=_beyond(lengths, max(row.length for row in self.rows) + 1, dtype),
        )
        return (prompts[slots] + lengths)[:, None]

    def end_step(self) -> None:
        """The new tokens now belong to the rows."""
        for row in self.rows:
            row.length += 1

    def attend(self, layer: int, q: Tensor, k: Tensor, v: Tensor, scale: float) -> Tensor:
        """q [rows, Hq, 1, D] against the group's prompt and the row's own tokens, the new one included."""
        step = self._step
        assert step is not None, "begin_step() comes before a decode forward"
        rows, heads, _, width = q.shape
        kv_heads = k.shape[1]
        own_k, own_v = self._own_k[layer], self._own_v[layer]
        own_k[step.rows, :, step.lengths] = k[:, :, 0]
        own_v[step.rows, :, step.lengths] = v[:, :, 0]
        grouped = q.reshape(rows, kv_heads, heads // kv_heads, width)
        own_k, own_v = own_k[:rows, :, : step.longest], own_v[:rows, :, : step.longest]
        own = _attend((grouped, own_k, own_v), step.own_hidden, scale)
        return _merge(self._attend_prompts(layer, grouped, step, scale), own).reshape(rows, heads, 1, width)

    def _attend_prompts(self, layer: int, grouped: Tensor, step: _Step, scale: float) -> Piece:
        """The queries of a group as one matrix against its prompt: [groups, Hkv, width * rep, D]."""
        _, kv_heads, rep, width = grouped.shape
        groups = len(self.prompt_lengths)
        by_place = grouped.index_select(0, step.sources).view(groups, self.width, kv_heads, rep, width)
        stacked = by_place.transpose(1, 2).reshape(groups, kv_heads, self.width * rep, width)
        keys, values = (x[layer][:, :, : step.longest_prompt] for x in (self._prompt_k, self._prompt_v))
        out, lse = _attend((stacked, keys, values), step.prompt_hidden, scale)

        def by_row(x: Tensor) -> Tensor:
            """[groups, Hkv, width * rep, ...] as [rows, Hkv, rep, ...]."""
            split = x.view(groups, kv_heads, self.width, rep, -1).transpose(1, 2)
            return split.reshape(groups * self.width, kv_heads, rep, -1).index_select(0, step.places)

        return by_row(out), by_row(lse)[..., 0]


@dataclass(frozen=True, slots=True)
class _Step:
    """What all layers of one decode step share.

    A row's place is ``slot * width + place``; ``sources`` names the row of every place (an empty place repeats row 0,
    and is not read back). ``*_hidden`` are additive masks (0 or -inf), None where nothing is hidden.
    """

    rows: Tensor
    lengths: Tensor
    places: Tensor
    sources: Tensor
    longest: int
    longest_prompt: int
    prompt_hidden: Tensor | None
    own_hidden: Tensor | None


def _beyond(last: Tensor, width: int, dtype: torch.dtype) -> Tensor | None:
    """[n, 1, 1, width]: -inf at positions after ``last``, else 0."""
    hidden = torch.arange(width, device=last.device)[None] > last[:, None]
    if not bool(hidden.any()):
        return None
    return torch.zeros(hidden.shape, device=last.device, dtype=dtype).masked_fill_(hidden, -torch.inf)[:, None, None]


def _attend(qkv: tuple[Tensor, Tensor, Tensor], hidden: Tensor | None, scale: float) -> Piece:
    """Attention and its log-sum-exp [n, H, T], with as many query heads as key heads."""
    q, k, v = qkv
    if q.device.type == "cpu":
        flash = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
        piece: Piece = flash(q, k, v, 0.0, False, attn_mask=hidden, scale=scale)
        return piece
    scores = torch.matmul(q * scale, k.transpose(2, 3)).float()
    scores = scores if hidden is None else scores + hidden
    lse = scores.logsumexp(-1)
    return torch.matmul((scores - lse[..., None]).exp().to(v.dtype), v), lse


def _merge(a: Piece, b: Piece) -> Tensor:
    """Attention over two sets of keys from the attention over each, by their log-sum-exp."""
    share_a = torch.sigmoid(a[1] - b[1])[..., None].to(a[0].dtype)
    return torch.lerp(b[0], a[0], share_a)


def _stacked(store: list[Tensor], layer: int, first: int, fresh: Tensor) -> Tensor:
    """The groups held so far and the fresh ones, padded to one length."""
    if not first:
        return fresh
    old = store[layer]
    missing = fresh.shape[2] - old.shape[2]
    if missing > 0:
        old = torch.nn.functional.pad(old, (0, 0, 0, missing))
    elif missing < 0:
        fresh = torch.nn.functional.pad(fresh, (0, 0, 0, -missing))
    return torch.cat([old, fresh])


def _grown(old: Tensor | None, like: Tensor, rows: int, positions: int) -> Tensor:
    """A larger own cache that holds what the old one held."""
    positions = -(-positions // OWN_BLOCK) * OWN_BLOCK
    if old is not None:
        rows, positions = max(rows, old.shape[0]), max(positions, old.shape[2])
    fresh = like.new_zeros(rows, like.shape[1], positions, like.shape[3])
    if old is not None:
        fresh[: old.shape[0], :, : old.shape[2]] = old
    return fresh
