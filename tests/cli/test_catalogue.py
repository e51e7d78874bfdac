from __future__ import annotations

import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from diagnosis_zero.cli import catalogue as command
from diagnosis_zero.errors import InputError

OBO = """format-version: 1.2

[Term]
id: ORPHA:1
name: Vasconi syndrome type 1
synonym: "Brannik disease" EXACT []

[Term]
id: ORPHA:2
name: Vasconi syndrome type 2
"""
HYPERNYMS = [
    {
        "Orphanetid": str(n),
        "name": f"Vasconi syndrome type {n}",
        "parents": [{"parent": "Vasconi syndrome", "parent_disease_count": 2}],
    }
    for n in (1, 2)
]


def run(*arguments: str | Path, code: int = 0) -> str:
    app = typer.Typer(pretty_exceptions_enable=False)
    command.register(app)
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if isinstance(result.exception, InputError):
        raise result.exception
    assert result.exit_code == code, result.output
    return result.output


@pytest.fixture
def index(tmp_path: Path) -> Path:
    (tmp_path / "a.obo").write_text(OBO)
    (tmp_path / "h.json").write_text(json.dumps(HYPERNYMS))
    out = tmp_path / "catalogue.sqlite"
    shown = run(
        "catalogue", "build", "--obo", tmp_path / "a.obo", "--orphanet-hypernyms", tmp_path / "h.json", "--out", out,
        "--json", tmp_path / "built.json",
    )  # fmt: skip
    assert shown.splitlines() == ["3 diseases, 4 names, 2 parents, 0 conflicts", str(out)]
    return out


def test_build_says_what_it_read(index: Path) -> None:
    built = json.loads((index.parent / "built.json").read_text())
    assert [source["file"] for source in built["sources"]] == ["h.json", "a.obo"]
    assert built["diseases"] == 3


def test_find(index: Path) -> None:
    assert run("catalogue", "find", "brannik's disease", "--catalogue", index).splitlines() == [
        "ORPHA:1 Vasconi syndrome type 1",
        "  identifiers: ORPHA:1",
        "  preferred: Vasconi syndrome type 1",
        "  exact: Brannik disease",
        "  hypernyms, accepted: Vasconi syndrome",
    ]
    assert run("catalogue", "find", "ORPHA:2", "--catalogue", index).startswith("ORPHA:2 Vasconi syndrome type 2")
    assert "not in this catalogue" in run("catalogue", "find", "Gout", "--catalogue", index, code=1)


def test_score_keeps_every_key_and_adds_four(index: Path, tmp_path: Path) -> None:
    rows = [
        {"id": 7, "prediction": "Brannik disease", "references": ["Vasconi syndrome type 1"], "label": 0},
        {"id": 8, "prediction": "Vasconi syndrome", "references": ["Vasconi syndrome type 1"]},
        {"id": 9, "prediction": "Vasconi syndrome type 2", "references": ["Vasconi syndrome type 1"]},
    ]
    pairs, out = tmp_path / "pairs.jsonl", tmp_path / "out.jsonl"
    pairs.write_text("\n".join(map(json.dumps, rows)) + "\n\n")
    shown = run("score", pairs, "--out", out, "--catalogue", index)
    assert shown.splitlines() == ["3 rows: label 2 1, label 1 1, label 0 1", str(out)]
    scored = [json.loads(line) for line in out.read_text().splitlines()]
    assert [(row["id"], row["label"], row["matched_id"]) for row in scored] == [
        (7, 2, "ORPHA:1"),
        (8, 1, "PARENT:Vasconi syndrome"),
        (9, 0, "ORPHA:2"),
    ]
    assert all(set(row) == {"id", "prediction", "references", "label", "score", "rule", "matched_id"} for row in scored)
    run("score", pairs, "--out", out, "--method", "sequence")
    assert [json.loads(line)["label"] for line in out.read_text().splitlines()] == [0, 0, 2]
    run("score", pairs, "--out", out, "--catalogue", "none", "--limit", "2")
    assert [json.loads(line)["label"] for line in out.read_text().splitlines()] == [0, 0]


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ('{"references": ["a"]}', "'prediction'"),
        ('{"prediction": "a", "references": []}', "'references'"),
        ('{"prediction": "a", "references": [1]}', "'references'"),
        ('{"prediction": "a"', "not JSON"),
    ],
)
def test_a_bad_row_is_told_and_nothing_is_written(tmp_path: Path, line: str, says: str) -> None:
    pairs, out = tmp_path / "pairs.jsonl", tmp_path / "out.jsonl"
    pairs.write_text('{"prediction": "a", "references": ["a"]}\n' + line + "\n")
    with pytest.raises(InputError) as caught:
        run("score", pairs, "--out", out, "--catalogue", "none")
    assert says in str(caught.value)
    assert f"{pairs}:2" in str(caught.value)
    assert not out.exists()


