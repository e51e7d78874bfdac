import pytest
from hypothesis import given
from hypothesis import strategies as st

from diagnosis_zero.behaviour.length import features, loops
from diagnosis_zero.types import Answer


@pytest.mark.parametrize(
    "text",
    [
        "no " * 12,
        "!" * 120,
        "the patient has weakness. " * 3,
        "First it is said. " + "So it is Fabry disease, and so " * 5 + "it ends.",
        "a" * 100,
        "患者有发热。" * 4,
        "aab" * 40,
        "1 2 3 4 5 6 7 8 9 10 11 12 13 14 " * 3,
    ],
)
def test_loops(text: str) -> None:
    assert loops(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "no, no, no: not a loop",
        "-" * 80,
        "=" * 100,
        "the patient has weakness. the patient has weakness.",
        "It could be A. It could be B. It could be C. It could be D. It could be E.",
        "| a | b | c |\n|---|---|---|\n| 1 | 2 | 3 |",
        "ACGTTGCAAGGCTTAACGCGATATCGGCTA" * 1,
        "The liver is enlarged, the spleen is enlarged, the heart is enlarged, the kidneys are normal.",
    ],
)
def test_repetition_that_is_no_loop(text: str) -> None:
    assert not loops(text)


@given(st.lists(st.sampled_from(["w1", "w2", "w3", "w4", "w5"]), min_size=4, max_size=12), st.integers(4, 8))
def test_whatever_is_said_often_enough_on_end_is_a_loop(round_: list[str], times: int) -> None:
    assert loops(" ".join(round_ * times))


def test_flags_are_there_only_where_set() -> None:
    answer = Answer("c", "m", 0, 0, "one two", None, None, (), "length", 7, ())
    assert features(answer) == {"length/tokens": 7.0, "length/words": 2.0, "length/truncated": 1.0}
