from __future__ import annotations

import csv
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest
from run_folder import write_run

from diagnosis_zero.errors import InputError
from diagnosis_zero.report import figures
from diagnosis_zero.report.tables import Chart, Event, Point, Series

SVG = "{http://www.w3.org/2000/svg}"


def words(path: Path) -> str:
    """All text of an SVG file, which must parse as one."""
    root = ElementTree.parse(path).getroot()
    assert root.tag == f"{SVG}svg"
    return "\n".join(element.text or "" for element in root.iter(f"{SVG}text"))


def chart(*runs: str, count: int = 5, stacked: bool = False, dots: bool = False) -> Chart:
    points = tuple(Point(float(step), step / count, 0.0, 1.0) for step in range(count))
    series = tuple(Series(run, "y", points, dots) for run in runs)
    return Chart("c", "Title", "share", "percent", series, stacked=stacked)


def test_every_chart_and_table_of_the_report_is_written(tmp_path: Path) -> None:
    runs = [write_run(tmp_path / name, cases=12) for name in ("aspirin", "placebo")]
    files = figures.write(runs, tmp_path / "out")
    assert sorted(files) == sorted((tmp_path / "out").iterdir())
    names = {file.name for file in files}
    for id_ in ("score", "length", "reward", "policy-kl"):
        assert {f"{id_}.svg", f"{id_}.png", f"{id_}.csv"} <= names
    assert {"by-step.md", "by-step.csv", "before-after-aspirin.md"} <= names
    assert {"aspirin", "placebo"} <= {line.split(" ")[0] for line in words(tmp_path / "out" / "length.svg").split("\n")}
    for file in files:
        if file.suffix == ".png":
            assert file.read_bytes().startswith(b"\x89PNG\r\n")


def test_the_points_beside_the_figure_are_those_of_the_run(tmp_path: Path) -> None:
    run = write_run(tmp_path / "demo", cases=12)
    figures.write([run], tmp_path / "out")
    with (tmp_path / "out" / "score.csv").open() as handle:
        rows = [row for row in csv.DictReader(handle) if row["series"] == "validation"]
    assert [(float(row["step"]), float(row["value"])) for row in rows[:2]] == [(20.0, 0.23), (40.0, 0.26)]


def test_the_same_chart_gives_the_same_file(tmp_path: Path) -> None:
    for suffix in ("svg", "png"):
        one, two = (figures.save(chart("a"), tmp_path / f"{n}.{suffix}").read_bytes() for n in "12")
        assert one == two


@pytest.mark.parametrize("stacked", [True, False])
def test_hostile_names_are_drawn_as_they_stand(tmp_path: Path, stacked: bool) -> None:
    names = ("_hidden", "$\\frac{x$", "</text><script>alert(1)</script>", "a\x00b\u202ec", "n" * 200)
    text = words(figures.save(chart(*names, stacked=stacked), tmp_path / "c.svg"))
    for shown in ("_hidden", "$\\frac{x$", "</text><script>alert(1)</script>", "a␀b⟨U+202E⟩c", "n" * 30):
        assert shown in text


def test_dots_bars_and_events_are_named(tmp_path: Path) -> None:
    marked = Chart("c", "T", "u", "number", chart("a", dots=True).series, (Event("a", 2.0, "rewind", "why"),))
    text = words(figures.save(marked, tmp_path / "c.svg"))
    assert "95 % interval" in text
    assert "rewind" in text
    assert "why" not in text


def test_a_line_of_many_points_says_how_it_was_smoothed(tmp_path: Path) -> None:
    assert "mean of" not in words(figures.save(chart("a", count=figures.SMOOTHED_FROM - 1), tmp_path / "a.svg"))
    assert "(mean of 11 points)" in words(figures.save(chart("a", count=120), tmp_path / "b.svg"))


def test_the_running_mean_is_as_by_hand() -> None:
    assert figures.running_mean([1.0, 2.0, 6.0, 4.0, 0.0], 3) == [1.0, 3.0, 4.0, pytest.approx(10 / 3), 0.0]
    assert figures.running_mean([5.0], 9) == [5.0]


def test_names_of_runs_make_no_path(tmp_path: Path) -> None:
    assert figures.file_name("before-after-../../x y") == "before-after--x-y"


def test_without_matplotlib_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(InputError, match=r"diagnosis-zero\[figures\]"):
        figures.write([write_run(tmp_path / "demo", cases=2)], tmp_path / "out")
