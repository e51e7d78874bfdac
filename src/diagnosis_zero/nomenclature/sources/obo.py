"""OBO files (Mondo, the Disease Ontology, ORDO, HPO): names, synonyms by scope, cross-references, is_a.

OBO 1.2 and 1.4 flat file format: stanzas of ``tag: value {qualifiers} ! comment`` lines.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from diagnosis_zero.errors import InputError
from diagnosis_zero.nomenclature.facts import IDENTIFYING, Below, Evidence, Fact, Linked, Named, Scope, authority, curie
from diagnosis_zero.nomenclature.sources.files import read_lines

SCOPES = {"EXACT": Scope.EXACT, "RELATED": Scope.RELATED, "NARROW": Scope.NARROW, "BROAD": Scope.BROAD}
_SYNONYM = re.compile(r'"((?:[^"\\]|\\.)*)"\s*([A-Z]*)([^\[]*)(.*)')
_ABBREVIATION = ("OMO:0003012", "acronym", "abbreviation", "ABBREVIATION")
_EQUIVALENT = ("MONDO:equivalentTo", "E (Exact", "skos:exactMatch")
_NOT_EQUIVALENT = ("MONDO:relatedTo", "MONDO:obsolete", "NTBT", "BTNT", "ND (", "W (", "MONDO:related")


def read(path: Path) -> Iterator[Fact]:
    """Facts of every term that is not obsolete."""
    seen = False
    for stanza in read_terms(path):
        seen = True
        yield from _facts(stanza)
    if not seen:
        raise InputError("no [Term] in it", where=path, mend="Is it an OBO file?")


def read_terms(path: Path) -> Iterator[list[tuple[str, str]]]:
    """(tag, value) pairs of every [Term] stanza, in order."""
    stanza: list[tuple[str, str]] | None = None
    for _, line in read_lines(path):
        if line.startswith("["):
            if stanza:
                yield stanza
            stanza = [] if line.startswith("[Term]") else None
        elif stanza is not None and line:
            tag, _, value = line.partition(": ")
            stanza.append((tag, value))
    if stanza:
        yield stanza


def _facts(stanza: list[tuple[str, str]]) -> Iterator[Fact]:
    tags = dict(stanza)
    if "id" not in tags or tags.get("is_obsolete", "").startswith("true"):
        return
    identifier = curie(tags["id"])
    for tag, value in stanza:
        if tag == "name":
            yield Named(identifier, unescape(value), Scope.PREFERRED)
        elif tag == "synonym":
            yield from _synonym(identifier, value)
        elif tag == "xref":
            yield from link(identifier, value)
        elif tag == "is_a":
            yield Below(identifier, curie(value.split(" ")[0]))


def _synonym(identifier: str, value: str) -> Iterator[Fact]:
    found = _SYNONYM.match(value)
    if not found:
        return
    scope = SCOPES.get(found[2], Scope.RELATED)
    if scope is Scope.EXACT and any(mark in found[3] + found[4] for mark in _ABBREVIATION):
        scope = Scope.ABBREVIATION
    yield Named(identifier, unescape(found[1]), scope)


def link(identifier: str, value: str) -> Iterator[Linked]:
    """A cross-reference as a link, by what its qualifiers say of it; none to a broader or narrower target."""
    target, _, qualifiers = value.partition(" ")
    other = curie(target)
    if authority(other) not in IDENTIFYING or authority(other) == authority(identifier):
        return
    if any(mark in qualifiers for mark in _EQUIVALENT):
        yield Linked(identifier, other, Evidence.EXACT_MATCH)
    elif not any(mark in qualifiers for mark in _NOT_EQUIVALENT):
        yield Linked(identifier, other, Evidence.CROSS_REFERENCE)


def unescape(text: str) -> str:
    """OBO's backslash escapes resolved."""
    return re.sub(r"\\(.)", r"\1", text)
