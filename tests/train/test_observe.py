"""Metrics of a rollout by hand, and the file that keeps it."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq
import pytest

from diagnosis_zero.train.observe import rollout_metrics, validation_metrics, write_rollouts
from diagnosis_zero.types import Case, Completion, Group, Reward

GOOD = "<think>stiff</think><answer>Gout</answer>"
CUT = "<think>stiff joints and"
BARE = "Gout"


def group(name: str, *made: tuple[str, str, int, float, float]) -> Group:
    """Completions of (text, finish, tokens, score, accuracy)."""
    completions = tuple(Completion(t, f, tuple(range(n)), (0.0,) * n) for t, f, n, _, _ in made)  # type: ignore[arg-type]
    rewards = tuple(Reward(s, {"accuracy": a, "format": float(t == GOOD)}, {"rule": "exact"}) for t, _, _, s, a in made)
    return Group(Case(name, "made", name, "text", ("Gout",)), (1, 2), completions, rewards)


GROUPS = [
    group("a", (GOOD, "stop", 9, 1.1, 1.0), (CUT, "length", 20, 0.0, 0.0)),
    group("b", (BARE, "stop", 2, 0.5, 0.5), (BARE, "stop", 1, 0.5, 0.5)),
]


def test_rollout_metrics_by_hand() -> None:
    assert rollout_metrics(GROUPS, think_opened=False) == pytest.approx(
        {
            "reward/mean": 2.1 / 4,
            "reward/std": 0.3897114,  # of 1.1 0 0.5 0.5 about 0.525: sqrt((0.330625 + 0.275625 + 2 * 0.000625) / 4)
            "reward/accuracy": 0.5,
            "reward/format": 0.25,
            "length/mean": 8.0,
            "length/max": 20,
            "length/truncated": 0.25,
            "format/well_formed": 0.25,
            "format/think_missing": 0.5,
            "format/think_unclosed": 0.25,
            "format/answer_missing": 0.75,
            "format/truncated": 0.25,
            "format/text_before": METRIC_TEXT_BEFORE,
            "groups/zero_variance": 0.5,
            "groups/paid_for_accuracy": 1.0,  # the one group in which both vary: the right answer has the higher score
            "tokens/generated": 32,
            "text/repetition": 0.0,  # token ids that never come twice
        }
    )


def test_repetition_is_the_share_of_token_fours_that_stood_there_before() -> None:
    looping = Completion("a b a b a b", "stop", (1, 2, 1, 2, 1, 2), (0.0,) * 6)  # 1212 2121 1212: one of three again
    once = Group(GROUPS[0].case, (1,), (looping,), (GROUPS[0].rewards[0],))
    assert rollout_metrics([once], think_opened=False)["text/repetition"] == pytest.approx(1 / 3)


def paid(*pairs: tuple[float, float]) -> Group:
    """A group of (score, accuracy)."""
    return group("a", *((BARE, "stop", 1, score, accuracy) for score, accuracy in pairs))


@pytest.mark.parametrize(
    ("groups", "expected"),
    [
        ([paid((1.1, 1), (0.1, 0), (1.1, 1))], 1.0),
        ([paid((0.1, 1), (1.1, 0))], -1.0),  # it is the wrong answer that is paid
        ([paid((0, 0), (1, 1), (1, 0), (0, 1))], 0.0),
        ([paid((2, 1), (1, 1), (0, 0))], 0.8660254),  # 3 / sqrt(2 * 6): deviations 1 0 -1 and 1/3 1/3 -2/3
        ([paid((1.1, 1), (0.1, 0)), paid((0.1, 1), (1.1, 0)), paid((1, 1), (1, 1)), paid((0, 0), (1, 0))], 0.0),
        ([paid((0, 0), (1, 0))], None),  # nobody was right: nothing to be said
    ],
)
def test_what_is_paid_for_accuracy_by_hand(groups: list[Group], expected: float | None) -> None:
    metrics = rollout_metrics(groups, think_opened=False)
    assert metrics.get("groups/paid_for_accuracy") == (expected if expected is None else pytest.approx(expected))


METRIC_TEXT_BEFORE = 0.5
"""Text without any block stands before a block that never comes."""


def test_a_template_that_opens_the_reasoning_changes_what_is_well_formed() -> None:
    opened = [group("a", ("stiff</think><answer>Gout</answer>", "stop", 5, 1.0, 1.0))]
    assert rollout_metrics(opened, think_opened=True)["format/well_formed"] == 1
    metrics = rollout_metrics(opened, think_opened=False)
    assert metrics["format/well_formed"] == 0
    assert metrics["format/think_unopened"] == 1


def test_validation_metrics_by_hand() -> None:
    greedy = [group("a", (GOOD, "stop", 9, 1.1, 1.0)), group("b", (BARE, "stop", 1, 0.5, 0.5))]
    assert validation_metrics(greedy, [], think_opened=False) == pytest.approx(
        {"val/accuracy": 0.5, "val/reward": 0.8, "val/length": 5.0, "val/well_formed": 0.5, "val/cases": 2}
    )
    assert validation_metrics(greedy, GROUPS, think_opened=False)["val/sampled_accuracy"] == 0.25


def test_a_judge_gives_a_second_opinion_on_the_same_answers() -> None:
    greedy = [group(name, (GOOD, "stop", 9, 1.1, 1.0)) for name in "abc"]

    def judge(text: str, case: Case) -> Reward:
        assert text == GOOD
        return Reward(0.0, {"accuracy": float(case.id == "a")})

    metrics = validation_metrics(greedy, [], False, judge)
    assert (metrics["val/accuracy"], metrics["val/judge"]) == (1.0, pytest.approx(1 / 3))


def test_every_completion_is_kept_with_what_it_earned(tmp_path: Path) -> None:
    path = tmp_path / "rollouts" / "step-000007.parquet"
    write_rollouts(path, 7, GROUPS, [[0.7, -0.7], [0.0, 0.0]], think_opened=False)
    rows = pq.read_table(path).to_pylist()
    assert rows[0] == {
        "step": 7,
        "case_id": "a",
        "sample": 0,
        "text": GOOD,
        "finish": "stop",
        "tokens": 9,
        "score": 1.1,
        "advantage": 0.7,
        "part_accuracy": 1.0,
        "part_format": 1.0,
        "think": "stiff",
        "answer": "Gout",
        "faults": [],
        "rule": "exact",
    }
    assert [(row["case_id"], row["sample"]) for row in rows] == [("a", 0), ("a", 1), ("b", 0), ("b", 1)]
    assert [row["advantage"] for row in rows] == [0.7, -0.7, 0.0, 0.0]
    assert rows[1]["answer"] is None
    assert rows[1]["faults"] == ["think_unclosed", "answer_missing", "truncated"]


def test_files_of_a_run_have_one_schema_whatever_the_model_wrote(tmp_path: Path) -> None:
    """A step in which nobody answered, and one in which everybody did, can be read as one table."""
    silent, perfect = tmp_path / "step-000001.parquet", tmp_path / "step-000002.parquet"
    write_rollouts(silent, 1, [group("a", (CUT, "length", 20, 0.0, 0.0))], [[0.0]], think_opened=False)
    write_rollouts(perfect, 2, [group("a", (GOOD, "stop", 9, 1.1, 1.0))], [[0.0]], think_opened=False)
    assert pq.read_schema(silent).equals(pq.read_schema(perfect))
    both = pq.read_table([silent, perfect])
    assert both.column("answer").to_pylist() == [None, "Gout"]
    assert both.column("faults").to_pylist()[1] == []
