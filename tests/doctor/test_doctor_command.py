"""``dz doctor`` as a person calls it, and the page that says what it catches."""

from __future__ import annotations

import json
import re
from pathlib import Path

import typer
from typer.testing import CliRunner, Result
from ward import Ward

from diagnosis_zero.cli import doctor as command

app = typer.Typer()
app.callback()(lambda: None)
command.register(app)

PAGE = Path(__file__).parents[2] / "docs" / "doctor.md"


def dz(*words: object) -> Result:
    return CliRunner().invoke(app, ["doctor", *map(str, words)], catch_exceptions=False)


def test_findings_one_a_line_then_the_count_and_exit_status_0(ward: Ward, tmp_path: Path) -> None:
    out = tmp_path / "doctor.json"
    done = dz(ward.path, "--set", "rollout.group=2", "--set", "rollout.max_tokens=450", "--json", out)
    assert done.exit_code == 0
    lines = done.stdout.splitlines()
    found = next(i for i, line in enumerate(lines) if line.startswith("warning  batch.group: groups of 2"))
    assert lines[found + 1].strip() == "-> Set rollout.group to 8 or 16."
    assert re.fullmatch(r"0 errors, 1 warnings, \d+ ok; \d+ s", lines[-2])
    assert lines[-1] == str(out)
    written = json.loads(out.read_text(encoding="utf-8"))
    assert written["counts"]["warning"] == 1
    assert [note["check"] for note in written["notes"] if note["level"] == "warning"] == ["batch.group"]


def test_an_error_gives_exit_status_1(ward: Ward) -> None:
    done = dz(ward.path, "--set", "train.minibatches=3")
    assert done.exit_code == 1
    assert done.stdout.splitlines()[-1].startswith("1 errors, 0 warnings, 0 ok")


def test_every_trouble_that_the_page_claims_has_its_test() -> None:
    """A row says "caught" only where a test of that name provokes the trouble; there are 25 rows."""
    tests = (Path(__file__).parent / "test_troubles.py").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (\d+) \| [^|]+ \| ([^|]+) \| ([^|]+) \|$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert [int(number) for number, _, _ in rows] == list(range(1, 26))
    caught = [(int(number), names) for number, _, names in rows if names.strip() != "none"]
    assert len(caught) >= 15
    for number, names in caught:
        for name in re.findall(r"`(\w+)`", names):
            assert f"def {name}(" in tests, name
            assert f"{number:02d}" in name


def test_every_check_of_the_code_stands_on_the_page() -> None:
    source = Path(command.__file__).parents[1] / "doctor"
    checks = {
        check
        for path in source.glob("*.py")
        for check in re.findall(r'\b(?:ok|warning|error)\(\s*"([a-z_.]+)"', path.read_text(encoding="utf-8"))
    }
    assert len(checks) > 30
    page = PAGE.read_text(encoding="utf-8")
    assert [check for check in sorted(checks) if f"`{check}`" not in page] == []
