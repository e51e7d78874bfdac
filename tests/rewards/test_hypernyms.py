"""An accepted hypernym earns a tenth, and opens no door."""

from __future__ import annotations

import json

import pytest

from diagnosis_zero.nomenclature.build import build
from diagnosis_zero.nomenclature.sources import rarearena
from diagnosis_zero.parsing import render
from diagnosis_zero.rewards import build_reward
from diagnosis_zero.types import Case, RewardFn

CASE = Case(id="1", source="t", source_id="1", text="", names=("Zeta storage disease type 1",), ids=("ORPHA:1",))
PARENTS = [
    {"parent": "Zeta storage disease", "parent_child_count": 2, "parent_disease_count": 2},
    {"parent": "Storage disease with neurological involvement", "parent_child_count": 9, "parent_disease_count": 90},
]


@pytest.fixture(scope="module")
def reward(tmp_path_factory: pytest.TempPathFactory) -> RewardFn:
    """A nomenclature in the layout of RareArena's hypernym file: two sisters under a small and a large parent."""
    folder = tmp_path_factory.mktemp("hypernyms")
    names = {"1": "Zeta storage disease type 1", "2": "Zeta storage disease type 2", "3": "Omega dysplasia"}
    rows = [
        {"Orphanetid": number, "name": name, "type": "Disease", "parents": PARENTS if number != "3" else []}
        for number, name in names.items()
    ]
    (folder / "hypernyms.json").write_text(json.dumps(rows), encoding="utf-8")
    build(rarearena.read(folder / "hypernyms.json"), folder / "catalogue.sqlite")
    return build_reward(catalogue=folder / "catalogue.sqlite")


@pytest.mark.parametrize(
    "answer", ["Zeta storage disease", "Most likely zeta storage disease, confirmed by genetic testing",
               "Zeta storage disease (Zeta storage disease type 1)"]
)  # fmt: skip
def test_an_accepted_hypernym_earns_a_tenth(reward: RewardFn, answer: str) -> None:
    found = reward(render("r", answer), CASE)
    assert (found.parts["accuracy"], found.parts["hypernym"]) == (0.0, 1.0)
    assert found.score == pytest.approx(0.2)


@pytest.mark.parametrize(
    "answer",
    ["Storage disease with neurological involvement", "Zeta storage disease type 2", "not zeta storage disease",
     "Zeta storage disease or Omega dysplasia", "Zeta storage disease; Omega dysplasia",
     "Omega dysplasia (Zeta storage disease)", "Zeta storage disease type 2 (Zeta storage disease)",
     "Zeta storage disease, Omega dysplasia", "carrier of Zeta storage disease", "Zeta storage disease-like"],
)  # fmt: skip
def test_what_only_looks_like_one_earns_nothing(reward: RewardFn, answer: str) -> None:
    found = reward(render("r", answer), CASE)
    assert (found.parts["accuracy"], found.parts["hypernym"]) == (0.0, 0.0)


def test_the_disease_beside_its_hypernym_loses_nothing(reward: RewardFn) -> None:
    assert reward(render("r", "Zeta storage disease type 1 (Zeta storage disease)"), CASE).parts["accuracy"] == 1.0


def test_the_weight_of_a_hypernym_is_set_apart(reward: RewardFn) -> None:
    assert reward(render("r", "Zeta storage disease"), CASE).score < reward(render("r", CASE.names[0]), CASE).score
