"""OBO Graphs JSON files (mondo.json, doid.json): the same facts as the OBO reader's."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from diagnosis_zero.errors import InputError
from diagnosis_zero.nomenclature.facts import IDENTIFYING, Below, Evidence, Fact, Linked, Named, Scope, authority, curie
from diagnosis_zero.nomenclature.sources import obo
from diagnosis_zero.nomenclature.sources.files import read_json

_SCOPES = {
    "hasExactSynonym": Scope.EXACT,
    "hasRelatedSynonym": Scope.RELATED,
    "hasNarrowSynonym": Scope.NARROW,
    "hasBroadSynonym": Scope.BROAD,
}
_ABBREVIATION = ("OMO_0003012", "OMO:0003012", "abbreviation", "ABBREVIATION", "acronym")
_EXACT_MATCH = ("exactMatch", "equivalentClass")


def read(path: Path) -> Iterator[Fact]:
    """Facts of every node of every graph in the file. Raises InputError where there is no graph."""
    document = read_json(path)
    graphs = document.get("graphs") if isinstance(document, dict) else None
    if not isinstance(graphs, list):
        raise InputError("no 'graphs' in it", where=path, mend="Is it an OBO Graphs JSON file?")
    for graph in graphs:
        for node in graph.get("nodes", ()):
            yield from _node(node)
        for edge in graph.get("edges", ()):
            if edge.get("pred") in ("is_a", "subClassOf"):
                yield Below(curie(edge["sub"]), curie(edge["obj"]))


def _node(node: dict[str, Any]) -> Iterator[Fact]:
    meta = node.get("meta") or {}
    if meta.get("deprecated") or node.get("type", "CLASS") != "CLASS" or not node.get("lbl"):
        return
    identifier = curie(node["id"])
    yield Named(identifier, node["lbl"], Scope.PREFERRED)
    for synonym in meta.get("synonyms", ()):
        yield Named(identifier, synonym["val"], _scope(synonym))
    exact = {
        curie(value["val"])
        for value in meta.get("basicPropertyValues", ())
        if str(value.get("pred", "")).endswith(_EXACT_MATCH)
    }
    for other in sorted(exact):
        if authority(other) in IDENTIFYING and authority(other) != authority(identifier):
            yield Linked(identifier, other, Evidence.EXACT_MATCH)
    for xref in meta.get("xrefs", ()):
        if not exact:
            yield from obo.link(identifier, xref["val"])


def _scope(synonym: dict[str, Any]) -> Scope:
    scope = _SCOPES.get(str(synonym.get("pred")), Scope.RELATED)
    kind = str(synonym.get("synonymType", ""))
    return Scope.ABBREVIATION if scope is Scope.EXACT and kind.endswith(_ABBREVIATION) else scope
