"""One evaluation from cases to figures, with a scripted model: numbers, files, resuming."""

from __future__ import annotations

import json

import pytest
from doubles import DISEASES, Scripted, full_form, knows, make_cases

from diagnosis_zero.errors import InputError
from diagnosis_zero.evaluate import answers as answers_module
from diagnosis_zero.evaluate.run import Ranked, evaluate
from diagnosis_zero.records import read_json, read_jsonl
from diagnosis_zero.types import Answer, Case, SamplingParams, Verdict

GREEDY = SamplingParams(max_tokens=64, temperature=0)
SAMPLED = SamplingParams(max_tokens=64)
TEMPLATE = "{case}"


def run(generator, cases, out, **changes):
    settings = {
        "model": "double",
        "step": 0,
        "template": TEMPLATE,
        "params": GREEDY,
        "judge": "ontology",
    } | changes
    return evaluate(generator, cases, out, **settings)


def test_accuracy_is_the_share_of_right_answers(tmp_path):
    summary = run(Scripted(knows(0, 1)), make_cases(50), tmp_path / "eval")
    assert summary.accuracy.value == 0.4
    assert (summary.accuracy.low, summary.accuracy.high) == pytest.approx((0.2761, 0.5382), abs=1e-4)
    assert (summary.cases, summary.answers, summary.failed, summary.unscored) == (50, 50, 0, 0)
    assert summary.well_formed == 1.0
    assert summary.mean_at_n is None


def test_the_headline_leaves_out_cases_that_name_the_answer(tmp_path):
    cases = make_cases(70)
    summary = run(Scripted(knows(0)), cases, tmp_path / "eval")
    assert summary.headline.n == sum(not case.leaks for case in cases) == 60


def test_an_answer_without_a_diagnosis_is_wrong_and_says_why(tmp_path):
    summary = run(Scripted(lambda text, sample: "I do not know"), make_cases(10), tmp_path / "eval")
    assert summary.accuracy.value == 0
    assert summary.faults["answer_missing"] == 1
    verdict = next(read_jsonl(tmp_path / "eval/verdicts.jsonl", Verdict))
    assert (verdict.label, verdict.rule) == (0, "no_answer")
    assert "answer_missing" in verdict.reason


def test_several_samples_give_mean_pass_and_majority(tmp_path):
    right = full_form("Marfan syndrome")

    def reply(text, sample):
        case = int(text.split()[1])
        # case 0: right in 3 of 4; case 5: right in 1 of 4 (the other three agree on another disease)
        wins = {0: 3, 5: 1}[case]
        return right if sample < wins else full_form("Common cold")

    cases = [case for case in make_cases(6) if case.names == ("Marfan syndrome",)]
    summary = run(Scripted(reply), cases, tmp_path / "eval", params=SAMPLED, n=4)
    assert summary.mean_at_n.value == 0.5
    assert {k: found.value for k, found in summary.pass_at.items()} == pytest.approx({1: 0.5, 2: 0.75, 4: 1.0})
    assert summary.majority.value == 0.5
    assert summary.accuracy.value == 1.0


def test_greedy_samples_are_refused(tmp_path):
    with pytest.raises(InputError, match="all alike"):
        run(Scripted(knows(0)), make_cases(3), tmp_path / "eval", n=2)


def test_every_stage_leaves_a_file_that_reads_back(tmp_path):
    cases = make_cases(12)
    run(Scripted(knows(0)), cases, tmp_path / "eval", step=100)
    answers = list(read_jsonl(tmp_path / "eval/answers.jsonl", Answer))
    assert [answer.case_id for answer in answers] == [case.id for case in cases]
    assert answers[0].references == cases[0].names
    assert answers[0].tokens == 2
    assert {answer.step for answer in answers} == {100}
    assert list(read_jsonl(tmp_path / "cases.jsonl", Case)) == cases
    assert read_json(tmp_path / "eval/summary.json")["accuracy"]["n"] == 12
    assert read_json(tmp_path / "eval/evaluation.json")["template"] == TEMPLATE


def test_a_second_call_asks_nothing(tmp_path):
    first = run(Scripted(knows(0)), make_cases(12), tmp_path / "eval")
    silent = Scripted(knows())
    assert run(silent, make_cases(12), tmp_path / "eval") == first
    assert silent.asked == []


