import pytest

from diagnosis_zero.report.tables import (
    Chart,
    Column,
    Estimate,
    Point,
    Series,
    Table,
    write_cell,
    write_number,
)


@pytest.mark.parametrize(
    ("cell", "form", "text"),
    [
        (0.12345, "percent", "12.3 %"),
        (None, "percent", "–"),
        (float("nan"), "number", "–"),
        (0.0004, "p", "< 0.001"),
        (0.0412, "p", "0.041"),
        (0.0834, "points", "+8.3"),
        (1234567.0, "count", "1,234,567"),
        (0.00012345, "number", "0.000123"),
        ("<b>", "text", "<b>"),
        (Estimate(0.5, 0.25, 0.75, 10, 10), "percent", "50.0 % (25.0 to 75.0)"),
    ],
)
def test_how_a_cell_is_written(cell: float | str | None, form: str, text: str) -> None:
    assert write_cell(cell, form) == text  # type: ignore[arg-type]


def test_a_number_is_never_written_as_zero_when_it_is_not() -> None:
    assert write_number(3e-7, "number") == "3e-07"


def test_records_are_the_machine_readable_copy() -> None:
    columns = (Column("run", "Run"), Column("a", "A", "percent"))
    table = Table("t", "T", columns, (("x", Estimate(0.5, 0.2, 0.8, 9, 7)), ("y", None)))
    assert table.records() == [
        {"run": "x", "a": {"value": 0.5, "low": 0.2, "high": 0.8, "n": 9}},
        {"run": "y", "a": None},
    ]


def test_the_table_of_a_chart_is_thinned_evenly_and_keeps_both_ends() -> None:
    points = tuple(Point(float(x), x / 100) for x in range(101))
    chart = Chart("c", "C", "u", "number", (Series("r", "s", points),))
    table = chart.table(max_rows=11)
    assert [row[0] for row in table.rows] == list(range(0, 101, 10))
    assert table.rows[3][1] == 0.3
