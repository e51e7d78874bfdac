import sys
from pathlib import Path

import typer
from typer.testing import CliRunner

from diagnosis_zero.cli import report

sys.path.insert(0, str(Path(__file__).parents[1] / "report"))
from run_folder import write_run

app = typer.Typer()
app.callback()(lambda: None)
report.register(app)


def test_report_writes_the_file_and_prints_its_bare_path(tmp_path: Path) -> None:
    runs = [str(write_run(tmp_path / name, cases=5)) for name in ("a", "b")]
    out = tmp_path / "r.html"
    done = CliRunner().invoke(app, ["report", *runs, "--out", str(out)], catch_exceptions=False)
    assert done.exit_code == 0
    assert done.stdout == f"{out}\n"
    assert out.read_text().startswith("<!doctype html>")
