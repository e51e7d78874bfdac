"""The reward as verl and TRL call it."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from diagnosis_zero.errors import InputError
from diagnosis_zero.parsing import render
from diagnosis_zero.rewards import DEFAULT_WEIGHTS, compute_score, trl_reward

TRUTH = {"diagnosis": ["Marfan syndrome"], "orpha_id": "558"}
FULL = render("Tall, lens.", "Marfan syndrome")
WRONG = render("Tall, lens.", "Fabry disease")
PLAIN: dict[str, Any] = {"catalogue": None}


class TestVerl:
    @pytest.mark.parametrize(
        "truth",
        [
            TRUTH,
            json.dumps(TRUTH),
            {"diagnosis": ("Marfan syndrome",), "orpha_id": None},
            {"diagnosis": np.array(["Marfan syndrome"], dtype=object)},
            {"diagnosis": ["Marfan syndrome"], "orpha_id": 558, "ids": ["OMIM:154700"]},
        ],
    )
    def test_ground_truth_forms(self, truth: Any) -> None:
        found = compute_score("rare_arena", FULL, truth, **PLAIN)
        assert found["score"] == pytest.approx(1.1)
        assert found["acc"] == 1.0

    def test_flat_numbers(self) -> None:
        found = compute_score("rare_arena", WRONG, TRUTH, {"split": "test", "index": 3}, **PLAIN)
        assert set(found) == {"score", "acc", *DEFAULT_WEIGHTS}
        assert all(type(value) is float for value in found.values())

    def test_keywords_choose_method_and_weights(self) -> None:
        found = compute_score("x", WRONG, TRUTH, method="sequence", weights={"extracted": 0.1, "format": 0})
        assert found["score"] == pytest.approx(0.1)

    def test_an_unknown_keyword_is_an_error(self) -> None:
        with pytest.raises(TypeError):
            compute_score("x", WRONG, TRUTH, catalog=None)

    def test_case_text_reaches_the_parts(self) -> None:
        completion = render("a tall boy with long fingers and a lens", "Marfan syndrome")
        info = {"text": "We saw a tall boy with long fingers and a lens out of place."}
        assert compute_score("x", completion, TRUTH, info, **PLAIN)["reasoning"] == 0.0
        assert compute_score("x", completion, TRUTH, None, **PLAIN)["reasoning"] == 1.0

    @pytest.mark.parametrize(
        "truth",
        ["", "not json", "[]", "[" * 100_000, "null", {}, {"diagnosis": []}, {"diagnosis": "Marfan syndrome"},
         {"diagnosis": None}, {"diagnosis": [""]}, {"diagnosis": [None]}, {"diagnosis": [1]}, {"diagnosis": {"a": 1}},
         {"names": ["Marfan syndrome"]}, None, 3, ["Marfan syndrome"], {"diagnosis": ["M"], "ids": "OMIM:1"},
         {"diagnosis": ["M"], "ids": 3}],
    )  # fmt: skip
    def test_malformed_ground_truth_raises(self, truth: Any) -> None:
        for completion in (FULL, "", "garbage"):
            with pytest.raises(InputError):
                compute_score("rare_arena", completion, truth, **PLAIN)

    def test_its_error_reads_plainly_though_verl_hands_over_strings_of_numpy(self) -> None:
        with pytest.raises(InputError, match="ground truth from 'rare_arena' without a list of names"):
            compute_score(np.str_("rare_arena"), FULL, {}, **PLAIN)


class TestTrl:
    def test_plain_text(self) -> None:
        rewards = trl_reward(**PLAIN)(["p", "p"], [FULL, WRONG], ground_truth=[TRUTH, json.dumps(TRUTH)])
        assert rewards == pytest.approx([1.1, 0.1])

    def test_chat_and_the_columns_of_dz_prepare(self) -> None:
        prompts = [[{"role": "user", "content": "A tall boy."}]]
        completions = [[{"role": "assistant", "content": FULL}]]
        column = [{"style": "rule", "ground_truth": json.dumps(TRUTH)}]
        rewards = trl_reward(**PLAIN)(
            prompts=prompts, completions=completions, reward_model=column, completion_ids=[[1]], trainer_state=None
        )
        assert rewards == pytest.approx([1.1])

    def test_it_has_the_name_that_trl_logs(self) -> None:
        assert trl_reward(**PLAIN).__name__ == "diagnosis_reward"

    def test_a_missing_column_is_told(self) -> None:
        with pytest.raises(InputError, match="neither a column"):
            trl_reward(**PLAIN)(["p"], [FULL])
