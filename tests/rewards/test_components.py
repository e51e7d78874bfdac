"""The parts that need no truth."""

from __future__ import annotations

import pytest

from diagnosis_zero.parsing import parse
from diagnosis_zero.rewards.components import COMPONENTS

PROMPT = "A boy of 12 years is tall, with long fingers, a dislocated lens and a wide aortic root since birth."


def part(
    name: str, think: str = "Tall, lens.", answer: str = "Marfan syndrome", after: str = "", prompt: str = ""
) -> float:
    completion = f"<think>{think}</think><answer>{answer}</answer>{after}"
    return COMPONENTS[name](parse(completion), completion, prompt or PROMPT)


class TestFormat:
    def test_full_form(self) -> None:
        assert part("format") == 1.0

    @pytest.mark.parametrize(("think", "after"), [("", ""), ("...", ""), ("r", "Also:")])
    def test_anything_less(self, think: str, after: str) -> None:
        assert part("format", think=think, after=after) == 0.0


class TestLanguage:
    @pytest.mark.parametrize(
        "text",
        ["Guillain-Barré", "Behçet", "Sjögren–Larsson", "Ménière", "Kabuki (Niikawa-Kuroki)", "α-thalassaemia", "β₂",
         "µg", "Å", "5 ≥ 3 → 2", "Œdème", "ﬁbrosis", "𝛼", "ʼn", "Łukasz", "Kearns–Sayre", "İ"],
    )  # fmt: skip
    def test_at_home_in_medicine(self, text: str) -> None:
        assert part("language", think=text) == 1.0

    @pytest.mark.parametrize(
        "text", ["综合征", "синдром", "متلازمة", "증후군", "マルファン", "โรค", "Мarfan", "תסמונת"]
    )
    def test_another_script(self, text: str) -> None:
        assert part("language", think=text) == 0.0
        assert part("language", after=text) == 0.0

    def test_the_script_of_the_prompt_is_at_home(self) -> None:
        assert part("language", think="马凡综合征", prompt="病人很高") == 1.0
        assert part("language", think="синдром", prompt="病人很高") == 0.0

    def test_numbers_signs_and_emoji_are_no_script(self) -> None:
        assert part("language", think="٣ 12 🙂 \ud800 \x00 ½") == 1.0


class TestReasoning:
    def test_own_words(self) -> None:
        assert part("reasoning", think="Stature, lens and aorta together point to a fibrillin disorder.") == 1.0

    @pytest.mark.parametrize("think", ["", " ", "...", "—"])
    def test_empty(self, think: str) -> None:
        assert part("reasoning", think=think) == 0.0

    def test_copied_from_the_prompt(self) -> None:
        assert part("reasoning", think=PROMPT) == 0.0
        assert part("reasoning", think=PROMPT.upper().replace(",", "")) == 0.0
        assert part("reasoning", think="a dislocated lens") == 0.0

    def test_quoting_findings_is_not_copying(self) -> None:
        assert (
            part("reasoning", think=PROMPT + " These findings together fit a disorder of fibrillin, so aorta first.")
            == 1.0
        )

    def test_missing(self) -> None:
        assert COMPONENTS["reasoning"](parse("<answer>M</answer>"), "", PROMPT) == 0.0


def test_nothing_after() -> None:
    assert part("nothing_after") == 1.0
    assert part("nothing_after", after=" \n") == 1.0
    assert part("nothing_after", after="Or Ehlers-Danlos.") == 0.0
