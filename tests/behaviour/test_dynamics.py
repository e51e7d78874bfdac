import math

import pytest

from diagnosis_zero.behaviour.dynamics import (
    Observation,
    diversity,
    form_and_right,
    overpredicted,
    phi,
    reward_without_skill,
    right_given,
    share,
    within_groups,
)
from diagnosis_zero.evaluate import stats
from diagnosis_zero.types import Answer


def seen(count: int, right: float | None, **flags: float) -> list[Observation]:
    features = {key.replace("__", "/"): value for key, value in flags.items()} or {"length/words": 1.0}
    return [Observation(f"{right}-{flags}-{n}", features, right) for n in range(count)]


def test_share_right_given_mixed_language() -> None:
    both = seen(3, 1.0, language__mixed=1.0) + seen(7, 0.0, language__mixed=1.0)
    rest = seen(10, 1.0) + seen(80, 0.0) + seen(5, None, language__mixed=1.0)
    found = right_given(both + rest, "language/mixed")
    assert found is not None
    assert (found.with_it.value, found.with_it.n) == (0.3, 10)
    assert (found.without.value, found.without.n) == (pytest.approx(10 / 90), 90)
    assert found.overall.value == 0.13
    assert found.with_it.low < 0.3 < found.with_it.high


def test_a_behaviour_nobody_shows_is_given_nothing() -> None:
    assert right_given(seen(5, 1.0), "language/mixed") is None
    assert share(seen(5, 1.0), "language/mixed").value == 0.0  # type: ignore[union-attr]


def test_form_and_correctness_by_hand() -> None:
    observations = (
        seen(4, 1.0, format__well_formed=1.0)
        + seen(1, 0.0, format__well_formed=1.0)
        + seen(2, 1.0, format__well_formed=0.0)
        + seen(3, 0.0, format__well_formed=0.0)
    )
    found = form_and_right(observations)
    assert found is not None
    assert (found.both, found.form_only, found.right_only, found.neither) == (4, 1, 2, 3)
    assert found.phi == pytest.approx((4 * 3 - 1 * 2) / math.sqrt(5 * 5 * 6 * 4))


def test_phi_of_a_constant_is_not_a_number() -> None:
    assert phi(5, 5, 0, 0) is None
    assert phi(5, 0, 0, 5) == 1.0
    assert phi(0, 5, 5, 0) == -1.0


def test_conflict_within_groups_shows_even_where_groups_hide_it() -> None:
    """Across groups both rewards rise together; within each, one falls as the other rises."""
    rows = [("easy", 1.0, 0.8), ("easy", 0.8, 1.0), ("hard", 0.2, 0.0), ("hard", 0.0, 0.2)]
    assert within_groups(rows) == pytest.approx(-1.0)
    assert within_groups([("a", 1.0, 0.0), ("a", 1.0, 1.0)]) is None


def answer(said: str | None, truth: str) -> Answer:
    return Answer("c", "m", 0, 0, "", None, said, (), "stop", 1, (truth,))


def test_overpredicted_counts_names_in_any_spelling() -> None:
    given = [answer("Fabry disease", "Fabry disease"), answer("fabry's disease", "Pompe disease")]
    given += [answer("FABRY DISEASE", "Alport syndrome"), answer("Alport syndrome", "Alport syndrome")]
    assert [(one.name, one.given, one.true) for one in overpredicted(given)] == [("Fabry disease", 3, 1)]


def test_diversity_in_bits() -> None:
    assert diversity([answer("A disease", "x")] * 4) == 0.0
    assert diversity([answer(name, "x") for name in ("Fabry", "Pompe", "Wilson", "Alport")]) == 2.0
    assert diversity([answer(None, "x")]) is None


def test_reward_that_rises_while_the_judge_sees_nothing_is_flagged() -> None:
    rising = [0.1 + 0.005 * step + 0.01 * (-1) ** step for step in range(100)]
    flat = [0.3 + 0.01 * (-1) ** step for step in range(100)]
    same = stats.paired([0.0, 1.0] * 100, [1.0, 0.0] * 100)
    few = stats.paired([0.0, 1.0] * 4, [1.0, 0.0] * 4)
    better = stats.paired([0.0] * 40, [1.0] * 30 + [0.0] * 10)
    assert reward_without_skill(rising, same)
    assert not reward_without_skill(rising, better)
    assert not reward_without_skill(flat, same)
    assert not reward_without_skill(rising, few)  # too few cases to see a gain, even if there is one
    assert not reward_without_skill(rising, None)
    assert not reward_without_skill([0.1, 0.9], same)
