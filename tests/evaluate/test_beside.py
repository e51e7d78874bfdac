"""What stands beside the headline: baselines, subgroups, bounds, confidence, clinicians' review."""

from __future__ import annotations

import csv
import json

import pytest
from doubles import Scripted, full_form, make_cases

from diagnosis_zero.errors import InputError
from diagnosis_zero.evaluate.baselines import baseline
from diagnosis_zero.evaluate.bounds import bounds, learnt
from diagnosis_zero.evaluate.confidence import confidence
from diagnosis_zero.evaluate.protocol import Orphanet
from diagnosis_zero.evaluate.review import COLUMNS, pair_lines, read_review, write_review
from diagnosis_zero.evaluate.run import evaluate
from diagnosis_zero.evaluate.subgroups import Known, groups_of, subgroups, training_keys
from diagnosis_zero.parsing import parse
from diagnosis_zero.types import Answer, Case, SamplingParams, Verdict

GREEDY = SamplingParams(max_tokens=64, temperature=0)


def case(id_, text, name, **more):
    return Case(id_, "made", id_, text, (name,), **more)


TRAINING = [
    case("t1", "tall stature, lens dislocation, aortic dilatation", "Marfan syndrome"),
    case("t2", "burning feet, angiokeratoma, corneal clouding", "Fabry disease"),
    case("t3", "burning pain in hands and feet, proteinuria", "Fabry disease"),
]


def said(generator, text):
    ((completion,),) = generator.generate([[{"role": "user", "content": text}]], 1, GREEDY)
    return parse(completion.text).answer


def test_the_frequent_baseline_says_one_thing():
    assert said(baseline("frequent", TRAINING), "tall") == "Fabry disease"


def test_the_nearest_baseline_says_what_the_most_similar_case_had():
    nearest = baseline("nearest", TRAINING)
    assert said(nearest, "A tall boy with dislocation of the lens") == "Marfan syndrome"
    assert said(nearest, "Proteinuria and burning feet") == "Fabry disease"
    assert said(nearest, "unheard-of words only") == "Marfan syndrome"


def test_rare_words_weigh_more_than_common_ones():
    training = [case(f"c{i}", "patient patient with fever", f"Common {i}") for i in range(9)]
    training.append(case("r", "patient with angiokeratoma", "Fabry disease"))
    assert said(baseline("nearest", training), "patient with fever and angiokeratoma angiokeratoma") == "Fabry disease"


def test_an_unknown_baseline_and_no_training_cases():
    with pytest.raises(InputError, match="'nearest'"):
        baseline("neerest", TRAINING)
    with pytest.raises(InputError, match="needs training cases"):
        baseline("nearest", [])


# --- subgroups -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("age", "band"),
    [
        ("P3M", "under 1 year"),
        ("P1Y", "1 to 17 years"),
        ("P17Y11M", "1 to 17 years"),
        ("P18Y", "18 to 64 years"),
        ("P65Y", "65 years and over"),
        ("P30W", "under 1 year"),
        ("PT5H", "under 1 year"),
        ("P2DT12H", "under 1 year"),
        ("P17.5Y", "1 to 17 years"),
        ("P", "unknown"),
        (None, "unknown"),
        ("adult", "unknown"),
    ],
)
def test_age_bands(age, band):
    assert ("age", band) in groups_of(case("x", "text", "Y", age=age), Known())


def test_seen_diseases_groups_and_doubtful_references():
    known = Known(training_keys(TRAINING), {"324": Orphanet("Fabry", (), "Lysosomal disease")}, frozenset({"b"}))
    fabry = case("a", "x", "fabry's disease", ids=("ORPHA:324",))
    other = case("b", "x", "Pompe disease", leaks=("Pompe",))
    assert ("disease", "seen in training") in groups_of(fabry, known)
    assert ("disease group", "Lysosomal disease") in groups_of(fabry, known)
    assert ("reference", "doubtful") in groups_of(other, known)
    assert ("text", "names the answer") in groups_of(other, known)
    assert not any(kind in ("disease", "disease group", "reference") for kind, _ in groups_of(fabry, Known()))


def test_the_groups_of_a_kind_add_up_to_the_whole():
    cases = {c.id: c for c in make_cases(30)}
    answers = [Answer(c.id, "m", 0, 0, "", None, "x", (), "stop", 1, c.names) for c in cases.values()]
    verdicts = [Verdict(c.id, 0, 0, "j", None if i == 0 else 2 * (i % 2), 0, "r") for i, c in enumerate(cases.values())]
    found = [one for one in subgroups(cases, answers, verdicts, Known()) if one.kind == "text"]
    assert sum(one.accuracy.n for one in found) == 29
    assert sum(one.accuracy.n * one.accuracy.value for one in found) == pytest.approx(15)


# --- bounds and confidence -------------------------------------------------------------------------------------


