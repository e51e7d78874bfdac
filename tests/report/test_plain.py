"""Names from anywhere stay text in Markdown and never become a formula in a spreadsheet."""

from __future__ import annotations

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from diagnosis_zero.evaluate.stats import Estimate
from diagnosis_zero.report.plain import csv_of, csv_of_points, escape, fenced, markdown
from diagnosis_zero.report.tables import Chart, Column, Point, Series, Table

HOSTILE = (
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "[click](javascript:alert(1))",
    "![pixel](https://tracker.example/x.png)",
    "https://tracker.example/?case=1 and www.tracker.example",
    "<https://tracker.example>",
    "**bold** _thin_ `code` ~~struck~~ $x^2$",
    "a | b \\| c",
    "# heading",
    "1. list",
    "two\nlines\r\n\n# and a heading",
    "&lt;b&gt; &amp; &#60;",
    "[ref]: https://tracker.example",
    "ends in a backslash \\",
    "---",
    "Charcot–Marie–Tooth disease (type 1A); 'CMT1A'",
)


def parser() -> MarkdownIt:
    return MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])


def said(text: str) -> str:
    return " ".join(text.split())


def cells(source: str) -> list[list[str]]:
    """What a reader of the rendered table sees; anything but text in a cell fails."""
    rows: list[list[str]] = []
    for token in parser().parse(source):
        if token.type == "tr_open":
            rows.append([])
        if token.type == "inline" and token.level == 4:
            kinds = {child.type for child in token.children or ()}
            assert kinds <= {"text", "text_special"}, (kinds, token.content)
            rows[-1].append("".join(child.content for child in token.children or ()))
    return rows


def table(*names: str) -> Table:
    columns = (Column("name", "Name | x"), Column("right", "Right", "percent"), Column("n", "Cases", "count"))
    rows = tuple((name, Estimate(0.5, 0.25, 0.75, 8, 8), 8) for name in names)
    return Table("t", "Title", columns, rows, "A note, <b>plain</b>.")


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_name_reads_as_it_stands(name: str) -> None:
    assert cells(markdown(table(name))) == [
        ["Name | x", "Right", "Cases"],
        [said(name), "50.0 % (25.0 to 75.0)", "8"],
    ]


def test_without_the_escape_the_same_names_are_markup() -> None:
    """Negative control: the reader above sees links, pictures and HTML where there are some."""
    for name in (HOSTILE[0], HOSTILE[1], HOSTILE[3], HOSTILE[5], HOSTILE[6]):
        with pytest.raises(AssertionError):
            cells(f"| Name |\n|---|\n| {name} |\n")


@given(st.text(st.characters(codec="utf-8", categories=["L", "N", "P", "S", "Z"]), max_size=60))
def test_any_text_comes_back_from_the_rendered_line(text: str) -> None:
    found = cells(f"| x |\n|---|\n| a{escape(text)}z |\n")
    assert found[1] == [f"a{said(text)}z"] or said(f"a{text}z") != f"a{said(text)}z"


def test_characters_that_turn_text_around_are_shown() -> None:
    assert escape("abc\u202edcba\x00") == "abc⟨U+202E⟩dcba␀"


def test_the_note_stands_below_the_table_as_text() -> None:
    assert "A note, &lt;b&gt;plain&lt;/b&gt;." in markdown(table("x"))


def test_csv_keeps_full_numbers_and_the_interval() -> None:
    rows = list(csv.DictReader(io.StringIO(csv_of(table("x")))))
    assert rows == [{"name": "x", "right": "0.5", "right_low": "0.25", "right_high": "0.75", "right_n": "8", "n": "8"}]


@pytest.mark.parametrize("name", ["=1+1", "+1", "-1", "@SUM(A1)", '=HYPERLINK("https://tracker.example")'])
def test_no_spreadsheet_runs_a_cell(name: str) -> None:
    assert next(csv.DictReader(io.StringIO(csv_of(table(name)))))["name"] == f"'{name}"
    chart = Chart("c", "C", "", "number", (Series(name, "y", (Point(1, 2.5),)),))
    assert next(csv.DictReader(io.StringIO(csv_of_points(chart))))["run"] == f"'{name}"


def test_numbers_below_zero_are_no_formulas() -> None:
    assert "-0.5" in csv_of(Table("t", "T", (Column("d", "D", "points"),), ((-0.5,),))).splitlines()


def test_code_cannot_leave_its_block() -> None:
    blocks = [token for token in parser().parse(fenced("a\n```\n# b\n````\n", "toml")) if token.level == 0]
    assert [(block.type, block.content) for block in blocks] == [("fence", "a\n```\n# b\n````\n")]
