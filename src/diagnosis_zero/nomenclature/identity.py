"""Which identifiers mean one disease: merged on trusted links only, conflicts reported and never guessed.

A link is followed where it is one to one between two authorities: a reference that one disease shares with a
second says "related", not "same". A cluster holds at most one identifier of each authority, so no chain of links
can put two of an authority's diseases together; the less trusted link is dropped and reported.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from diagnosis_zero.nomenclature.facts import Linked, authority


def clusters(identifiers: Iterable[str], links: Iterable[Linked]) -> tuple[dict[str, str], list[str]]:
    """Identifier -> the identifier that stands for its cluster, and the conflicts in words.

    Deterministic: links are taken in the order of trust, then of their text.
    """
    wanted = sorted(set(links), key=lambda link: (link.evidence, link.left, link.right))
    conflicts: list[str] = []
    members = {identifier: {identifier} for identifier in identifiers}
    for link in _one_to_one(wanted, conflicts):
        if link.left in members and link.right in members:
            _join(members, link, conflicts)
    return {identifier: min(group) for identifier, group in members.items()}, conflicts


def _one_to_one(links: list[Linked], conflicts: list[str]) -> list[Linked]:
    """The links whose two ends have no other partner, by the same evidence, in each other's authority."""
    partners: dict[tuple[str, str, int], set[str]] = defaultdict(set)
    for link in links:
        partners[link.left, authority(link.right), link.evidence].add(link.right)
        partners[link.right, authority(link.left), link.evidence].add(link.left)
    for (identifier, _, evidence), others in sorted(partners.items()):
        if len(others) > 1:
            conflicts.append(f"{identifier} has several {_SAID[evidence]}: {', '.join(sorted(others))}")
    return [
        link
        for link in links
        if len(partners[link.left, authority(link.right), link.evidence]) == 1
        and len(partners[link.right, authority(link.left), link.evidence]) == 1
    ]


_SAID = {0: "exact matches", 1: "cross-references"}


def _join(members: dict[str, set[str]], link: Linked, conflicts: list[str]) -> None:
    left, right = members[link.left], members[link.right]
    if left is right:
        return
    doubled = sorted(f"{one} and {other}" for one in left for other in right if authority(one) == authority(other))
    if doubled:
        said = f"{link.left} = {link.right}"
        conflicts.append(f"{said} ({_SAID[link.evidence]}) would make one disease of {', '.join(doubled)}")
        return
    left |= right
    for identifier in right:
        members[identifier] = left
