"""What a person sees: plain lines where there is no terminal, a table that is replaced on one."""

from __future__ import annotations

from io import StringIO

import pytest
from rich.console import Console

from diagnosis_zero.train.view import View
from diagnosis_zero.types import Case, Completion, Group, Reward

METRICS = {
    "reward/mean": 0.51234,
    "reward/accuracy": 0.5,
    "format/well_formed": 1.0,
    "length/mean": 33.25,
    "groups/zero_variance": 0.25,
    "policy/loss": 0.1,
}


def view(*, terminal: bool = False, width: int = 120) -> tuple[View, StringIO]:
    out = StringIO()
    return View(Console(file=out, force_terminal=terminal, width=width, highlight=False, soft_wrap=True)), out


def at(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    monkeypatch.setattr("time.monotonic", lambda: seconds)


def test_a_plain_line_every_tenth_step_and_at_the_end() -> None:
    shown, out = view()
    shown.begin(0)
    for step in range(1, 24):
        shown.step(step, 23, METRICS)
    shown.end()
    assert [line.split()[1] for line in out.getvalue().splitlines()] == ["10/23", "20/23", "23/23"]


def test_the_line_says_reward_parts_length_form_and_time_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten steps of 2 s from step 100; ninety are left."""
    shown, out = view()
    at(monkeypatch, 1000.0)
    shown.begin(100)
    at(monkeypatch, 1020.0)
    shown.step(110, 200, METRICS)
    assert out.getvalue() == (
        "step 110/200  reward 0.512  accuracy 0.5  well formed 1  tokens 33.2  silent groups 0.25  3 min 00 s left\n"
    )


def test_less_than_a_minute_is_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    shown, out = view()
    at(monkeypatch, 0.0)
    shown.begin(0)
    at(monkeypatch, 10.0)
    shown.step(10, 20, {})
    assert out.getvalue() == "step 10/20    10 s left\n"


def test_on_a_terminal_a_table_is_replaced_and_taken_away(monkeypatch: pytest.MonkeyPatch) -> None:
    shown, out = view(terminal=True)
    shown.begin(0)
    shown.step(1, 5, METRICS)
    shown.say("a line that stays")
    shown.step(2, 5, METRICS)
    shown.end()
    shown.end()  # twice does no harm: the loop ends it whatever happens
    text = out.getvalue()
    assert "step 2/5" in text
    assert "silent groups" in text
    assert "a line that stays\n" in text
    assert text.endswith("\x1b[2K") or "\x1b[?25h" in text  # the cursor is given back


def test_text_of_the_user_is_no_markup() -> None:
    shown, out = view()
    shown.say("/tmp/[bold]run[/bold]")
    assert out.getvalue() == "/tmp/[bold]run[/bold]\n"


def test_five_lines_of_a_warm_start() -> None:
    shown, out = view()
    show = shown.batches(50)
    for batch in range(1, 51):
        show(batch, 2.0)
    assert out.getvalue().splitlines() == [f"  batch {batch}/50  loss 2.000" for batch in (10, 20, 30, 40, 50)]


def test_a_warm_start_of_less_than_five_batches_shows_each() -> None:
    shown, out = view()
    show = shown.batches(3)
    for batch in (1, 2, 3):
        show(batch, 1.0)
    assert len(out.getvalue().splitlines()) == 3


def test_a_completion_is_shown_as_written_and_cannot_steer_the_terminal() -> None:
    shown, out = view(terminal=True)
    case = Case("case-7", "made", "a", "A boy with a rash.", ("Lupus",))
    text = "<think>\n[bold]rash[/bold] \x1b[2J\x07 症候群</think>"
    completions = (Completion(text, "stop"), Completion("the second", "stop"))
    rewards = (Reward(1.1, {"accuracy": 1.0, "format": 1.0, "hypernym": 0.0}), Reward(0.0, {"accuracy": 0.0}))
    shown.completion(3, Group(case, (1,), completions, rewards))
    told = "step 3, case case-7 (Lupus): score 1.1 (accuracy 1, format 1)"
    assert out.getvalue() == f"{told}\n<think>\n[bold]rash[/bold] \ufffd[2J\ufffd 症候群</think>\n"
