"""Build the catalogue's index file from source facts: one SQLite file, written whole or not at all."""

from __future__ import annotations

import json
import os
import sqlite3
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from diagnosis_zero.errors import InputError
from diagnosis_zero.nomenclature.facts import Below, Fact, Grouping, Linked, Named, Scope, authority, rank
from diagnosis_zero.nomenclature.hierarchy import MAX_DISEASES, parents
from diagnosis_zero.nomenclature.identity import clusters
from diagnosis_zero.nomenclature.index import Entry, Said, pack
from diagnosis_zero.nomenclature.index import entry as new_entry
from diagnosis_zero.nomenclature.normalise import Name, analyse
from diagnosis_zero.nomenclature.phrases import learn
from diagnosis_zero.nomenclature.schema import APPLICATION_ID, INSERT, SCHEMA_VERSION, TABLES


@dataclass(slots=True)
class Collected:
    """The facts of one build, by kind."""

    names: dict[str, dict[str, Scope]] = field(default_factory=lambda: defaultdict(dict))
    links: list[Linked] = field(default_factory=list)
    below: list[Below] = field(default_factory=list)
    groupings: set[str] = field(default_factory=set)


def collect(facts: Iterable[Fact]) -> Collected:
    """Sort facts by kind; a name said twice of one identifier keeps its more trusted scope."""
    collected = Collected()
    for fact in facts:
        match fact:
            case Named(identifier, name, scope):
                said = collected.names[identifier]
                said[name] = min(said.get(name, scope), scope)
            case Linked():
                collected.links.append(fact)
            case Below():
                collected.below.append(fact)
            case Grouping(identifier):
                collected.groupings.add(identifier)
    return collected


def build(facts: Iterable[Fact], out: Path, *, about: Mapping[str, object] | None = None) -> dict[str, int]:
    """Write the index file and return its counts (diseases, names, parents, conflicts).

    Args:
        facts: what the sources say, in any order.
        out: the file; it appears whole or not at all.
        about: further lines for the file's ``meta`` table (sources, versions).

    Raises:
        InputError: the facts name no disease.
    """
    collected = collect(facts)
    if not collected.names:
        raise InputError("the sources name no disease", where=out, mend="Give a nomenclature source.")
    out.parent.mkdir(parents=True, exist_ok=True)
    descriptor, aside = tempfile.mkstemp(prefix=f".{out.name}.", dir=out.parent)
    os.close(descriptor)
    try:
        counts = _write(collected, Path(aside), about or {})
        os.chmod(aside, 0o644)
        os.replace(aside, out)
    finally:
        Path(aside).unlink(missing_ok=True)
    return counts


def _write(facts: Collected, path: Path, about: Mapping[str, object]) -> dict[str, int]:
    _number_named_parents(facts)
    cluster_of, conflicts = clusters(facts.names, facts.links)
    number = {cluster: at for at, cluster in enumerate(sorted(set(cluster_of.values())), start=1)}
    entry_of = {identifier: number[cluster] for identifier, cluster in cluster_of.items()}
    groupings = {entry_of[i] for i in facts.groupings if i in entry_of}
    above = parents(facts.below, entry_of, groupings)
    entries = list(_entries(facts, entry_of, above))
    meant = _meant(facts, entry_of)
    counts = {
        "diseases": len(number),
        "names": sum(map(len, facts.names.values())),
        "parents": len(above),
        "conflicts": len(conflicts),
    }
    tables: dict[str, Iterable[tuple[object, ...]]] = {
        "meta": ((key, json.dumps(value)) for key, value in {**about, **counts}.items()),
        "identifier": sorted(entry_of.items()),
        "packed": pack(meant, entries).items(),
        "form": ((key,) for key in sorted(meant)),
        "entry": ((entry.number, entry.id, entry.number in groupings) for entry in entries),
        "name": sorted(_names(facts, entry_of)),
        "word": _word_counts(facts),
        "equivalent": learn(_names_by_entry(facts, entry_of)),
        "conflict": ((text,) for text in conflicts),
    }
    database = sqlite3.connect(path)
    try:
        database.execute(f"PRAGMA application_id={APPLICATION_ID}")
        database.execute(f"PRAGMA user_version={SCHEMA_VERSION}")
        database.executescript(TABLES)
        for table, rows in tables.items():
            database.executemany(INSERT[table], rows)
        database.commit()
        database.execute("VACUUM")
    finally:
        database.close()
    return counts


