"""The reference disease as a catalogue sees it: its names, its entries, what it stands under."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

from diagnosis_zero.nomenclature.answer import reference_views
from diagnosis_zero.nomenclature.catalogue import Catalogue
from diagnosis_zero.nomenclature.normalise import Name, analyse


@dataclass(frozen=True, slots=True)
class Reference:
    """``given`` are the accepted names, ``names`` those and every other name of ``entries``; ``keys`` the literal
    and canonical forms of the given names; ``parents`` the accepted hypernyms, ``parent_names`` theirs."""

    given: tuple[Name, ...]
    keys: frozenset[str]
    entries: frozenset[int] = frozenset()
    names: tuple[Name, ...] = ()
    parents: frozenset[int] = frozenset()
    broad_parents: frozenset[int] = frozenset()
    parent_names: tuple[Name, ...] = ()


@lru_cache(maxsize=20_000)
def read(names: tuple[str, ...], ids: tuple[str, ...], catalogue: Catalogue | None) -> Reference:
    """The reference of one case (cached: every completion of a group shares it)."""
    given = _distinct(analyse(view) for name in names for view in reference_views(name))
    keys = frozenset(key for name in given for key in (name.literal, name.canonical) if key)
    if catalogue is None:
        return Reference(given, keys, names=given)
    entries = _entries(names, ids, catalogue)
    found = [catalogue.entry(number) for number in sorted(entries)]
    parents = frozenset[int]().union(*(entry.accepted_parents for entry in found)) - entries
    broad = frozenset[int]().union(*(entry.broad_parents for entry in found)) - entries
    above = (catalogue.entry(number) for number in sorted(parents))
    return Reference(
        given=given,
        keys=keys,
        entries=entries,
        names=_distinct((*given, *(name for entry in found for name in entry.names))),
        parents=parents,
        broad_parents=broad,
        parent_names=_distinct(name for entry in above for name in entry.names),
    )


def _distinct(names: Iterable[Name]) -> tuple[Name, ...]:
    return tuple(dict.fromkeys(name for name in names if name.words))


def _entries(names: Sequence[str], ids: Sequence[str], catalogue: Catalogue) -> frozenset[int]:
    """What the identifiers mean, and what the names mean where that contradicts neither the identifiers nor the
    other names; names that share a meaning mean just that."""
    identified = (catalogue.identified(identifier) for identifier in ids)
    entries = frozenset(number for number in identified if number is not None)
    meanings = [catalogue.principal(view) for name in names for view in reference_views(name)]
    meanings = [meaning for meaning in meanings if meaning]
    if not meanings:
        return entries
    shared = frozenset.intersection(*meanings)
    named = shared or frozenset[int]().union(*meanings)
    return entries | named if not entries or catalogue.compatible(entries | named) else entries