def test_bad_rows_are_skipped_counted_and_kept_aside_where_asked(tmp_path: Path) -> None:
    pairs, out = tmp_path / "pairs.jsonl", tmp_path / "out.jsonl"
    good, bad = '{"prediction": "a", "references": ["a"]}', ['{"references": ["a"]}', '{"prediction": "a"']
    pairs.write_text("\n".join([good, bad[0], good, bad[1], good]) + "\n")
    words = ("score", pairs, "--out", out, "--catalogue", "none", "--skip-bad", "--json", tmp_path / "figures.json")
    shown = run(*words).splitlines()
    aside = tmp_path / "out.rejected.jsonl"
    assert shown[0].startswith("3 rows: label 2 3")
    assert shown[-2:] == ["2 bad rows left out", str(aside)]
    assert len(out.read_text().splitlines()) == 3
    kept = [json.loads(line) for line in aside.read_text().splitlines()]
    assert [(row["line"], row["raw"]) for row in kept] == [(2, bad[0]), (4, bad[1])]
    assert "'prediction'" in kept[0]["message"]
    assert json.loads((tmp_path / "figures.json").read_text())["rejected"] == 2


def test_a_file_of_bad_rows_alone_is_an_error_and_leaves_nothing(tmp_path: Path) -> None:
    pairs, out = tmp_path / "pairs.jsonl", tmp_path / "out.jsonl"
    pairs.write_text("{}\n[]\n")
    with pytest.raises(InputError, match="all 2 are bad"):
        run("score", pairs, "--out", out, "--catalogue", "none", "--skip-bad")
    assert list(tmp_path.iterdir()) == [pairs]


def test_audit(index: Path, tmp_path: Path) -> None:
    shown = run("catalogue", "audit", "--catalogue", index, "--json", tmp_path / "audit.json")
    assert shown.splitlines()[0].split() == ["method", "diseases", "another", "accepted", "synonyms", "accepted"]
    figures = json.loads((tmp_path / "audit.json").read_text())["methods"]
    assert figures["sequence"]["wrong_disease_acceptance"] == 1.0
    assert figures["ontology"]["wrong_disease_acceptance"] == 0.0
    assert figures["ontology"]["synonyms_accepted"] == 1.0
    assert figures["sequence"]["synonyms_accepted"] == 0.0


def test_usage_errors_say_how_to_mend(tmp_path: Path, index: Path) -> None:
    for arguments, says in (
        (("catalogue", "build", "--out", tmp_path / "x"), "--hpo"),
        (("catalogue", "build", "--obo", tmp_path / "none.obo", "--out", tmp_path / "x"), "no such file"),
        (("catalogue", "find", "Gout", "--catalogue", tmp_path / "none"), "dz catalogue build"),
        (("catalogue", "audit", "--catalogue", "none"), "--catalogue none"),
        (("score", index, "--out", tmp_path / "x", "--method", "onthology"), "'ontology'"),
    ):
        with pytest.raises(InputError) as caught:
            run(*arguments)
        assert says in str(caught.value)
