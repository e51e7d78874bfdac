"""The parser knows every way a completion can be formed."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from diagnosis_zero.parsing import FAULTS, parse, render
from diagnosis_zero.types import Parsed

THINK = "<think>Tall, lens dislocation.</think>"
ANSWER = "<answer>Marfan syndrome</answer>"


def test_full_form() -> None:
    assert parse(f"{THINK}\n{ANSWER}") == Parsed(
        think="Tall, lens dislocation.", answer="Marfan syndrome", answers=("Marfan syndrome",)
    )


def test_render_writes_what_parse_reads() -> None:
    assert parse(render("a\nb", "c")) == Parsed(think="a\nb", answer="c", answers=("c",))


# name, text, think, answer, faults
FORMS: list[tuple[str, str, str | None, str | None, set[str]]] = [
    ("nothing", "", None, None, {"think_missing", "answer_missing"}),
    ("plain text", "Marfan", None, None, {"think_missing", "answer_missing", "text_before"}),
    ("no think", "<answer>M</answer>", None, "M", {"think_missing"}),
    ("no answer", "<think>r</think>", "r", None, {"answer_missing"}),
    ("answer left bare", "<think>r</think>M", "r", None, {"answer_missing", "text_after"}),
    ("empty think", "<think> \n</think><answer>M</answer>", "", "M", {"think_empty"}),
    ("think of dots", "<think>...</think><answer>M</answer>", "...", "M", {"think_empty"}),
    ("think of zero width", "<think>\u200b</think><answer>M</answer>", "\u200b", "M", {"think_empty"}),
    ("empty answer", "<think>r</think><answer> </answer>", "r", "", {"answer_empty"}),
    ("two thinks", "<think>r</think><think>s</think><answer>M</answer>", "r\ns", "M", {"think_repeated"}),
    ("two answers", "<think>r</think><answer>M</answer><answer>E</answer>", "r", None, {"answer_repeated"}),
    ("twice the same", "<think>r</think><answer>M</answer><answer>M</answer>", "r", None,
     {"answer_repeated"}),
    ("second unclosed", "<think>r</think><answer>M</answer><answer>E", "r", None,
     {"answer_repeated", "answer_unclosed"}),
    ("nested think", "<think>a<think>b</think><answer>M</answer>", "a<think>b", "M", {"think_nested"}),
    ("balanced nested think claims what it holds",
     "<think>a<think>b</think><answer>M</answer></think>", "a<think>b\n<answer>M</answer>", None,
     {"think_nested", "think_unopened", "think_repeated", "answer_in_think", "answer_missing"}),
    ("nested answer", "<think>r</think><answer>E<answer>M</answer>", "r", None, {"answer_nested"}),
    ("balanced nested answer", "<think>r</think><answer><answer>M</answer></answer>", "r", None,
     {"answer_nested", "answer_unopened"}),
    ("think in answer", "<think>r</think><answer><think>s</think>M</answer>", "r", None, {"think_in_answer"}),
    ("answer in think", "<think>r <answer>M</answer></think>", "r <answer>M</answer>", None,
     {"answer_in_think", "answer_missing"}),
    ("draft beside the answer", "<think><answer>E</answer></think><answer>M</answer>", "<answer>E</answer>",
     None, {"answer_in_think", "answer_repeated"}),
    ("tags mentioned in think", "<think>use <answer></answer> tags</think><answer>M</answer>",
     "use <answer></answer> tags", "M", {"answer_in_think"}),
    ("opening tag mentioned in think", "<think>then <answer></think><answer>M</answer>", "then <answer>", "M",
     {"answer_in_think"}),
    ("unclosed think", "<think>r M", "r M", None, {"think_unclosed", "answer_missing"}),
    ("unclosed think swallows the answer", "<think>r <answer>M</answer>", "r <answer>M</answer>", None,
     {"think_unclosed", "answer_in_think", "answer_missing"}),
    ("unclosed answer", "<think>r</think><answer>M", "r", None, {"answer_unclosed"}),
    ("unopened think", "r</think><answer>M</answer>", "r", "M", {"think_unopened"}),
    ("unopened answer", "<think>r</think>M</answer>", "r", None,
     {"answer_unopened", "answer_missing", "text_after"}),
    ("closing answer twice", "<think>r</think><answer>M</answer></answer>", "r", None, {"answer_unopened"}),
    ("late </think> claims the answer", "<answer>M</answer></think>", "<answer>M</answer>", None,
     {"think_unopened", "answer_in_think", "answer_missing"}),
    ("answer first", "<answer>M</answer><think>r</think>", "r", "M", {"answer_before_think"}),
    ("answer between thinks", "<think>r</think><answer>M</answer><think>s</think>", "r\ns", "M",
     {"answer_before_think", "think_repeated"}),
    ("text before", "Sure! <think>r</think><answer>M</answer>", "r", "M", {"text_before"}),
    ("text between", "<think>r</think>So: <answer>M</answer>", "r", "M", {"text_between"}),
    ("text after", "<think>r</think><answer>M</answer> Or not.", "r", "M", {"text_after"}),
    ("upper case and spaces", "< THINK >r</ Think><Answer\n>M< /answer>", "r", "M", set()),
    ("attributes make no tag", "<think>r</think><answer id=1>M</answer>", "r", None,
     {"answer_unopened", "answer_missing", "text_after"}),
    ("escaped tags are text", "<think>r</think>&lt;answer&gt;M&lt;/answer&gt;", "r", None,
     {"answer_missing", "text_after"}),
    ("other markup is text", "<think><b>r</b></think><answer><i>M</i></answer>",
     "<b>r</b>", "<i>M</i>", set()),
    ("full-width brackets are text", "<think>r</think>＜answer＞M＜/answer＞", "r", None,
     {"answer_missing", "text_after"}),
    ("letters that fold to ascii", "<thin\u212a>r</thin\u212a><an\u017fwer>M</an\u017fwer>", None, None,
     {"think_missing", "answer_missing", "text_before"}),
    ("cut tag", "<think>r</think><answer>M</answ", "r", None, {"answer_unclosed"}),
]  # fmt: skip


@pytest.mark.parametrize(("text", "think", "answer", "faults"), [f[1:] for f in FORMS], ids=[f[0] for f in FORMS])
def test_forms(text: str, think: str | None, answer: str | None, faults: set[str]) -> None:
    parsed = parse(text)
    assert (parsed.think, parsed.answer, set(parsed.faults)) == (think, answer, faults)


def test_every_fault_but_the_contextual_has_a_form() -> None:
    shown = set().union(*(form[4] for form in FORMS))
    assert set(FAULTS) - shown == {"truncated", "tags_flooded"}


def test_surroundings_are_kept() -> None:
    parsed = parse(" a <think>r</think> b <answer>M</answer> c ")
    assert (parsed.before, parsed.between, parsed.after) == ("a", "b", "c")


def test_all_answers_are_kept_for_analysis() -> None:
    assert parse("<answer>M</answer>, <answer>E</answer>").answers == ("M", "E")


class TestThinkOpened:
    """The chat template ended the prompt with <think>."""

    def test_full_form(self) -> None:
        parsed = parse("r</think><answer>M</answer>", think_opened=True)
        assert (parsed.think, parsed.answer, parsed.faults) == ("r", "M", ())

    def test_opened_again_by_the_model(self) -> None:
        parsed = parse("<think>r</think><answer>M</answer>", think_opened=True)
        assert (parsed.answer, parsed.faults) == ("M", ("think_nested",))

    def test_never_closed(self) -> None:
        parsed = parse("r <answer>M</answer>", think_opened=True)
        assert parsed.answer is None
        assert set(parsed.faults) == {"think_unclosed", "answer_in_think", "answer_missing"}

    def test_empty_text(self) -> None:
        assert set(parse("", think_opened=True).faults) == {"think_empty", "think_unclosed", "answer_missing"}


class TestTruncated:
    @pytest.mark.parametrize("text", ["", "<think>r", "<think>r</think>", "<think>r</think><answer>Mar", "no tags"])
    def test_cut_before_the_form_was_complete(self, text: str) -> None:
        assert "truncated" in parse(text, truncated=True).faults
        assert "truncated" not in parse(text).faults

    def test_complete_form_at_the_limit_is_well_formed(self) -> None:
        assert parse(f"{THINK}{ANSWER}", truncated=True).well_formed

    def test_chatter_after_a_complete_form_is_not_a_cut_form(self) -> None:
        assert parse(f"{THINK}{ANSWER} and so", truncated=True).faults == ("text_after",)


def test_a_flood_of_tags_is_not_taken_apart() -> None:
    parsed = parse(THINK + ANSWER * 501)
    assert parsed.answer is None
    assert "tags_flooded" in parsed.faults


PIECES = st.sampled_from(
    [
        "<think>",
        "</think>",
        "<answer>",
        "</answer>",
        "< ANSWER\t>",
        "M",
        " ",
        "<",
        ">",
        "/",
        "\x00",
        "\u202e",
        "\ud800",
    ]
)
CHAOS = st.lists(PIECES | st.text(st.characters(), max_size=5), max_size=30).map("".join)


@settings(deadline=None)
@given(CHAOS, st.booleans(), st.booleans())
def test_any_text_is_parsed_with_known_faults(text: str, opened: bool, truncated: bool) -> None:
    parsed = parse(text, think_opened=opened, truncated=truncated)
    assert set(parsed.faults) <= set(FAULTS)
    assert parsed.well_formed == (not parsed.faults)
    if parsed.answer is not None:
        assert parsed.answers == (parsed.answer,)


@settings(deadline=None)
@given(CHAOS, CHAOS)
def test_an_answer_inside_reasoning_is_never_the_answer(head: str, tail: str) -> None:
    """Whatever stands around: text between a <think> and the next </think> does not become the answer."""
    parsed = parse(f"{head}<think><answer>zzz</answer></think>{tail}")
    assert parsed.answer != "zzz"


@settings(deadline=None)
@given(CHAOS)
def test_one_pair_of_answer_tags_is_needed(text: str) -> None:
    assert parse(text + ANSWER + ANSWER).answer is None


@settings(deadline=None)
@given(st.text(st.characters(blacklist_characters="<>")), st.text(st.characters(blacklist_characters="<>")))
def test_texts_without_tags_survive_the_form(think: str, answer: str) -> None:
    parsed = parse(render(think, answer))
    assert (parsed.think, parsed.answer) == (think.strip(), answer.strip())
    assert set(parsed.faults) <= {"think_empty", "answer_empty"}


def test_random_tag_soup_never_raises() -> None:
    draw = random.Random(0)
    tags = ["<think>", "</think>", "<answer>", "</answer>", "M", "\ufffe"]
    for _ in range(2000):
        parse("".join(draw.choices(tags, k=draw.randint(0, 12))), think_opened=draw.random() < 0.5)
