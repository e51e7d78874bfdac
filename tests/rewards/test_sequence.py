"""The original's formula, exact; and its guards, which never change a verdict."""

from __future__ import annotations

import difflib
import re
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from diagnosis_zero.rewards import sequence
from diagnosis_zero.rewards.sequence import match, similarity


def as_described(answer: str, name: str) -> float:
    """The formula as the description of the original has it, word for word."""
    a, b = answer.lower().strip(), name.lower().strip()
    if a == b:
        return 1.0
    words_a, words_b = set(re.findall(r"\w+", a)), set(re.findall(r"\w+", b))
    jaccard = len(words_a & words_b) / len(words_a | words_b) if words_a | words_b else 0.0
    return 0.8 * difflib.SequenceMatcher(None, a, b).ratio() + 0.2 * jaccard


def test_by_hand() -> None:
    # "abcd" / "bcde": one block "bcd", ratio 2*3/8 = 0.75; no word in common
    assert similarity("abcd", "bcde") == pytest.approx(0.8 * 0.75, abs=1e-12)
    # "type 2" / "type 3": block "type ", ratio 2*5/12; words {type, 2}, {type, 3}: 1 of 3
    assert similarity("type 2", "type 3") == pytest.approx(0.8 * 10 / 12 + 0.2 / 3, abs=1e-12)


def test_case_and_outer_space_do_not_count() -> None:
    assert similarity("  MARFAN syndrome\n", "Marfan Syndrome") == 1.0


def test_answer_comes_first() -> None:
    """The ratio is not symmetric; this pair shows which argument is which."""
    answer, name = "tide", "diet"
    assert difflib.SequenceMatcher(None, answer, name).ratio() != difflib.SequenceMatcher(None, name, answer).ratio()
    assert similarity(answer, name) == as_described(answer, name) != as_described(name, answer)


@settings(deadline=None)
@given(st.text(max_size=80), st.text(max_size=80))
def test_equals_the_description(answer: str, name: str) -> None:
    assert similarity(answer, name) == pytest.approx(as_described(answer, name), abs=1e-12)


def test_equals_the_description_on_real_names(hpo_diseases: list[tuple[str, str]]) -> None:
    names = [name for _, name in hpo_diseases[::40]]
    for answer, name in pairwise(names):
        assert similarity(answer, name) == pytest.approx(as_described(answer, name), abs=1e-12)


def test_threshold_is_exclusive_and_the_best_name_counts() -> None:
    # the block "aaaaaa", ratio 2*6/16 = 0.75, and the same words: 0.6 + 0.2, not above 0.8
    assert similarity("aaaaaa b", "b aaaaaa") == pytest.approx(0.8, abs=1e-12)
    assert match("aaaaaa b", ["b aaaaaa"]).label == 0
    assert match("Marfan syndrome", ["something else", "marfan syndrome"]).label == 2
    assert match("Marfan syndrome", ["something else"]).label == 0
    assert match("Ehlers-Danlos syndrome type 2", ["Ehlers-Danlos syndrome type 3"]).label == 2  # the flaw


@settings(max_examples=200, deadline=None)
@given(
    st.text("ab ", min_size=1, max_size=6).flatmap(lambda unit: st.integers(1, 400).map(lambda n: (unit * n)[:900])),
    st.text("abc ", min_size=1, max_size=40),
)
def test_what_is_not_compared_could_not_have_passed(answer: str, name: str) -> None:
    if similarity(answer, name) == 0.0:
        assert as_described(answer, name) <= sequence.THRESHOLD


def test_a_long_answer_that_is_the_name_is_still_the_name() -> None:
    long_name = "word " * 300
    assert similarity(long_name + "x", long_name) == pytest.approx(as_described(long_name + "x", long_name))
    assert match("marfan syndrome " * 100_000, ["Marfan syndrome"]).score == 0.0