def test_bounds_of_generated_patients():
    extra = [
        {"oracle": "A", "oracle_posterior": "0.9", "overlap": "A"},
        {"oracle": "A", "oracle_posterior": "0.5", "overlap": "A"},
        {"oracle": "B", "oracle_posterior": "0.7", "overlap": "A"},
        {"oracle": "B", "oracle_posterior": "0.7", "overlap": "B"},
    ]
    truth = ["A", "B", "B", "B"]
    made = [case(str(i), "x", name, extra=more) for i, (name, more) in enumerate(zip(truth, extra, strict=True))]
    found = bounds(made)
    assert {name: one.value for name, one in found.items()} == pytest.approx(
        {"oracle": 0.75, "oracle_expected": 0.7, "overlap": 0.5, "chance": 0.5}
    )
    assert learnt(0.625, found) == pytest.approx(0.5)
    assert bounds([*made, case("real", "x", "A")]) == {}
    assert learnt(0.5, {}) is None


def test_confidence_by_hand():
    found = confidence([1.0, 1.0, 0.5, 0.5], [1, 1, 1, 0])
    assert found.expected_error == 0  # half of those that are half sure are right
    assert found.brier == pytest.approx((0 + 0 + 0.25 + 0.25) / 4)
    assert found.discrimination == pytest.approx((1 + 1 + 0.5) / 3)
    assert found.coverage == ((0.5, 1.0), (1.0, 0.75))
    assert confidence([1.0, 1.0], [0, 0]).expected_error == 1.0
    assert confidence([0.5], [1]).discrimination is None


# --- review ----------------------------------------------------------------------------------------------------


def sides(tmp_path):
    cases = make_cases(12)
    answers = {}
    for name, word in (("ours", "Marfan syndrome"), ("theirs", "=HYPERLINK(1)")):
        folder = tmp_path / name
        generator = Scripted(lambda text, sample, word=word: full_form(word))
        settings = {"model": name, "step": 0, "template": "{case}", "params": GREEDY, "judge": "sequence"}
        evaluate(generator, cases, folder, **settings)
        answers[name] = [
            Answer(c.id, name, 0, 0, "", None, word, (), "stop", 1, c.names, source_id=c.source_id) for c in cases
        ]
    return {c.id: c for c in cases}, answers


def test_reviewers_see_no_names_and_their_grades_come_back_to_the_right_side(tmp_path):
    cases, answers = sides(tmp_path)
    path = tmp_path / "review.csv"
    key = write_review(path, cases, answers)
    assert "ours" not in path.read_text()
    with path.open(newline="") as handle:
        rows = list(csv.DictReader(handle))
    assert tuple(rows[0]) == COLUMNS
    first = [row["answer_1"] for row in rows]
    assert 0 < first.count("Marfan syndrome") < len(first)  # the order is drawn for each row
    assert {row["answer_1"] for row in rows} == {"Marfan syndrome", "'=HYPERLINK(1)"}  # no formula runs
    for row in rows:
        row["grade_1"], row["grade_2"] = ("2", "0") if row["answer_1"] == "Marfan syndrome" else ("0", "2")
    rows[0]["grade_1"] = ""
    with path.open("w", newline="") as handle:
        writer = csv.DictWriter(handle, COLUMNS)
        writer.writeheader()
        writer.writerows(rows)
    labels = read_review(path, key)
    assert sorted(str(label) for (side, _), label in labels.items() if side == "ours").count("2") >= 11
    assert {label for (side, _), label in labels.items() if side == "theirs"} <= {0, None}
    lines = [json.loads(line) for line in pair_lines(labels, cases, answers, "clinician")]
    assert len(lines) == 24
    assert {line["judges"]["clinician"] for line in lines if line["model"] == "ours"} <= {2, None}


def test_a_bad_grade_is_named_with_its_line(tmp_path):
    cases, answers = sides(tmp_path)
    path = tmp_path / "review.csv"
    key = write_review(path, cases, answers, limit=2)
    text = path.read_text().replace(",,,\n", ",2,yes,\n").replace(",,,\r\n", ",2,yes,\r\n")
    path.write_text(text)
    with pytest.raises(InputError, match=r"review\.csv:2: grade 'yes'"):
        read_review(path, key)
    path.write_text("row,grade_1,grade_2\n2,2,\n")
    with pytest.raises(InputError, match=r"1 of the rows of .* are missing: 1\. Put them back"):
        read_review(path, key)
    path.write_text("row,grade_1,grade_2\n1,2,\n1,0,\n")
    with pytest.raises(InputError, match=r"review\.csv:3: row '1' stands twice"):
        read_review(path, key)
    path.write_text("row,grade_1\n1,2\n")
    with pytest.raises(InputError, match="no column 'grade_2'"):
        read_review(path, key)
