"""Paired comparison of two evaluation folders."""

from __future__ import annotations

import pytest
from doubles import Scripted, full_form, knows, make_cases

from diagnosis_zero.errors import InputError
from diagnosis_zero.evaluate.compare import compare
from diagnosis_zero.evaluate.replies import Reply
from diagnosis_zero.evaluate.run import evaluate
from diagnosis_zero.types import SamplingParams

GREEDY = SamplingParams(max_tokens=64, temperature=0)


def evaluated(folder, reply, cases, judge="ontology"):
    evaluate(Scripted(reply), cases, folder, model="double", step=0, template="{case}", params=GREEDY, judge=judge)
    return folder


def test_a_better_model_is_called_better(tmp_path):
    cases = make_cases(50)
    a = evaluated(tmp_path / "a", knows(0), cases)
    b = evaluated(tmp_path / "b", knows(0, 1), cases)
    found = compare(a, b)
    assert (found.before, found.after, found.difference) == pytest.approx((0.2, 0.4, 0.2))
    assert found.p == pytest.approx(2 / 2**10)  # ten gained, none lost
    assert found.test == "exact McNemar"
    assert found.low < 0.2 < found.high
    assert "b is better than a by +20.0 points" in found.sentence
    assert compare(b, a).difference == pytest.approx(-0.2)
    assert "worse" in compare(b, a).sentence


def test_the_same_answers_show_no_difference_and_say_what_would_have_been_seen(tmp_path):
    cases = make_cases(50)
    found = compare(evaluated(tmp_path / "a", knows(0), cases), evaluated(tmp_path / "b", knows(0), cases))
    assert found.p == 1
    assert found.sentence.startswith("No difference between a and b is shown")
    assert "four times in five" in found.sentence


def test_cases_of_one_article_are_not_independent(tmp_path):
    cases = make_cases(50, per_article=10)
    found = compare(evaluated(tmp_path / "a", knows(0), cases), evaluated(tmp_path / "b", knows(0, 1), cases))
    assert found.clusters == 5
    assert found.test == "sign-flip over clusters"
    assert found.p == pytest.approx(2 / 2**5)  # five articles, all up
    assert compare(tmp_path / "a", tmp_path / "b", cluster="none").p < found.p
    assert compare(tmp_path / "a", tmp_path / "b", cluster="disease").p == 1.0  # one disease moved


def test_leaking_cases_can_be_left_out(tmp_path):
    cases = make_cases(70)
    a, b = evaluated(tmp_path / "a", knows(0), cases), evaluated(tmp_path / "b", knows(1), cases)
    assert compare(a, b, leaking=False).n == 60


def test_only_common_cases_count_and_the_others_are_named(tmp_path):
    a = evaluated(tmp_path / "a", knows(0), make_cases(20))
    b = evaluated(tmp_path / "b", knows(0), make_cases(15))
    found = compare(a, b)
    assert (found.n, found.dropped) == (15, 5)


def test_different_judges_are_refused(tmp_path):
    a = evaluated(tmp_path / "a", knows(0), make_cases(10))
    b = evaluated(tmp_path / "b", knows(0), make_cases(10), judge="sequence")
    with pytest.raises(InputError, match="judged by 'ontology'"):
        compare(a, b)


