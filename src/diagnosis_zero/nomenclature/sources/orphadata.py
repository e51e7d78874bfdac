"""Orphadata's XML: product 1 (nomenclature, synonyms, cross-references) and product 3 (classifications).

The two products are told apart by their content. Document types are refused: an entity bomb never unfolds, and
Orphadata uses none. Memory stays small: each element is dropped once it is read.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any
from xml.etree import ElementTree as ET
from xml.parsers import expat

from diagnosis_zero.errors import InputError
from diagnosis_zero.nomenclature.facts import (
    IDENTIFYING,
    Below,
    Evidence,
    Fact,
    Grouping,
    Linked,
    Named,
    Scope,
    authority,
    curie,
)
from diagnosis_zero.nomenclature.sources.files import open_bytes

_GROUPINGS = ("category", "clinical group", "group of disorders")
_ABBREVIATION = re.compile(r"(?=.*[A-Z].*[A-Z])[A-Z0-9][A-Za-z0-9./-]{1,11}")


def read(path: Path) -> Iterator[Fact]:
    """Facts of a product 1 or product 3 file. Raises InputError on torn XML, a document type, or no disorder."""
    with open_bytes(path) as stream:
        seen = False
        try:
            _refuse_document_type(stream, path)
            for fact in _facts(stream):
                seen = True
                yield fact
        except (ET.ParseError, expat.ExpatError) as error:
            line = error.position[0] if isinstance(error, ET.ParseError) else error.lineno
            raise InputError(f"not well-formed XML ({error})", where=(path, line)) from error
    if not seen:
        mend = "Expected Orphadata's product 1 (DisorderList) or product 3 (ClassificationList)."
        raise InputError("no Disorder in it", where=path, mend=mend)


def _refuse_document_type(stream: IO[bytes], path: Path) -> None:
    """Read the prolog: an InputError at a document type (its entities could grow), else back to the start."""
    met: list[str] = []
    parser = expat.ParserCreate()
    parser.StartDoctypeDeclHandler = lambda *_: met.append("document type")
    parser.StartElementHandler = lambda *_: met.append("element")
    while not met and (chunk := stream.read(256)):
        parser.Parse(chunk)
    if met[:1] == ["document type"]:
        mend = "Orphadata's files have none; remove it if you trust the file."
        raise InputError("a document type declaration is refused", where=path, mend=mend)
    stream.seek(0)


def _elements(stream: IO[bytes]) -> Iterator[tuple[Any, ...]]:
    """("start" or "end", the element) as the file is read."""
    parser: ET.XMLPullParser[Any] = ET.XMLPullParser(("start", "end"))
    while chunk := stream.read(1 << 16):
        parser.feed(chunk)
        yield from parser.read_events()
    parser.close()
    yield from parser.read_events()


def _facts(stream: IO[bytes]) -> Iterator[Fact]:
    """Product 1: Disorder under DisorderList. Product 3: a path of ClassificationNodes, parents before children."""
    ancestors: list[str | None] = []
    for event, element in _elements(stream):
        if element.tag == "ClassificationNode":
            if event == "start":
                ancestors.append(None)
            else:
                ancestors.pop()
                element.clear()
        elif element.tag == "Disorder" and event == "end":
            identifier = f"ORPHA:{_text(element, 'OrphaCode') or _text(element, 'OrphaNumber')}"
            yield from _disorder(identifier, element)
            if ancestors:
                ancestors[-1] = identifier
                parent = ancestors[-2] if len(ancestors) > 1 else None
                if parent:
                    yield Below(identifier, parent)
            element.clear()


def _disorder(identifier: str, element: ET.Element) -> Iterator[Fact]:
    name = _text(element, "Name")
    if name:
        yield Named(identifier, name, Scope.PREFERRED)
    kinds = {_text(element, "DisorderType/Name").lower(), _text(element, "DisorderGroup/Name").lower()}
    if kinds.intersection(_GROUPINGS):
        yield Grouping(identifier)
    for synonym in element.iterfind("SynonymList/Synonym"):
        text = (synonym.text or "").strip()
        if text:
            short = _ABBREVIATION.fullmatch(text)
            yield Named(identifier, text, Scope.ABBREVIATION if short else Scope.EXACT)
    for reference in element.iterfind("ExternalReferenceList/ExternalReference"):
        yield from _reference(identifier, reference)


def _reference(identifier: str, element: ET.Element) -> Iterator[Fact]:
    """Only the relation E ("exact") says that two concepts are one."""
    number = _text(element, "Reference")
    other = number if ":" in number else f"{_text(element, 'Source')}:{number}"
    relation = _text(element, "DisorderMappingRelation/Name")
    if relation.split(" ")[0] == "E" and authority(curie(other)) in IDENTIFYING:
        yield Linked(identifier, curie(other), Evidence.EXACT_MATCH)


def _text(element: ET.Element, path: str) -> str:
    return (element.findtext(path) or "").strip()
