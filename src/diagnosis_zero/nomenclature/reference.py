"""The reference disease as a catalogue sees it: its names, its entries, what it stands under."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property, lru_cache
from itertools import chain

from diagnosis_zero.nomenclature.answer import reference_views
from diagnosis_zero.nomenclature.catalogue import Catalogue
from diagnosis_zero.nomenclature.normalise import Name, analyse, literal_key

_NONE: frozenset[int] = frozenset()


class Reference:
    """One case's truth. What a verdict by meaning needs is read at once, what one by wording needs on demand."""

    def __init__(self, names: tuple[str, ...], ids: tuple[str, ...], catalogue: Catalogue | None) -> None:
        self._catalogue = catalogue
        self._texts = reference_views(names[0]) if len(names) == 1 else _flat(map(reference_views, names))
        self.literals = frozenset(map(literal_key, self._texts)) - {""}
        self.entries = _NONE if catalogue is None else self._entries(ids, catalogue)
        found = [catalogue.entry(number) for number in self.entries] if catalogue else []
        self.parents = _NONE.union(*[entry.accepted_parents for entry in found]) - self.entries
        self.broad_parents = _NONE.union(*[entry.broad_parents for entry in found]) - self.entries

    def _entries(self, ids: tuple[str, ...], catalogue: Catalogue) -> frozenset[int]:
        """What the identifiers mean, and what the names mean where that contradicts neither the identifiers nor
        the other names; names that share a meaning mean just that."""
        entries = frozenset([number for number in map(catalogue.identified, ids) if number is not None])
        meanings = [meaning for text in self._texts if (meaning := catalogue.principal(text))]
        if not meanings:
            return entries
        named = frozenset.intersection(*meanings) or _NONE.union(*meanings)
        return entries | named if not entries or catalogue.compatible(entries | named) else entries

    @cached_property
    def given(self) -> tuple[Name, ...]:
        """The accepted names, with and without their bracketed abbreviations."""
        return _distinct(map(analyse, self._texts))

    @cached_property
    def canonicals(self) -> frozenset[str]:
        """The canonical forms of the accepted names."""
        return frozenset(name.canonical for name in self.given)

    @cached_property
    def names(self) -> tuple[Name, ...]:
        """The accepted names, and every other name of the entries."""
        return _distinct((*self.given, *self._names_of(self.entries)))

    @cached_property
    def parent_names(self) -> tuple[Name, ...]:
        """Every name of the accepted hypernyms."""
        return _distinct(self._names_of(self.parents))

    def _names_of(self, entries: frozenset[int]) -> list[Name]:
        if self._catalogue is None:
            return []
        return [name for number in sorted(entries) for name in self._catalogue.meaning_names(number)]


@lru_cache(maxsize=20_000)
def read(names: tuple[str, ...], ids: tuple[str, ...], catalogue: Catalogue | None) -> Reference:
    """The reference of one case (cached: every completion of a group shares it)."""
    return Reference(names, ids, catalogue)


def _flat(texts: Iterable[tuple[str, ...]]) -> tuple[str, ...]:
    return tuple(chain.from_iterable(texts))


def _distinct(names: Iterable[Name]) -> tuple[Name, ...]:
    return tuple(dict.fromkeys(name for name in names if name.words))
