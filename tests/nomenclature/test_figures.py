"""The figures of docs/reward.md on the development data (where it is at hand)."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from itertools import chain
from pathlib import Path
from typing import Any

import pytest

from diagnosis_zero.nomenclature.build import build
from diagnosis_zero.nomenclature.catalogue import Catalogue
from diagnosis_zero.nomenclature.match import match
from diagnosis_zero.nomenclature.sources import READERS, hpo

DATA = Path(os.environ.get("DZ_DATA", Path(__file__).resolve().parents[3] / "shared" / "data"))
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not DATA.is_dir(), reason="development data not found: set DZ_DATA to its folder"),
]
HARD = ("sibling_type", "sibling_inheritance", "antonym")


def rows(name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (DATA / name).read_text(encoding="utf-8").splitlines()]


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Catalogue:
    facts = chain(
        READERS["orphanet-hypernyms"](DATA / "orphanet_hypernym.json"),
        READERS["obo"](DATA / "DO_rare_slim.obo"),
        *(READERS["sssom"](path) for path in sorted((DATA / "mondo_sssom").glob("*.tsv.gz"))),
        READERS["hpo"](hpo.packaged()),
    )
    path = tmp_path_factory.mktemp("shared") / "shared.sqlite"
    build(facts, path)
    return Catalogue.open(path)


def right(pairs: list[dict[str, Any]], agrees: Callable[[int, int], bool], catalogue: Catalogue | None) -> float:
    labels = [match(row["prediction"], row["references"], catalogue=catalogue).label for row in pairs]
    return sum(agrees(row["label"], label) for row, label in zip(pairs, labels, strict=True)) / len(pairs)


def test_names_with_the_shared_sources(shared: Catalogue) -> None:
    pairs = rows("name_match.jsonl")
    assert right(pairs, lambda true, said: (true == 2) == (said == 2), shared) >= 0.93
    assert right(pairs, lambda true, said: true == said, shared) >= 0.91


@pytest.mark.parametrize("with_catalogue", [True, False])
def test_hard_negatives_are_refused(shared: Catalogue, with_catalogue: bool) -> None:
    pairs = [row for row in rows("name_match.jsonl") if row["kind"] in HARD]
    assert right(pairs, lambda true, said: said != 2, shared if with_catalogue else None) >= 0.995


def test_surface_variants_need_no_catalogue() -> None:
    pairs = [row for row in rows("name_match.jsonl") if row["kind"] == "surface"]
    assert right(pairs, lambda true, said: said == 2, None) >= 0.98


def test_microphthalmia_2_4_6_and_7_stay_apart(shared: Catalogue) -> None:
    found = [shared.find(f"isolated microphthalmia {number}").entries for number in (2, 4, 6, 7)]
    assert all(len(entries) == 1 for entries in found)
    assert len(frozenset().union(*found)) == 4


def test_answers_judged_by_gpt(shared: Catalogue) -> None:
    pairs = [row for row in rows("medr_bench/judged_pairs.jsonl") if row["judges"].get("gpt") is not None]
    said = [match(row["prediction"], [row["reference"]], catalogue=shared).label == 2 for row in pairs]
    hits = sum(yes and row["judges"]["gpt"] for yes, row in zip(said, pairs, strict=True))
    assert hits / sum(said) >= 0.93
    assert hits / sum(bool(row["judges"]["gpt"]) for row in pairs) >= 0.8
