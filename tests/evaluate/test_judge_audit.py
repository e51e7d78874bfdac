"""Judges against judges: numbers by hand, coverage by simulation, and the real verdicts where they are at hand."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest

from diagnosis_zero.errors import InputError
from diagnosis_zero.evaluate.calibrate import calibrate
from diagnosis_zero.evaluate.judge import by_name
from diagnosis_zero.evaluate.judge_audit import (
    Pair,
    agreement,
    agreements,
    kappa,
    read_pairs,
    with_judge,
)

PAIRS = Path(os.environ.get("DZ_DATA", "../shared/data")) / "medr_bench" / "judged_pairs.jsonl"


def pairs(rows, cases=None):
    return [
        Pair(str(i), str(cases[i] if cases else i), "m", "x", ("y",), {"a": a, "b": b}) for i, (a, b) in enumerate(rows)
    ]


def test_kappa_by_hand():
    # Cohen's own shape: observed 35/50, expected (25*30 + 25*20) / 2500 = 0.5 -> 0.4
    assert kappa(np.array([[20, 5], [10, 15]], float)) == pytest.approx(0.4)
    assert kappa(np.array([[7, 0], [0, 0]], float)) == 1.0
    assert kappa(np.array([[5, 5], [5, 5]], float)) == 0.0


def test_agreement_precision_and_recall_by_hand():
    found = agreement(pairs([(2, 2)] * 20 + [(2, 0)] * 5 + [(0, 2)] * 10 + [(0, 0)] * 15), "a", "b")
    assert found.n == 50
    assert found.agreement.value == pytest.approx(0.7)
    assert found.kappa.value == pytest.approx(0.4)
    assert found.precision.value == pytest.approx(20 / 25)
    assert found.recall.value == pytest.approx(20 / 30)
    assert set(found.kappa_by_class) == {0, 2}
    assert found.kappa_by_class[2].value == pytest.approx(0.4)


def test_kappa_by_class_separates_what_is_confused():
    rows = [(0, 0)] * 30 + [(1, 2)] * 10 + [(2, 1)] * 10 + [(1, 1)] * 5 + [(2, 2)] * 5
    found = agreement(pairs(rows), "a", "b")
    assert found.kappa_by_class[0].value == 1.0
    assert found.kappa_by_class[1].value < 0.2


def test_unscored_answers_do_not_take_part():
    found = agreement(pairs([(2, 2), (None, 2), (0, None), (0, 0)]), "a", "b")
    assert found.n == 2
    assert agreement(pairs([(None, 2)]), "a", "b") is None


def test_answers_of_one_case_widen_the_interval():
    rows = [(2, 2)] * 30 + [(2, 0)] * 30
    alone = agreement(pairs(rows), "a", "b").agreement
    together = agreement(pairs(rows, [i // 10 for i in range(60)]), "a", "b").agreement
    assert together.high - together.low > 1.5 * (alone.high - alone.low)


def simulated(rng, n, labelled, cheap_error):
    """A dear judge right about a share of 0.3, a cheap one that errs at random; the dear one sees a random part."""
    dear = rng.random(n) < 0.3
    cheap = dear ^ (rng.random(n) < cheap_error)
    labels = [{"cheap": 2 * int(cheap[i]), "dear": 2 * int(dear[i]) if i < labelled else None} for i in range(n)]
    return [Pair(str(i), str(i), "m", "x", ("y",), label) for i, label in enumerate(labels)]


def test_calibration_covers_the_truth_and_is_worth_its_labels():
    rng = np.random.default_rng(3)
    runs = [calibrate(simulated(rng, 600, 100, 0.1), "cheap", "dear") for _ in range(150)]
    covered = np.mean([run.calibrated.low <= 0.3 <= run.calibrated.high for run in runs])
    assert 0.9 <= covered <= 0.99
    width = np.mean([run.calibrated.high - run.calibrated.low for run in runs])
    alone = np.mean([run.dear_alone.high - run.dear_alone.low for run in runs])
    assert width < 0.85 * alone
    biased = np.mean([run.cheap_alone.low <= 0.3 <= run.cheap_alone.high for run in runs])
    assert biased < 0.6  # 0.3 * 0.9 + 0.7 * 0.1 = 0.34: the cheap judge alone is sure of a wrong figure


def test_a_worthless_cheap_judge_does_no_harm():
    rng = np.random.default_rng(4)
    run = calibrate(simulated(rng, 600, 100, 0.5), "cheap", "dear")
    assert run.weight < 0.2
    assert run.calibrated.value == pytest.approx(run.dear_alone.value, abs=0.03)


def test_calibration_needs_cases_in_common():
    with pytest.raises(InputError, match="fewer than two cases"):
        calibrate(pairs([(2, None), (0, None)]), "a", "b")


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"reference": "y", "judges": {}}, "no 'prediction'"),
        ({"prediction": "x", "judges": {}}, "no 'reference'"),
        ({"prediction": "x", "reference": "y"}, "no 'judges'"),
        ({"prediction": "x", "reference": "y", "judges": {"a": "yes"}}, "a judge said 'yes'"),
    ],
)
def test_a_bad_row_is_named_with_its_line(tmp_path, row, said):
    path = tmp_path / "pairs.jsonl"
    good = {"prediction": "x", "reference": "y", "judges": {"a": True}}
    path.write_text(json.dumps(good) + "\n" + json.dumps(row) + "\n")
    with pytest.raises(InputError, match=rf"pairs\.jsonl:2: {said}"):
        read_pairs(path)


@pytest.mark.skipif(not PAIRS.is_file(), reason="needs medr_bench/judged_pairs.jsonl under DZ_DATA")
def test_on_real_verdicts_gpt_and_gemma_agree_and_the_sequence_judge_misses_most():
    """The facts that came with the data: agreement of 89 to 91 %; sequence precision 1.00, recall 0.10."""
    found = with_judge(read_pairs(PAIRS), "sequence", by_name("sequence"))
    assert 0.88 < agreement(found, "gpt", "gemma-9b-it").agreement.value < 0.92
    sequence = agreement(found, "sequence", "gpt")
    assert sequence.n == 632
    assert sequence.precision.value > 0.97
    assert sequence.recall.value == pytest.approx(0.10, abs=0.02)
    assert len(agreements(found)) == 5  # gemma and qwen judged no answer in common
