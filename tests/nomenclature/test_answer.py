from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from diagnosis_zero.nomenclature.answer import head_and_rest, is_abbreviation, strip_lead_in, unbracket, views
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


def test_a_description_behind_a_name() -> None:
    assert head_and_rest("Gout with tophi") == ("Gout", "tophi")
    assert head_and_rest("Gout due to a HPRT1 mutation") == ("Gout", "a HPRT1 mutation")
    assert head_and_rest("Gout, type 2") is None  # which kind it is
    assert head_and_rest("Gout, ruled out") is None
    assert head_and_rest("Gout and myocarditis") is None  # a second diagnosis
    assert head_and_rest("Gout") is None


@given(st.text(max_size=400))
def test_any_text_is_read_and_judged(text: str) -> None:
    assert text not in views(text) or views(text)[0] == text
    assert match(text, ["Fabry disease"]).label in (0, 2)


def test_a_megabyte_is_judged_by_its_start() -> None:
    for text in ("(" * 1_000_000, "Fabry " * 150_000, "a, " * 300_000, "<" * 1_000_000):
        assert match(text, ["Fabry disease"]).label == 0
