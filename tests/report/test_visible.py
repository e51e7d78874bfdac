import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from diagnosis_zero.report.visible import visible


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        ("plain\ntext\twith é and 漢字", "plain\ntext\twith é and 漢字"),
        ("a\x00b", "a␀b"),
        ("\u202edrow", "⟨U+202E⟩drow"),
        ("zero\u200bwidth", "zero⟨U+200B⟩width"),
        ("नि\u200d", "नि\u200d"),
        ("\ud800", "⟨U+D800⟩"),
    ],
)
def test_hidden_characters_are_shown(raw: str, shown: str) -> None:
    assert visible(raw) == shown


@given(st.text(st.characters(codec=None)))
def test_nothing_that_reorders_or_hides_is_left(text: str) -> None:
    left = {unicodedata.category(char) for char in visible(text) if char not in "\n\t\u200c\u200d\u00ad"}
    assert not left & {"Cc", "Cf", "Cs"}