def _number_named_parents(facts: Collected) -> None:
    """Give every parent that a source only names an identifier: Orphanet's where it names one disease,
    else one made of the name (a grouping that no source numbers)."""
    by_name: dict[str, set[str]] = defaultdict(set)
    for identifier, said in facts.names.items():
        if authority(identifier) == "ORPHA":
            for text, scope in said.items():
                if scope <= Scope.EXACT:
                    by_name[analyse(text).literal].add(identifier)
    numbered = []
    for below in facts.below:
        if below.parent_is_name:
            found = by_name[analyse(below.parent).literal]
            parent = next(iter(found)) if len(found) == 1 else f"PARENT:{below.parent}"
            if parent not in facts.names:
                facts.names[parent][below.parent] = Scope.PREFERRED
                facts.groupings.add(parent)
            below = Below(below.child, parent, below.diseases)
        numbered.append(below)
    facts.below = numbered


def _entries(facts: Collected, entry_of: Mapping[str, int], above: Iterable[tuple[int, int, int]]) -> Iterator[Entry]:
    members: dict[int, list[str]] = defaultdict(list)
    for identifier, entry in entry_of.items():
        members[entry].append(identifier)
    accepted: dict[int, set[int]] = defaultdict(set)
    broad: dict[int, set[int]] = defaultdict(set)
    for entry, parent, diseases in above:
        (accepted if diseases <= MAX_DISEASES else broad)[entry].add(parent)
    for entry, identifiers in sorted(members.items()):
        shown = min(identifiers, key=_shown_order)
        said = facts.names[shown]
        preferred = min(said, key=lambda text: (said[text], text))
        yield new_entry(entry, shown, preferred, identifiers, (accepted[entry], broad[entry]))


def _names(facts: Collected, entry_of: Mapping[str, int]) -> Iterator[tuple[int, int, str, str, str, str]]:
    for identifier, said in facts.names.items():
        for text, scope in said.items():
            name = analyse(text)
            yield entry_of[identifier], scope, text, name.literal, " ".join(name.words), " ".join(sorted(name.short))


def _shown_order(identifier: str) -> tuple[int, str]:
    return rank(authority(identifier)), identifier


def _meant(facts: Collected, entry_of: Mapping[str, int]) -> dict[str, list[Said]]:
    """What every key means: each (entry, authority) once, in its most trusted scope.

    Under its literal key a name is found with everything that its canonical key means, so that one look-up by
    the cheaper key says the same.
    """
    meant: dict[str, set[Said]] = defaultdict(set)
    canonical_of: set[tuple[str, str]] = set()
    for identifier, said in facts.names.items():
        for text, scope in said.items():
            if scope > Scope.ABBREVIATION:
                continue
            name = analyse(text)
            for key in {name.canonical, name.bare} - {""}:
                meant[key].add((entry_of[identifier], authority(identifier), scope.value))
            canonical_of.add((name.literal, name.canonical))
    for literal, canonical in sorted(canonical_of):
        if literal and literal != canonical:
            meant[literal] |= meant[canonical]
    return {key: _most_trusted(rows) for key, rows in meant.items() if rows}


def _most_trusted(said: Iterable[Said]) -> list[Said]:
    best: dict[tuple[int, str], int] = {}
    for entry, who, scope in said:
        best[entry, who] = min(best.get((entry, who), scope), scope)
    return sorted((*place, scope) for place, scope in best.items())


def _names_by_entry(facts: Collected, entry_of: Mapping[str, int]) -> dict[int, list[Name]]:
    """The names that mean each entry, abbreviations aside, in a fixed order."""
    by_entry: dict[int, set[str]] = defaultdict(set)
    for identifier, said in facts.names.items():
        by_entry[entry_of[identifier]].update(text for text, scope in said.items() if scope <= Scope.EXACT)
    return {entry: [analyse(text) for text in sorted(texts)] for entry, texts in sorted(by_entry.items())}


def _word_counts(facts: Collected) -> list[tuple[str, int]]:
    names = {analyse(text).canonical for said in facts.names.values() for text in said}
    return sorted(Counter(word for name in names for word in set(name.split())).items())
