"""RareArena's protocol: reading lists, score sets, tables."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from diagnosis_zero.errors import InputError
from diagnosis_zero.evaluate.protocol import load_hypernyms, named, ranked, rules_2026, shares, table
from diagnosis_zero.types import Answer

HYPERNYMS = Path(os.environ.get("DZ_DATA", "../shared/data")) / "orphanet_hypernym.json"


@pytest.mark.parametrize(
    ("answer", "items"),
    [
        ("1. Marfan syndrome\n2. Fabry disease", ["Marfan syndrome", "Fabry disease"]),
        ("1) Marfan syndrome;\n2) Fabry disease.", ["Marfan syndrome", "Fabry disease"]),
        ("- Marfan syndrome\n* Fabry disease\n• Pompe disease", ["Marfan syndrome", "Fabry disease", "Pompe disease"]),
        ("1. Marfan syndrome; 2. Fabry disease", ["Marfan syndrome", "Fabry disease"]),
        ("1. Gaucher disease type 2 2. Niemann-Pick type 1", ["Gaucher disease type 2", "Niemann-Pick type 1"]),
        ("Marfan syndrome", ["Marfan syndrome"]),
        ("22q11.2 deletion syndrome", ["22q11.2 deletion syndrome"]),
        ("3-methylglutaconic aciduria\n17-beta deficiency", ["3-methylglutaconic aciduria", "17-beta deficiency"]),
        ("1.\n2. Fabry disease", ["1", "Fabry disease"]),
        ("Mucopolysaccharidosis type 2: Hunter\nAtaxia - x", ["Mucopolysaccharidosis type 2: Hunter", "Ataxia - x"]),
        ("\n\n", []),
    ],
)  # fmt: skip
def test_reading_a_list(answer, items):
    assert ranked(answer) == items


def test_at_most_five_and_only_where_a_list_is_asked_for():
    listing = "\n".join(f"{i}. Disease {i}" for i in range(1, 9))
    assert len(named(listing, 5)) == 5
    assert named(listing, 1) == (listing,)
    assert named(None, 5) == ()


@given(st.text(max_size=200))
def test_reading_a_list_never_raises_and_gives_no_blank(text):
    assert all(item.strip() for item in ranked(text))


def test_a_long_line_is_read_in_linear_time():
    assert len(ranked("1. " * 100_000)) <= 2


def test_score_sets_leave_out_wide_parents(tmp_path):
    path = tmp_path / "h.json"
    parents = [
        {"parent": "Narrow", "parent_child_count": 2, "parent_disease_count": 10},
        {"parent": "Wide", "parent_child_count": 2, "parent_disease_count": 11},
    ]
    path.write_text(json.dumps([{"Orphanetid": "7", "name": "X disease", "type": "Disease", "parents": parents}]))
    answer = Answer("c", "m", 0, 0, "", None, "x", (), "stop", 1, ("Disease of X", "x DISEASE"), ("ORPHA:7",))
    sets = rules_2026(load_hypernyms(path))(answer)
    assert sets.two == ("Disease of X", "x DISEASE")
    assert sets.one == ("Narrow",)


@pytest.mark.parametrize(
    ("text", "said"), [("{}", "expected a list"), ('[{"name": "x"}]', "entry 1 lacks"), ("[3]", "entry 1")]
)
def test_a_wrong_hypernym_file_is_named(tmp_path, text, said):
    path = tmp_path / "h.json"
    path.write_text(text)
    with pytest.raises(InputError, match=said):
        load_hypernyms(path)


def test_the_table_has_rarearenas_columns():
    grades = {"top1": shares([0, 0, 1, 2]), "top5": shares([0, 2, 2, 2])}
    lines = table([("Model|A", grades), ("B", {})]).splitlines()
    assert len(lines[0].split(" | ")) == 9
    assert lines[2] == "| Model/A | 50.00 | 25.00 | 25.00 | 50.00 | 25.00 | 0.00 | 75.00 | 75.00 |"
    assert lines[3] == "| B | - | - | - | - | - | - | - | - |"


@pytest.mark.skipif(not HYPERNYMS.is_file(), reason="needs orphanet_hypernym.json under DZ_DATA")
def test_the_published_file_has_the_counts_of_its_readme():
    found = load_hypernyms(HYPERNYMS)
    assert len(found) == 7476
    assert sum(len(disease.parents) for disease in found.values()) == 5436
    assert sum(not disease.parents for disease in found.values()) == 3018
