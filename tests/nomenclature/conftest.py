"""A small nomenclature, made up for the tests in the layouts of the real sources."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from diagnosis_zero.nomenclature.build import build
from diagnosis_zero.nomenclature.catalogue import Catalogue
from diagnosis_zero.nomenclature.facts import Below, Evidence, Fact, Linked, Named, Scope

settings.register_profile("no deadline", deadline=None)  # tests do not depend on wall time
settings.load_profile("no deadline")


def small_facts() -> Iterator[Fact]:
    """Three numbered siblings under a group, a disease two authorities number, a homonym, a broad group."""
    for number in (1, 2, 3):
        yield Named(f"ORPHA:{100 + number}", f"Vasconi syndrome type {number}", Scope.PREFERRED)
        yield Below(f"ORPHA:{100 + number}", "Vasconi syndrome", 3, parent_is_name=True)
        yield Below(f"ORPHA:{100 + number}", "Rare skin disease", 400, parent_is_name=True)
    yield Named("ORPHA:102", "Keratoderma-deafness syndrome", Scope.EXACT)
    yield Named("ORPHA:102", "KDS", Scope.ABBREVIATION)
    yield Named("OMIM:700002", "VASCONI SYNDROME, TYPE II", Scope.PREFERRED)
    yield Named("OMIM:700002", "Brannik disease", Scope.EXACT)
    yield Named("OMIM:700002", "wool hair", Scope.RELATED)
    yield Linked("ORPHA:102", "OMIM:700002", Evidence.EXACT_MATCH)
    yield Named("ORPHA:200", "Pellworm disease", Scope.PREFERRED)
    yield Named("ORPHA:201", "Pellworm syndrome", Scope.PREFERRED)
    yield Named("ORPHA:300", "Juvenile tarsal ataxia", Scope.PREFERRED)
    yield Named("ORPHA:300", "JTA", Scope.ABBREVIATION)
    yield Named("ORPHA:301", "Jugular tumor of the adult", Scope.PREFERRED)
    yield Named("ORPHA:301", "JTA", Scope.ABBREVIATION)
    for number in range(5):  # synonyms that teach a phrase
        yield Named(f"DOID:{number}", f"deafness with organ {chr(97 + number)}nosia", Scope.PREFERRED)
        yield Named(f"DOID:{number}", f"cophosis with organ {chr(97 + number)}nosia", Scope.EXACT)


@pytest.fixture(scope="session")
def facts() -> list[Fact]:
    return list(small_facts())


@pytest.fixture(scope="session")
def catalogue(tmp_path_factory: pytest.TempPathFactory, facts: list[Fact]) -> Catalogue:
    path: Path = tmp_path_factory.mktemp("catalogue") / "small.sqlite"
    build(facts, path)
    return Catalogue.open(path)