def test_a_folder_that_is_no_evaluation_is_named(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        compare(tmp_path, tmp_path)


# --- against another system's ranks ----------------------------------------------------------------------------


def test_published_ranks_are_compared_on_the_very_same_patients(tmp_path):
    cases = make_cases(30)
    ours = evaluated(tmp_path / "ours", knows(0, 1), cases)
    table = tmp_path / "gpt.tsv"
    rows = [f"case-{i}\tX\t5\t{1 if i % 5 == 0 else 3 if i % 5 == 4 else 0}" for i in range(25)]
    rows.append("someone-else\tX\t5\t1")
    table.write_text("packet_id\tdisease_id\tn_diagnoses\trank_of_correct\n" + "\n".join(rows) + "\n")
    found = compare(table, ours, broader=True)
    assert (found.before_name, found.n, found.dropped) == ("gpt", 25, 5)
    assert (found.before, found.after) == pytest.approx((0.2, 0.4))
    assert compare(table, ours, cluster="disease").clusters == 5


def test_a_two_column_file_of_any_system_will_do(tmp_path):
    ours = evaluated(tmp_path / "ours", knows(0), make_cases(10))
    table = tmp_path / "lirical.csv"
    table.write_text("id,rank\n" + "\n".join(f"case-{i}," for i in range(10)) + "\n")
    assert compare(table, ours).before == 0
    table.write_text("id,rank\ncase-0,first\n")
    with pytest.raises(InputError, match=r"lirical\.csv:2: no whole number"):
        compare(table, ours)
    table.write_text("id,rank\ncase-0,1\ncase-0,2\n")
    with pytest.raises(InputError, match="stands twice"):
        compare(table, ours)


def test_best_of_five_against_best_of_five(tmp_path):
    cases = make_cases(10)
    listing = full_form("1. Common cold\n2. Marfan syndrome")
    settings = {"model": "m", "step": 0, "template": "{case}", "params": GREEDY, "judge": "ontology", "top": 5}
    evaluate(Scripted(lambda text, sample: listing), cases, tmp_path / "ours", **settings)
    table = tmp_path / "gpt.tsv"
    table.write_text("packet_id\trank\n" + "\n".join(f"case-{i}\t5" for i in range(10)) + "\n")
    assert compare(table, tmp_path / "ours", top=5).difference == pytest.approx(-0.8)
    assert compare(table, tmp_path / "ours").before == 0


def test_an_answer_that_never_came_is_no_wrong_answer_of_five_either(tmp_path):
    class Failing(Scripted):
        def stream(self, prompts, n, params):
            for place, chat in enumerate(prompts):
                bad = "Patient 3" in chat[-1]["content"]
                completion = self._completion(chat[-1]["content"], 0)
                yield Reply(place, 0, None, error="timeout") if bad else Reply(place, 0, completion)

    settings = {"model": "m", "step": 0, "template": "{case}", "params": GREEDY, "judge": "ontology", "top": 5}
    listing = full_form("1. Common cold\n2. Marfan syndrome")
    for name in ("a", "b"):
        evaluate(Failing(lambda text, sample: listing), make_cases(10), tmp_path / name, **settings)
    for top in (1, 5):
        found = compare(tmp_path / "a", tmp_path / "b", top=top)
        assert (found.n, found.dropped) == (9, 1)


def test_a_quoted_header_is_read_as_the_rows_are(tmp_path):
    ours = evaluated(tmp_path / "ours", knows(0), make_cases(3))
    table = tmp_path / "lirical.csv"
    table.write_text('"rank","case_id"\n' + "".join(f'"1","case-{i}"\n' for i in range(3)))
    assert compare(table, ours).before == 1


def test_a_difference_in_how_they_were_asked_is_told(tmp_path):
    a = evaluated(tmp_path / "a", knows(0), make_cases(10))
    settings = {"model": "m", "step": 0, "template": "Look: {case}", "params": GREEDY, "judge": "ontology"}
    evaluate(Scripted(knows(0)), make_cases(10), tmp_path / "b", **settings)
    assert compare(a, tmp_path / "b").differing == ("template_sha256",)
    assert compare(a, a).differing == ()


def test_another_catalogue_is_told(tmp_path):
    a = evaluated(tmp_path / "a", knows(0), make_cases(10))
    settings = {"model": "double", "step": 0, "template": "{case}", "params": GREEDY, "judge": "ontology"}
    evaluate(Scripted(knows(0)), make_cases(10), tmp_path / "b", **settings, catalogue="default")
    assert compare(a, tmp_path / "b").differing == ("catalogue",)
    evaluate(Scripted(knows(0)), make_cases(10), tmp_path / "b", **settings)
    assert compare(a, tmp_path / "b").differing == ()
