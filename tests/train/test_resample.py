"""Dynamic sampling: silent groups give their place to groups that teach, in a number of rounds that is bounded."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from benchmarks.toy_runs import rows, toy_recipe

from diagnosis_zero.engine.model import Policy
from diagnosis_zero.recipe import Recipe
from diagnosis_zero.train.batch import Credit
from diagnosis_zero.train.loop import train
from diagnosis_zero.train.resample import replace_silent, teaches
from diagnosis_zero.types import Case, Completion, Group, Reward, RewardFn


def group(name: str, scores: Sequence[float], finish: str = "stop") -> Group:
    case = Case(name, "made", name, "A patient.", ("Gout",))
    completions = tuple(Completion("", finish, (1,) * 8, (0.0,) * 8) for _ in scores)  # type: ignore[arg-type]
    return Group(case, (1,), completions, tuple(Reward(score, {}) for score in scores))


class Ward:
    """Patients whose groups have these scores; remembers who was asked."""

    def __init__(self, **scores: Sequence[float]) -> None:
        self.groups = {name: group(name, values) for name, values in scores.items()}
        self.drawn: list[list[str]] = []

    def draw(self, cases: Sequence[Case]) -> list[Group]:
        self.drawn.append([case.id for case in cases])
        return [self.groups[case.id] for case in cases]

    def cases(self, *names: str) -> list[Case]:
        return [self.groups[name].case for name in names]


def names(groups: Sequence[Group]) -> str:
    return "".join(one.case.id for one in groups)


SILENT, TEACHING = (1.0, 1.0), (0.0, 1.0)


def test_silent_groups_are_replaced_round_by_round() -> None:
    ward = Ward(a=TEACHING, b=SILENT, c=SILENT, p=SILENT, q=TEACHING, r=TEACHING, s=TEACHING)
    rounds = {1: ward.cases("a", "p", "q", "r"), 2: ward.cases("q", "s", "r")}
    kept, unused = replace_silent(ward.draw(ward.cases("a", "b", "c")), Credit(), 2, ward.draw, rounds.__getitem__)
    assert names(kept) == "aqs"
    assert names(unused) == "pbc"
    # as many as are silent, nobody twice: of round 1 p and q, of round 2 s (r was not needed)
    assert ward.drawn == [["a", "b", "c"], ["p", "q"], ["s"]]


def test_the_rounds_are_capped_and_what_is_still_silent_stays() -> None:
    ward = Ward(a=SILENT, b=SILENT, p=SILENT, q=SILENT, r=TEACHING)
    kept, unused = replace_silent(
        ward.draw(ward.cases("a", "b")), Credit(), 1, ward.draw, lambda number: ward.cases("p", "q", "r")
    )
    assert names(kept) == "ab"
    assert names(unused) == "pq"


def test_nothing_is_drawn_where_every_group_teaches_or_nobody_is_left() -> None:
    ward = Ward(a=TEACHING, b=SILENT)
    for first, spare in (("a", "b"), ("b", "b")):
        kept, unused = replace_silent(
            ward.draw(ward.cases(first)), Credit(), 3, ward.draw, lambda number, spare=spare: ward.cases(spare)
        )
        assert (names(kept), unused) == (first, [])
    assert ward.drawn == [["a"], ["b"]]


@pytest.mark.parametrize(
    ("finishes", "overlong", "expected"),
    [(("stop", "length"), "score", True), (("stop", "length"), "mask", False), (("stop", "stop"), "mask", True)],
)
def test_what_teaches_is_seen_with_the_masks_of_the_recipe(
    finishes: tuple[str, str], overlong: str, expected: bool
) -> None:
    """Of two completions that differ in their scores, one masked: nothing is left to compare."""
    scored = group("a", TEACHING)
    completions = tuple(Completion("", finish, (1,), (0.0,)) for finish in finishes)  # type: ignore[arg-type]
    masked = Group(scored.case, scored.prompt_ids, completions, scored.rewards)
    assert teaches(masked, Credit(overlong=overlong)) is expected


def by_number(text: str, case: Case) -> Reward:
    """Cases whose number is even are silent; the others depend on what was written."""
    even = int(case.id.removeprefix("case-")) % 2 == 0
    return Reward(0.0 if even else float(sum(map(ord, text)) % 3), {"accuracy": 0.0})


def run(inputs: Path, folder: Path, *overrides: str) -> Recipe:
    recipe = toy_recipe(inputs, folder, "train.steps=3", "train.kl_coefficient=0", "eval.every=100", *overrides)

    def reward_for(think_opened: bool) -> RewardFn:
        return by_number

    def evaluate(policy: Policy, step: int, cases: list[Case]) -> None:
        return

    train(recipe, reward_for, evaluate)
    return recipe


def test_a_run_learns_from_the_replacements_and_keeps_every_completion(toy_inputs: Path, tmp_path: Path) -> None:
    recipe = run(toy_inputs, tmp_path / "on", "rollout.resample=2")
    plain = run(toy_inputs, tmp_path / "off")
    steps, plain_steps = ([row for row in rows(r) if row["kind"] == "train"] for r in (recipe, plain))
    assert sum(row["groups/zero_variance"] for row in plain_steps) > 0  # there was something to replace
    for row in steps:
        table = pq.read_table(recipe.run.folder / "rollouts" / f"step-{row['step']:06d}.parquet").to_pylist()
        assert len(table) == 4 * row["groups/drawn"]
        assert row["tokens/generated"] == sum(line["tokens"] for line in table)
        teaching = {line["case_id"] for line in table if line["advantage"] != 0}
        assert len(teaching) == 4 * (1 - row["groups/still_silent"])
        assert all(int(name.removeprefix("case-")) % 2 for name in teaching)
    # what was sampled first, and what is told of it, does not depend on the replacements
    for key in ("reward/mean", "groups/zero_variance"):
        assert steps[0][key] == plain_steps[0][key]
    assert steps[0]["groups/still_silent"] < steps[0]["groups/zero_variance"]
