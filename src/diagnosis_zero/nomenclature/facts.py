"""What a nomenclature source says, one statement a record. Readers yield these; the catalogue is built from them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import TypeAlias


class Scope(IntEnum):
    """How a name relates to its disease; the order is the order of trust. Up to ABBREVIATION the name means
    the disease; the rest are kept for display and never identify it."""

    PREFERRED = 0
    EXACT = 1
    ABBREVIATION = 2
    RELATED = 3
    NARROW = 4
    BROAD = 5


class Evidence(IntEnum):
    """Why two identifiers are said to mean one disease; the order is the order of trust."""

    EXACT_MATCH = 0
    """An SSSOM exactMatch, Orphadata's relation E, or an ontology's own equivalence."""
    CROSS_REFERENCE = 1
    """A plain cross-reference: believed only where it is one to one."""


@dataclass(frozen=True, slots=True)
class Named:
    """``id`` is called ``name``."""

    id: str
    name: str
    scope: Scope


@dataclass(frozen=True, slots=True)
class Linked:
    """``left`` and ``right`` (of two authorities) are said to mean one disease."""

    left: str
    right: str
    evidence: Evidence


@dataclass(frozen=True, slots=True)
class Below:
    """``child`` stands under ``parent``, an identifier, or a bare name where the source gives no number.

    ``diseases``: how many diseases the source counts under the parent; None where the catalogue must count.
    """

    child: str
    parent: str
    diseases: int | None = None
    parent_is_name: bool = False


@dataclass(frozen=True, slots=True)
class Grouping:
    """``id`` is a category that holds diseases, not a disease."""

    id: str


Fact: TypeAlias = Named | Linked | Below | Grouping

_AUTHORITIES = {
    "orphanet": "ORPHA",
    "ordo": "ORPHA",
    "orpha": "ORPHA",
    "mim": "OMIM",
    "omim": "OMIM",
    "doid": "DOID",
    "mondo": "MONDO",
}
IDENTIFYING = frozenset(_AUTHORITIES.values())
"""Authorities whose identifiers are diseases; references to others (UMLS, ICD, GARD) carry no identity here."""


def curie(text: str) -> str:
    """An identifier in the project's spelling: "Orphanet_558" and "ORDO:558" are "ORPHA:558".

    Phenotypic series ("MIM:PS203655", "OMIMPS:203655") keep a prefix of their own and so never identify.
    """
    text = text.strip().rsplit("/", 1)[-1]
    prefix, colon, number = text.partition(":" if ":" in text else "_")
    authority = _AUTHORITIES.get(prefix.lower(), prefix.upper())
    if authority == "OMIM" and number.upper().startswith("PS"):
        return f"OMIMPS:{number[2:]}"
    return f"{authority}:{number}" if colon else text


def authority(identifier: str) -> str:
    """The part of an identifier that says whose it is."""
    return identifier.partition(":")[0]


GATHERER = "MONDO"
"""The authority that gathers the others' diseases."""

_RANKS = {name: at for at, name in enumerate(("ORPHA", "OMIM", "DOID", GATHERER))}


def rank(name: str) -> int:
    """The order in which authorities are heard: Orphanet first, whose diseases RareArena's answers are; Mondo,
    which gathers the others, last."""
    return _RANKS.get(name, len(_RANKS))
