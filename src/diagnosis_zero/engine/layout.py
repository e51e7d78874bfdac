"""Pack groups of completions into rows ``[prompt | c0 | c1 | ... | prompt | c0 | ...]``.

Position ids restart after the prompt for every completion. A completion's last token is never fed: nothing is
predicted from it. The logprob of a completion's first token comes from the prompt's last hidden state.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

Tokens = Sequence[int]


@dataclass(frozen=True, slots=True)
class GroupSpan:
    """Where one group lies in a packed row; lengths count fed tokens."""

    start: int
    prompt: int
    completions: tuple[int, ...]

    @property
    def body(self) -> int:
        """Index of the first completion token."""
        return self.start + self.prompt

    @property
    def end(self) -> int:
        return self.body + sum(self.completions)


@dataclass(frozen=True, slots=True)
class PackedRow:
    """One forward pass.

    ``input_ids`` and ``position_ids`` are [1, T]. The N completion tokens of the row, in order of ``members``
    (pairs of group and completion index), have ``sources_N`` (the index in T of the hidden state that predicts
    each), ``targets_N`` (their token ids) and ``lengths`` (how many tokens each member has; they sum to N).
    """

    input_ids: Tensor
    position_ids: Tensor
    spans: tuple[GroupSpan, ...]
    sources_N: Tensor
    targets_N: Tensor
    members: tuple[tuple[int, int], ...]
    lengths: tuple[int, ...]

    def to(self, device: torch.device) -> PackedRow:
        moved = (x.to(device) for x in (self.input_ids, self.position_ids, self.sources_N, self.targets_N))
        ids, positions, sources, targets = moved
        return PackedRow(ids, positions, self.spans, sources, targets, self.members, self.lengths)


@dataclass(frozen=True, slots=True)
class _Piece:
    """A group, or the part of one that fits a row."""

    group: int
    prompt: Tokens
    members: tuple[int, ...]
    completions: tuple[Tokens, ...]

    @property
    def tokens(self) -> int:
        return len(self.prompt) + sum(len(c) - 1 for c in self.completions)


def pack(groups: Sequence[tuple[Tokens, Sequence[Tokens]]], budget: int) -> list[PackedRow]:
    """Groups (prompt, completions) as rows of at most ``budget`` tokens.

    Pieces are placed largest first into the first row with room. A group over the budget is split, its prompt
    repeated; a single completion over the budget gets a row of its own, since it cannot be split.

    Raises:
        ValueError: the budget is not positive, or a prompt or completion is empty.
    """
    if budget <= 0:
        raise ValueError(f"the token budget of a row must be positive, not {budget}")
    pieces = [piece for index, group in enumerate(groups) for piece in _split(index, group, budget)]
    rows: list[list[_Piece]] = []
    room: list[int] = []
    for piece in sorted(pieces, key=lambda p: -p.tokens):
        fits = next((i for i, left in enumerate(room) if left >= piece.tokens), None)
        if fits is None:
            rows.append([piece])
            room.append(budget - piece.tokens)
        else:
            rows[fits].append(piece)
            room[fits] -= piece.tokens
    return [_row(pieces) for pieces in rows]


def _split(index: int, group: tuple[Tokens, Sequence[Tokens]], budget: int) -> Iterator[_Piece]:
    prompt, completions = group
    if not len(prompt) or not all(len(c) for c in completions):
        raise ValueError(f"group {index} holds an empty prompt or completion")
    # Longest first: neighbours in the row then have like lengths, so that attention pads little.
    order = sorted(range(len(completions)), key=lambda i: -len(completions[i]))
    members: list[int] = []
    used = len(prompt)
    for member in order:
        cost = len(completions[member]) - 1
        if members and used + cost > budget:
            yield _Piece(index, prompt, tuple(members), tuple(completions[i] for i in members))
            members, used = [], len(prompt)
        members.append(member)
        used += cost
    yield _Piece(index, prompt, tuple(members), tuple(completions[i] for i in members))


def _row(pieces: Sequence[_Piece]) -> PackedRow:
    ids: list[int] = []
    positions: list[int] = []
    spans: list[GroupSpan] = []
    sources: list[int] = []
    for piece in pieces:
        start, width = len(ids), len(piece.prompt)
        ids.extend(piece.prompt)
        positions.extend(range(width))
        for completion in piece.completions:
            sources.append(start + width - 1)
            sources.extend(range(len(ids), len(ids) + len(completion) - 1))
            ids.extend(completion[:-1])
            positions.extend(range(width, width + len(completion) - 1))
        spans.append(GroupSpan(start, width, tuple(len(c) - 1 for c in piece.completions)))
    completions = [c for piece in pieces for c in piece.completions]
    return PackedRow(
        input_ids=torch.tensor([ids]),
        position_ids=torch.tensor([positions]),
        spans=tuple(spans),
        sources_N=torch.tensor(sources, dtype=torch.long),
        targets_N=torch.tensor([token for c in completions for token in c], dtype=torch.long),
        members=tuple((piece.group, member) for piece in pieces for member in piece.members),
        lengths=tuple(len(c) for c in completions),
    )
