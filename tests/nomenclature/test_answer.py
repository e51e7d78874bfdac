from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from diagnosis_zero.nomenclature.answer import (
    heads_and_rests,
    is_abbreviation,
    strip_lead_in,
    takes_back,
    unbracket,
    views,
)
from diagnosis_zero.nomenclature.match import match

ACCEPTED = [
    "**Fabry disease**",
    "The most likely diagnosis is Fabry disease.",
    "Final diagnosis: Fabry disease",
    "The patient has Fabry disease",
    "Findings are consistent with Fabry disease",
    "Fabry disease (FD)",
    "FD (Fabry disease)",
    "Fabry disease, confirmed by genetic testing",
    "Fabry disease, based on the angiokeratomas and proteinuria",
    "Fabry disease. The enzyme activity was low.",
    "Fabry's Disease",
]
REFUSED = [
    "not Fabry disease",
    "Fabry disease, ruled out by enzyme activity",
    "Fabry disease is excluded; Gaucher disease",
    "Fabry disease or Gaucher disease",
    "Fabry disease; Gaucher disease",
    "Fabry disease vs. Gaucher disease",
    "Fabry-like disease",
    "carrier of Fabry disease",
    "family history of Fabry disease",
    "Gaucher disease, which resembles Fabry disease",
    "Fabry disease type 2",
    "disease",
    "",
]


@pytest.mark.parametrize("answer", ACCEPTED)
def test_the_name_is_found_in_the_answer(answer: str) -> None:
    assert match(answer, ["Fabry disease"]).label == 2


@pytest.mark.parametrize("answer", REFUSED)
def test_denied_hedged_and_other_answers_are_refused(answer: str) -> None:
    assert match(answer, ["Fabry disease"]).label == 0


def test_lead_ins_go_and_names_that_look_like_them_stay() -> None:
    assert strip_lead_in("Answer: Gout") == "Gout"
    assert strip_lead_in("Primary hyperoxaluria") == "Primary hyperoxaluria"


def test_brackets_hold_an_abbreviation_or_what_it_stands_for() -> None:
    assert unbracket("Cystic fibrosis (CF)") == ["Cystic fibrosis"]
    assert unbracket("CF [cystic fibrosis]") == ["cystic fibrosis"]
    assert unbracket("Osteogenesis imperfecta (OI3)") == []  # the 3 is a type that the name lacks
    assert unbracket("Cystic fibrosis (of the newborn)") == []
    assert unbracket("Cystic fibrosis (CF") == []


def test_abbreviations() -> None:
    assert all(map(is_abbreviation, ("CF", "GSD IXd", "IMD57", "D-TGA")))
    assert not any(map(is_abbreviation, ("Gout", "cystic fibrosis", "A", "")))


@pytest.mark.parametrize(
    ("text", "cuts"),
    [
        ("Gout with tophi", [("Gout", "tophi")]),
        ("Gout due to a HPRT1 mutation", [("Gout", "a HPRT1 mutation")]),
        ("Gout (MSU) of the left toe", [("Gout (MSU)", "left toe")]),  # a side is no kind, an abbreviation might be one
        ("Gout of the C4-5 facet joint", [("Gout", "C4-5 facet joint")]),
        ("Gout with palsies of the nerves VII and IX", [("Gout", "palsies of the nerves VII and IX")]),
        ("Gout of the type 2", []),  # which kind it is
        ("Gout with nerve palsies type 2", []),
        ("Gout, type 2", []),
        ("Gout, ruled out", []),
        ("Gout and myocarditis", []),  # a second diagnosis
        ("Gout", []),
    ],
)
def test_a_description_behind_a_name(text: str, cuts: list[tuple[str, str]]) -> None:
    assert [cut for cut in heads_and_rests(text) if cut in cuts] == cuts
    assert bool(cuts) or not list(heads_and_rests(text))


def test_without_behind_a_name_describes_and_before_it_denies() -> None:
    assert not takes_back("Renal abscess without rupture", "Abscess of the kidney")
    assert takes_back("No renal abscess", "Abscess of the kidney")
    assert takes_back("Without renal abscess", "Abscess of the kidney")
    assert takes_back("Renal abscess without rupture, excluded", "Abscess of the kidney")


@given(st.text(max_size=400))
def test_any_text_is_read_and_judged(text: str) -> None:
    assert text not in views(text) or views(text)[0] == text
    assert match(text, ["Fabry disease"]).label in (0, 2)


def test_a_megabyte_is_judged_by_its_start() -> None:
    for text in ("(" * 1_000_000, "Fabry " * 150_000, "a, " * 300_000, "<" * 1_000_000):
        assert match(text, ["Fabry disease"]).label == 0
