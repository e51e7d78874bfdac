from __future__ import annotations

from diagnosis_zero.nomenclature.audit import audit, diseases
from diagnosis_zero.nomenclature.catalogue import Catalogue
from diagnosis_zero.nomenclature.match import match
from diagnosis_zero.rewards import sequence


def test_figures_of_the_small_catalogue(catalogue: Catalogue) -> None:
    """Seven Orphanet diseases. By letters the three Vasconi types pass for each other (the Pellworms do not:
    0.8 * 22/33 + 0.2 * 1/3 = 0.6); by meaning nothing passes. Synonyms: type 2 has four, one of them its own name
    in capitals, and the two that are called JTA one each, which is ambiguous."""
    found = diseases(catalogue)
    methods = {
        "sequence": lambda p, r, i: sequence.match(p, r),
        "ontology": lambda p, r, i: match(p, r, catalogue=catalogue),
    }
    tallies = audit(catalogue, methods, found)
    assert [disease.id for disease in found] == [f"ORPHA:{n}" for n in (101, 102, 103, 200, 201, 300, 301)]
    assert (tallies["sequence"].diseases, tallies["sequence"].wrong) == (7, 3)
    assert tallies["ontology"].wrong == 0
    assert (tallies["ontology"].synonyms, tallies["ontology"].accepted) == (6, 4)
    assert tallies["sequence"].accepted == 1
    assert tallies["ontology"].as_dict()["synonyms_accepted"] == 4 / 6
    assert tallies["ontology"].refused_examples == [
        "JTA for Juvenile tarsal ataxia (ORPHA:300)",
        "JTA for Jugular tumor of the adult (ORPHA:301)",
    ]


def test_a_limit_spreads_over_the_catalogue(catalogue: Catalogue) -> None:
    assert [disease.id for disease in diseases(catalogue, 2)] == ["ORPHA:101", "ORPHA:200"]
