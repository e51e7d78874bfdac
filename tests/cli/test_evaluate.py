"""``dz evaluate`` and ``dz compare`` as a person calls them, against real servers on loopback."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from diagnosis_zero import config
from diagnosis_zero.cases.export import write_cases
from diagnosis_zero.cli import evaluate as commands
from diagnosis_zero.errors import InputError
from diagnosis_zero.experiment import EVALUATION_SEED
from diagnosis_zero.prompts import load_template
from diagnosis_zero.records import read_json, write_jsonl

sys.path.insert(0, str(Path(__file__).parents[1] / "evaluate"))
from benchmarks.gullible import gullible
from benchmarks.judge_server import Double, serving
from doubles import full_form, knows, make_cases


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


def test_published_ranks_stand_beside_ours_on_the_same_patients(dz, cases, tmp_path):
    table = tmp_path / "gpt.tsv"
    table.write_text("packet_id\trank_of_correct\n" + "".join(f"case-{i}\t{3 * (i % 2)}\n" for i in range(10)))
    double = Double(lambda request: full_form("1. Common cold\n2. Marfan syndrome"))
    with serving(double) as url:
        result = dz(
            "evaluate", "m", "--cases", cases, "--endpoint", url, "--out", tmp_path / "a", "--top", 5,
            "--catalogue", "none", "--ranks", table, "--json", tmp_path / "a.json",
        )  # fmt: skip
    first, best = read_json(tmp_path / "a.json")["beside"]
    assert (first["top"], first["n"], first["before"], first["after"]) == (1, 10, 0.0, 0.0)
    assert (best["top"], best["n"], best["before"], best["after"]) == (5, 10, 0.5, 0.2)
    row = next(line for line in result.stdout.splitlines() if "best of 5" in line)
    assert row.split()[:2] == ["m.top5", "gpt"]
    assert "50.0" in row
    assert "-30.0" in row


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
    assert "The ontology judge has no catalogue" in result.stdout
    by_default = dz("judge-audit", path).stdout
    assert "looks names up in default" in by_default
    assert "--catalogue FILE" in by_default
    with pytest.raises(InputError, match="no judge named 'gpd'"):
        dz("judge-audit", path, "--dear", "gpd")


def test_no_cases_given(dz, tmp_path):
    with pytest.raises(InputError, match="which cases"):
        dz("evaluate", tmp_path)


@pytest.fixture
def data_folder(tmp_path):
    folder = tmp_path / "rdc"
    split = ["train"] * 20 + ["test"] * 10
    write_cases(folder, [replace(case, split=of) for case, of in zip(make_cases(30), split, strict=True)], "{case}")
    return folder


def test_a_baseline_on_the_same_cases_with_subgroups(dz, data_folder, tmp_path):
    words = ("--cases", data_folder, "--out", tmp_path / "e", "--catalogue", "none", "--subgroups")
    result = dz("evaluate", "baseline:frequent", *words)
    assert "20.0" in result.stdout
    assert "seen in training" in result.stdout
    folder = tmp_path / "e" / "baseline-frequent"
    assert sum(one["accuracy"]["n"] for one in read_json(folder / "subgroups.json") if one["kind"] == "age") == 10
    with pytest.raises(InputError, match="needs training cases"):
        dz("evaluate", "baseline:nearest", "--cases", data_folder / "cases.jsonl", "--out", tmp_path / "f")


@pytest.fixture
def run_folder(tmp_path):
    """A run with two checkpoints of tiny, untrained models."""
    from diagnosis_zero.engine import tiny

    texts = [case.text for case in make_cases(10)]
    for step in (10, 20):
        built = tiny.build(texts, seed=step, vocabulary=300, hidden=32, layers=2, heads=2)
        folder = tmp_path / "run" / "checkpoints" / f"step-{step:06d}"
        built.model.save_pretrained(folder)
        built.tokenizer.save_pretrained(folder)
    return tmp_path / "run"


def test_every_checkpoint_of_a_run_with_local_weights(dz, run_folder, data_folder, tmp_path):
    words = ("--cases", data_folder, "--steps", "all", "--max-tokens", 8, "--template", "short", "--catalogue", "none")
    result = dz("evaluate", run_folder, *words, "--json", tmp_path / "e.json")
    assert result.exit_code == 0
    found = read_json(tmp_path / "e.json")
    assert [one["step"] for one in found["evaluations"]] == [10, 20]
    assert found["against_first"][0]["p_holm"] == 1.0
    assert (run_folder / "evaluations" / "step-000020" / "answers.jsonl").is_file()
    assert len(read_json(tmp_path / "e.json")["evaluations"][0]["faults"]) > 0
    again = dz("evaluate", run_folder, *words)
    assert again.stdout.splitlines()[:4] == result.stdout.splitlines()[:4]


def test_one_case_from_a_file_and_from_standard_input(dz, run_folder, tmp_path):
    path = tmp_path / "case.txt"
    path.write_text("A tall girl with a dislocated lens.")
    words = ("--samples", 2, "--max-tokens", 8, "--catalogue", "none", "--template", "short")
    result = dz("diagnose", run_folder, path, *words)
    assert "The model gave no diagnosis." in result.stdout
    assert "For research only" in result.stdout
    with pytest.raises(InputError, match="no such file"):
        dz("diagnose", run_folder, tmp_path / "none.txt", *words)
    with pytest.raises(InputError, match="the case is empty"):
        dz("diagnose", run_folder, "-", *words)


def test_a_benchmark_before_and_after(dz, run_folder, tmp_path):
    data = tmp_path / "mcq"
    data.mkdir()
    row = {"question": "Which?", "options": {"A": "x", "B": "y", "C": "z", "D": "w"}, "answer_idx": "A"}
    (data / "medmcqa.jsonl").write_text("".join(json.dumps(row | {"id": f"q{i}"}) + "\n" for i in range(4)))
    words = ("--tasks", "medmcqa", "--style", "generative", "--data-dir", data, "--max-tokens", 8)
    result = dz("benchmark", run_folder, *words, "--json", tmp_path / "b.json")
    assert "step 10" in result.stdout
    assert "p (Holm)" in result.stdout
    assert read_json(tmp_path / "b.json")[0]["first_to_last"]["n"] == 4
    with pytest.raises(InputError, match=r"unknown task 'medqua'.*'medqa'"):
        dz("benchmark", run_folder, "--tasks", "medqua", "--data-dir", data)
    with pytest.raises(InputError, match="reads local files"):
        dz("benchmark", run_folder, "--style", "generative")


def test_a_review_goes_out_and_comes_back(dz, cases, tmp_path):
    evaluated(dz, cases, tmp_path / "a", 0)
    evaluated(dz, cases, tmp_path / "b", 1)
    (tmp_path / "a" / "m").rename(tmp_path / "a" / "ours")
    (tmp_path / "b" / "m").rename(tmp_path / "b" / "theirs")
    table = tmp_path / "review.csv"
    dz("review", "out", tmp_path / "a/ours", tmp_path / "b/theirs", "--out", table, "--limit", 5)
    table.write_text(table.read_text().replace(",,,\n", ",2,0,\n"))
    words = ("--table", table, "--key", tmp_path / "review.key.json", "--out", tmp_path / "pairs.jsonl")
    result = dz("review", "in", tmp_path / "a/ours", tmp_path / "b/theirs", *words)
    assert "10 answers" in result.stdout
    assert "clinician" in dz("judge-audit", tmp_path / "pairs.jsonl", "--catalogue", "none").stdout


def test_a_run_is_evaluated_as_it_evaluates_itself(dz, run_folder, data_folder):
    """The prompt, limit, seed, judge and names of its recipe: what training has evaluated is not asked again."""
    recipe = Path(__file__).parents[2] / "recipes" / "demo.toml"
    (run_folder / "config.toml").write_text(recipe.read_text())
    dz("evaluate", run_folder, "--cases", data_folder)
    settings = read_json(run_folder / "evaluations" / "step-000020" / "evaluation.json")
    asked = config.load(recipe)
    assert settings["params"]["max_tokens"] == asked.rollout.max_tokens
    assert settings["params"]["seed"] == EVALUATION_SEED
    assert settings["model"] == "tiny"
    assert settings["template"] == load_template(asked.prompt.template)
    assert read_json(run_folder / "evaluations" / "step-000020" / "summary.json")["judge"] == asked.reward.method
