"""Readers of nomenclature files: each takes a path and yields facts. Gzipped files are read as they are."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from diagnosis_zero.nomenclature.facts import Fact
from diagnosis_zero.nomenclature.sources import hpo, obo, obographs, orphadata, rarearena, sssom

READERS: dict[str, Callable[[Path], Iterator[Fact]]] = {
    "orphadata": orphadata.read,
    "orphanet-hypernyms": rarearena.read,
    "obo": obo.read,
    "obographs": obographs.read,
    "sssom": sssom.read,
    "hpo": hpo.read,
}
"""Kind of source (the option of ``dz catalogue build``) to its reader."""
