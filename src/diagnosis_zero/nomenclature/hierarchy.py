"""What a disease stands under, and how many diseases each parent holds (RareArena's hypernym rule counts them)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping

from diagnosis_zero.nomenclature.facts import Below

MAX_DISEASES = 10
"""RareArena's revised scoring (March 2026) accepts a parent that holds at most this many diseases."""


def parents(below: Iterable[Below], entry_of: Mapping[str, int], groupings: set[int]) -> list[tuple[int, int, int]]:
    """(entry, parent entry, diseases under the parent), sorted.

    A count that a source states wins over one counted here, and an entry whose parents were stated with counts
    takes no others. Counted are the leaves under a parent that are no groupings.
    """
    stated: dict[tuple[int, int], int] = {}
    graph: dict[int, set[int]] = defaultdict(set)
    for edge in below:
        if edge.child not in entry_of or edge.parent not in entry_of:
            continue
        child, parent = entry_of[edge.child], entry_of[edge.parent]
        if child == parent:
            continue
        if edge.diseases is not None:
            stated[child, parent] = max(edge.diseases, stated.get((child, parent), 0))
        else:
            graph[parent].add(child)
    settled = {child for child, _ in stated}
    sizes = _sizes(graph, groupings)
    counted = {
        (child, parent): sizes[parent]
        for parent, children in graph.items()
        for child in children
        if child not in settled
    }
    return sorted((child, parent, size) for (child, parent), size in {**counted, **stated}.items())


def _sizes(graph: Mapping[int, set[int]], groupings: set[int]) -> dict[int, int]:
    """Number of distinct leaves that are diseases under every parent; a cycle is walked once."""
    leaves: dict[int, frozenset[int]] = {}
    for root in graph:
        stack = [(root, False)]
        on_path: set[int] = set()
        while stack:
            node, done = stack.pop()
            if node in leaves:
                continue
            if done:
                on_path.discard(node)
                found = {leaf for child in graph.get(node, ()) for leaf in leaves.get(child, ())}
                leaf_itself = node not in graph and node not in groupings
                leaves[node] = frozenset({node} if leaf_itself else found)
            elif node not in on_path:
                on_path.add(node)
                stack.append((node, True))
                stack.extend((child, False) for child in graph.get(node, ()))
    return {parent: len(leaves[parent]) for parent in graph}
