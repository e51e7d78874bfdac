"""Templates and the one-pass substitution."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from diagnosis_zero import parsing
from diagnosis_zero.errors import InputError
from diagnosis_zero.prompts import DIAGNOSIS, TEMPLATES, build_chat, load_template
from diagnosis_zero.types import Case


def case(text: str) -> Case:
    return Case(id="1", source="test", source_id="1", text=text, names=("Marfan syndrome",))


@pytest.mark.parametrize("name", sorted(TEMPLATES))
def test_named_templates_ask_for_the_form_and_hold_the_case(name: str) -> None:
    (message,) = build_chat(case("A tall boy."), load_template(name))
    assert message["role"] == "user"
    assert "A tall boy." in message["content"]
    for tag in ("<think>", "</think>", "<answer>", "</answer>"):
        assert tag in message["content"]


@pytest.mark.parametrize("name", ["diagnosis", "top5"])
def test_the_example_shown_is_in_full_form(name: str) -> None:
    example = TEMPLATES[name].split("runny nose:\n")[1].split("\n\n")[0]
    assert parsing.parse(example).well_formed


def test_short_template_is_a_dozen_words() -> None:
    assert len(TEMPLATES["short"].replace("{case}", "").split()) <= 14


@pytest.mark.parametrize("text", ["{case}", "{}", "{0}", "{case.id}", "{{case}}", r"\1", "%s", "$case", "{"])
def test_case_text_is_never_expanded(text: str) -> None:
    (message,) = build_chat(case(text), "before {case} after")
    assert message["content"] == f"before {text} after"


@settings(deadline=None)
@given(st.text())
def test_case_text_stands_verbatim(text: str) -> None:
    (message,) = build_chat(case(text))
    head, tail = DIAGNOSIS.split("{case}")
    assert message["content"] == head + text + tail


def test_users_file(tmp_path: Path) -> None:
    path = tmp_path / "mine.txt"
    path.write_text('\ufeffAnswer as {"diagnosis": "..."}: {case}', encoding="utf-8")
    assert load_template(str(path)) == 'Answer as {"diagnosis": "..."}: {case}'


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"no place for it", "holds {case} 0 times"),
        (b"", "holds {case} 0 times"),
        (b"{case} and {case}", "holds {case} 2 times"),
        (b"{case} {age}", "unknown placeholder {age}"),
        (b"{ case }", "unknown placeholder { case }"),
        (b"{Case}", "unknown placeholder {Case}"),
        (b"\xff{case}", "not UTF-8"),
    ],
)
def test_faults_of_a_users_file_name_it(tmp_path: Path, body: bytes, message: str) -> None:
    path = tmp_path / "mine.txt"
    path.write_bytes(body)
    with pytest.raises(InputError) as caught:
        load_template(str(path))
    assert message in str(caught.value)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("name", ["diagnosys", "no/such/file.txt", "x" * 5000, "a\x00b"])
def test_unknown_name(name: str) -> None:
    with pytest.raises(InputError, match="no template of this name"):
        load_template(name)


def test_a_template_given_as_text_is_checked_too() -> None:
    with pytest.raises(InputError, match="0 times"):
        build_chat(case("x"), "no placeholder")
