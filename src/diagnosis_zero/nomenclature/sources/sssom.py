"""SSSOM mapping tables (tab-separated, ``#`` metadata first): the exact matches, and the labels they carry."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from diagnosis_zero.errors import InputError
from diagnosis_zero.nomenclature.facts import Evidence, Fact, Linked, Named, Scope, curie
from diagnosis_zero.nomenclature.sources.files import read_lines

_EXACT = frozenset({"skos:exactMatch", "owl:equivalentClass"})
_NEEDED = ("subject_id", "predicate_id", "object_id")


def read(path: Path) -> Iterator[Fact]:
    """Exact matches as links and both sides' labels as names; broader and narrower matches are left out."""
    columns: list[str] = []
    for number, line in read_lines(path):
        if line.startswith("#") or not line:
            continue
        cells = line.split("\t")
        if not columns:
            columns = _header(cells, (path, number))
            continue
        row = dict(zip(columns, cells, strict=False))
        if any(not row.get(column) for column in _NEEDED):
            raise InputError("a cell is missing", where=(path, number), mend=f"Needed: {', '.join(_NEEDED)}.")
        yield from _row(row)
    if not columns:
        raise InputError("no header line", where=path, mend="Is it an SSSOM table?")


def _header(cells: list[str], where: tuple[Path, int]) -> list[str]:
    missing = [column for column in _NEEDED if column not in cells]
    if missing:
        raise InputError(f"no column {missing[0]!r}", where=where, mend="Is it an SSSOM table?")
    return cells


def _row(row: dict[str, str]) -> Iterator[Fact]:
    left, right = curie(row["subject_id"]), curie(row["object_id"])
    for identifier, label in ((left, row.get("subject_label")), (right, row.get("object_label"))):
        if label and not label.startswith("obsolete "):
            yield Named(identifier, label, Scope.EXACT)
    if row["predicate_id"] in _EXACT and row.get("predicate_modifier", "") != "Not":
        yield Linked(left, right, Evidence.EXACT_MATCH)
