"""What every look-up needs, held in memory: which entries a key means, and what an entry is.

A catalogue's file keeps it packed in three texts, so that a nomenclature of 30,000 diseases is read in a few hundredths
of a second: the keys with the number of each one's meaning, in as many short lines as there are hash values; the
meanings; the entries. A meaning or an entry is taken apart when it is first asked for.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple
from zlib import crc32

from diagnosis_zero.nomenclature.facts import authority

PARTS = ("keys", "meanings", "entries")
KEYS_A_LINE = 4
_FIELD, _ITEM = "\t", "\x1f"
_ON_ONE_LINE = str.maketrans("\t\n\x1f", "   ")


class Entry(NamedTuple):
    """One disease: every identifier that means it (``joined``), and what it stands under."""

    number: int
    id: str
    name: str
    joined: str
    authorities: frozenset[str]
    accepted_parents: frozenset[int]
    broad_parents: frozenset[int]

    @property
    def ids(self) -> tuple[str, ...]:
        """The identifiers, sorted."""
        return tuple(self.joined.split(_ITEM))


Said = tuple[int, str, int]
"""(entry, authority, scope): an authority calls an entry by a name."""


class Found(NamedTuple):
    """What a name means, by each authority: ``said`` in full, ``entries`` what each means by it first of all.

    ``ambiguous``: one authority gives the name to several diseases alike.
    """

    said: tuple[Said, ...] = ()
    entries: frozenset[int] = frozenset()
    ambiguous: bool = False

    def __bool__(self) -> bool:
        return bool(self.said)


NOTHING = Found()


def meant_by(said: Iterable[Said], wanted: str) -> frozenset[int]:
    """The entries that one authority means by a name, in the most trusted scope it uses."""
    rows = [(scope, entry) for entry, authority_, scope in said if authority_ == wanted]
    top = min((scope for scope, _ in rows), default=0)
    return frozenset(entry for scope, entry in rows if scope == top)


class Index:
    """The packed texts, unpacked on demand. Reads only; threads may share it."""

    def __init__(self, parts: Mapping[str, str]) -> None:
        self._lines = parts["keys"].split("\n")
        self._meanings: list[str | Found] = [*parts["meanings"].split("\n")]
        self._entries: list[str | Entry] = [*parts["entries"].split("\n")]

    def meaning(self, key: str) -> Found:
        """What a key means; empty where it is none."""
        line = self._lines[_place(key, len(self._lines))]
        at = line.find(f"\t{key}:")
        if at < 0:
            return NOTHING
        start = at + len(key) + 2
        number = int(line[start : line.index("\t", start)])
        found = self._meanings[number]
        if isinstance(found, str):
            found = self._meanings[number] = _grade(_said(found))
        return found

    def entry(self, number: int) -> Entry:
        """The entry of a number, counted from 1."""
        entry = self._entries[number - 1]
        if isinstance(entry, str):
            entry = self._entries[number - 1] = _unpacked(number, entry)
        return entry


def pack(meant: Mapping[str, Sequence[Said]], entries: Iterable[Entry]) -> dict[str, str]:
    """The texts of an index.

    Args:
        meant: what is said under each key (no key holds a colon or a tab).
        entries: numbered from 1 without a gap, in order.
    """
    said = {
        key: " ".join(f"{entry} {who} {scope}" for entry, who, scope in sorted(rows)) for key, rows in meant.items()
    }
    number = {text: at for at, text in enumerate(dict.fromkeys(said[key] for key in sorted(said)))}
    lines = ["\t"] * (len(said) // KEYS_A_LINE + 1)
    for key in sorted(said):
        lines[_place(key, len(lines))] += f"{key}:{number[said[key]]}\t"
    return {"keys": "\n".join(lines), "meanings": "\n".join(number), "entries": "\n".join(map(_packed, entries))}


def _place(key: str, lines: int) -> int:
    return crc32(key.encode()) % lines


def _said(text: str) -> tuple[Said, ...]:
    words = text.split(" ")
    return tuple(zip(map(int, words[::3]), words[1::3], map(int, words[2::3]), strict=True))


def _grade(said: tuple[Said, ...]) -> Found:
    entries = frozenset([entry for entry, _, _ in said])
    if len(entries) == 1:
        return Found(said, entries)
    meanings = [meant_by(said, wanted) for wanted in {authority_ for _, authority_, _ in said}]
    return Found(said, frozenset().union(*meanings), any(len(meaning) > 1 for meaning in meanings))


def entry(
    number: int, shown: str, name: str, ids: Iterable[str], parents: tuple[Iterable[int], Iterable[int]]
) -> Entry:
    """An entry from its identifiers (``shown`` stands for it) and its parents, accepted ones and too broad ones."""
    listed = sorted(one.translate(_ON_ONE_LINE) for one in ids)
    accepted, broad = map(frozenset, parents)
    who = frozenset(map(authority, listed))
    return Entry(
        number, shown.translate(_ON_ONE_LINE), name.translate(_ON_ONE_LINE), _ITEM.join(listed), who, accepted, broad
    )


def _packed(entry: Entry) -> str:
    who = " ".join(sorted(entry.authorities))
    parents = (" ".join(map(str, sorted(numbers))) for numbers in (entry.accepted_parents, entry.broad_parents))
    return _FIELD.join((entry.id, entry.name, entry.joined, who, *parents))


def _unpacked(number: int, line: str) -> Entry:
    identifier, name, joined, who, accepted, broad = line.split(_FIELD)
    return Entry(number, identifier, name, joined, _words(who), _numbers(accepted), _numbers(broad))


@lru_cache(maxsize=10_000)
def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


@lru_cache(maxsize=10_000)
def _numbers(text: str) -> frozenset[int]:
    return frozenset(map(int, text.split()))