@pytest.mark.parametrize("tear", [b"", b'{"schema": "answer/1", "case_id": "case-7'])
def test_a_killed_run_asks_only_for_the_rest_and_gives_the_same(tmp_path, monkeypatch, tear):
    monkeypatch.setattr(answers_module, "ROWS_AT_ONCE", 4)
    cases = make_cases(20)
    whole = Scripted(knows(0, 3))
    expected = run(whole, cases, tmp_path / "whole" / "eval")

    with pytest.raises(KeyboardInterrupt):
        run(Scripted(knows(0, 3), die_after=2), cases, tmp_path / "killed" / "eval")
    path = tmp_path / "killed/eval/answers.jsonl"
    path.write_bytes(path.read_bytes() + tear)
    rest = Scripted(knows(0, 3))
    assert run(rest, cases, tmp_path / "killed" / "eval") == expected
    assert len(rest.asked) == 12
    assert rest.seeds == whole.seeds[2:]
    for name in ("answers.jsonl", "verdicts.jsonl", "summary.json"):
        assert (tmp_path / "killed/eval" / name).read_bytes() == (tmp_path / "whole/eval" / name).read_bytes()


def test_more_samples_are_added_to_those_at_hand(tmp_path):
    cases = make_cases(5)
    first = Scripted(knows(0))
    run(first, cases, tmp_path / "eval", params=SAMPLED, n=2)
    more = Scripted(knows(0))
    summary = run(more, cases, tmp_path / "eval", params=SAMPLED, n=3)
    assert len(more.asked) == 5
    assert not set(more.seeds) & set(first.seeds), "a sample that draws the numbers of another is that other"
    assert summary.answers == 15
    fewer = run(Scripted(knows()), cases, tmp_path / "eval", params=SAMPLED, n=1)
    assert fewer.answers == 5
    assert len(list(read_jsonl(tmp_path / "eval/answers.jsonl", Answer))) == 15


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"model": "other"}, "model"),
        ({"template": "Look: {case}"}, "template"),
        ({"params": SamplingParams(max_tokens=65, temperature=0)}, "params"),
        ({"think_opened": True}, "think_opened"),
        ({"weights": "of another run"}, "weights"),
    ],
)
def test_a_folder_holds_one_evaluation(tmp_path, change, named):
    run(Scripted(knows(0)), make_cases(4), tmp_path / "eval")
    with pytest.raises(InputError, match=f"another {named}"):
        run(Scripted(knows(0)), make_cases(4), tmp_path / "eval", **change)


def test_other_cases_of_the_same_folder_are_refused(tmp_path):
    run(Scripted(knows(0)), make_cases(4), tmp_path / "eval")
    with pytest.raises(InputError, match="another cases"):
        run(Scripted(knows(0)), make_cases(5), tmp_path / "eval")


def test_the_same_case_id_with_another_text_is_refused(tmp_path):
    run(Scripted(knows(0)), make_cases(4), tmp_path / "one")
    changed = [Case("case-0", "made", "a", "Patient 0 has sign 3.", ("Wilson disease",))]
    with pytest.raises(InputError, match="case 'case-0' differs"):
        run(Scripted(knows(0)), changed, tmp_path / "two")


def test_no_cases_and_repeated_ids_are_named(tmp_path):
    with pytest.raises(InputError, match="no cases"):
        run(Scripted(knows(0)), [], tmp_path / "eval")
    with pytest.raises(InputError, match="same id"):
        run(Scripted(knows(0)), make_cases(2) + make_cases(1), tmp_path / "eval")


def test_a_ranked_list_gives_top_1_and_top_5(tmp_path):
    cases = make_cases(10)
    listing = full_form("\n".join(f"{i}. {name}" for i, name in enumerate(DISEASES[1:], 1)))
    summary = run(Scripted(lambda text, sample: listing), cases, tmp_path / "eval", top=5)
    assert summary.accuracy.value == 0.2
    assert summary.top5.value == 0.8
    ranked = next(read_jsonl(tmp_path / "eval/ranked.jsonl", Ranked))
    assert ranked.names == DISEASES[1:]
    assert ranked.labels == (0, 0, 0, 0)


def test_an_unscored_verdict_is_neither_right_nor_wrong(tmp_path):
    def judge(named):
        return [
            (
                Verdict(
                    item.answer.case_id,
                    0,
                    0,
                    "mine",
                    None if item.answer.case_id == "case-1" else 2,
                    1,
                    "said",
                ),
            )
            for item in named
        ]

    summary = run(Scripted(knows(0)), make_cases(4), tmp_path / "eval", judge=("mine", judge))
    assert (summary.unscored, summary.accuracy.n, summary.accuracy.value) == (1, 3, 1.0)
    assert json.loads((tmp_path / "eval/summary.json").read_text())["judge"] == "mine"


def test_progress_counts_to_the_end(tmp_path):
    seen = []
    run(
        Scripted(knows(0)),
        make_cases(9),
        tmp_path / "eval",
        progress=lambda done, of: seen.append((done, of)),
    )
    assert seen[-1] == (9, 9)
