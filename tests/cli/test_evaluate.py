"""``dz evaluate`` and ``dz compare`` as a person calls them, against real servers on loopback."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from diagnosis_zero.cli import evaluate as commands
from diagnosis_zero.errors import InputError
from diagnosis_zero.records import read_json, write_jsonl

sys.path.insert(0, str(Path(__file__).parents[1] / "evaluate"))
from doubles import full_form, knows, make_cases
from gullible import gullible
from judge_server import Double, serving


@pytest.fixture
def dz():
    app = typer.Typer()
    commands.register(app)

    def run(*words):
        result = CliRunner().invoke(app, [str(word) for word in words])
        if result.exception and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    return run


@pytest.fixture
def cases(tmp_path):
    path = tmp_path / "data" / "cases.jsonl"
    write_jsonl(path, make_cases(20))
    return path


def model(*signs):
    return Double(lambda request: knows(*signs)(request["messages"][-1]["content"], 0))


def evaluated(dz, cases, out, *signs, **options):
    extra = [word for name, value in options.items() for word in (f"--{name.replace('_', '-')}", value)]
    with serving(model(*signs)) as url:
        return dz(
            "evaluate", "m", "--cases", cases, "--endpoint", url, "--out", out, "--catalogue", "none",
            "--template", "short", *extra,
        )  # fmt: skip


def test_one_evaluation_prints_its_table_and_its_folder(dz, cases, tmp_path):
    result = evaluated(dz, cases, tmp_path / "a", 0, 1, json=tmp_path / "a.json")
    assert result.exit_code == 0
    assert "40.0 (21.9-61.3)" in result.stdout
    assert result.stdout.rstrip().splitlines()[-1] == str(tmp_path / "a" / "m")
    assert read_json(tmp_path / "a.json")["evaluations"][0]["accuracy"]["value"] == 0.4


def test_comparing_two_evaluations(dz, cases, tmp_path):
    evaluated(dz, cases, tmp_path / "a", 0)
    evaluated(dz, cases, tmp_path / "b", 0, 1, 2, 3)
    result = dz("compare", tmp_path / "a/m", tmp_path / "b/m", "--json", tmp_path / "c.json")
    assert "the difference is real" in result.stdout
    assert json.loads((tmp_path / "c.json").read_text())["p"] == pytest.approx(2 / 2**12)
    with pytest.raises(InputError, match="--cluster is 'family'"):
        dz("compare", tmp_path / "a/m", tmp_path / "b/m", "--cluster", "family")


def test_a_case_text_does_not_leave_unasked(dz, cases, tmp_path):
    with pytest.raises(InputError, match=r"20 case texts will be sent to example\.org"):
        dz("evaluate", "m", "--cases", cases, "--endpoint", "http://example.org/v1", "--out", tmp_path)


def test_an_llm_judge_with_its_cost(dz, cases, tmp_path):
    with serving(Double(gullible)) as judge:
        options = {
            "judge": "llm", "judge_endpoint": judge, "judge_model": "j", "judge_cache": tmp_path / "c.sqlite",
            "price_in": 10, "price_out": 10,
        }  # fmt: skip
        first = evaluated(dz, cases, tmp_path / "a", 0, 1, **options)
        again = evaluated(dz, cases, tmp_path / "a", 0, 1, **options)
    assert "judging: 5 calls, 0 from the cache, 525 tokens, 0.01 in money" in first.stdout
    assert "judging: 0 calls, 5 from the cache" in again.stdout
    assert "40.0" in first.stdout


def test_a_majority_of_three_models(dz, cases, tmp_path):
    with serving(Double(gullible)) as url, serving(model(0)) as answers:
        result = dz(
            "evaluate", "m", "--cases", cases, "--endpoint", answers, "--out", tmp_path / "a", "--template", "short",
            "--judge", "llm", "--judge-endpoint", url, "--judge-cache", tmp_path / "c.sqlite",
            "--judge-model", "x", "--judge-model", "y", "--judge-model", "z", "--json", tmp_path / "a.json",
        )  # fmt: skip
    assert result.exit_code == 0
    assert read_json(tmp_path / "a.json")["evaluations"][0]["judge"] == "majority(x,y,z)"


def test_a_ranked_list(dz, cases, tmp_path):
    double = Double(lambda request: full_form("1. Common cold\n2. Marfan syndrome"))
    with serving(double) as url:
        result = dz(
            "evaluate", "m", "--cases", cases, "--endpoint", url, "--out", tmp_path / "a", "--top", 5,
            "--catalogue", "none", "--limit", 10,
        )  # fmt: skip
    assert "top 5" in result.stdout
    assert "| m step 0 | 100.00 | 0.00 | 0.00 | 0.00 | 80.00 | 0.00 | 20.00 | 20.00 |" in result.stdout
    assert "five diagnoses" in double.requests[0]["messages"][0]["content"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--top", 3), "--top is 3"),
        (("--judge", "lmm"), "unknown judge 'lmm'.*'llm'"),
        (("--judge", "llm"), "needs a server"),
        (
            ("--judge", "llm", "--judge-endpoint", "http://[::1]:9/v1", "--judge-model", "j", "--protocol", "2026"),
            "score sets",
        ),
        (("--template", "long"), "no template"),
    ],
)
def test_what_cannot_go_together_is_said(dz, cases, tmp_path, words, said):
    with pytest.raises(InputError, match=said):
        dz("evaluate", "m", "--cases", cases, "--endpoint", "http://127.0.0.1:9/v1", "--out", tmp_path, *words)


def test_judges_against_each_other(dz, tmp_path):
    path = tmp_path / "pairs.jsonl"
    rows = [
        {"prediction": "Marfan syndrome", "reference": "Marfan syndrome", "judges": {"gpt": True}},
        {"prediction": "Fabry disease", "reference": "Marfan syndrome", "judges": {"gpt": False}},
        {"prediction": "Marfan's syndrome", "reference": "Marfan syndrome", "judges": {"gpt": None}},
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    result = dz("judge-audit", path, "--catalogue", "none", "--json", tmp_path / "a.json")
    assert result.exit_code == 0
    figures = read_json(tmp_path / "a.json")
    assert figures["pairs"] == 3
    against_gpt = {one["first"]: one["n"] for one in figures["agreements"] if one["second"] == "gpt"}
    assert against_gpt == {"ontology": 2, "sequence": 2}
    with pytest.raises(InputError, match="no judge named 'gpd'"):
        dz("judge-audit", path, "--dear", "gpd")


def test_no_cases_given(dz, tmp_path):
    with pytest.raises(InputError, match="which cases"):
        dz("evaluate", tmp_path)
