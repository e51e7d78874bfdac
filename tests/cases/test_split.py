"""Splits: sizes by hand, what may never stand on two sides, and the same answer for the same seed."""

from __future__ import annotations

from collections import Counter, defaultdict
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from diagnosis_zero.cases.split import RULES, Key, assign, connected, disease_key, rule_named
from diagnosis_zero.errors import InputError
from diagnosis_zero.types import Case

KEYS = st.lists(st.lists(st.sampled_from("abcdefghijkl"), min_size=1, max_size=3).map(tuple), min_size=1, max_size=60)


def case(*names: str, ids: tuple[str, ...] = ()) -> Case:
    return Case(id="1", source="test", source_id="1", text="", names=names, ids=ids)


def test_seed_takes_the_file_in_order() -> None:
    splits = assign([()] * 20, RULES["seed"].hold_out)
    assert splits == ["train"] * 12 + ["val"] * 2 + ["test"] * 6  # 14 train, of which floor(0.9 * 14) = 12 stay


def test_seed_cuts_where_the_original_did() -> None:
    assert Counter(assign([()] * 22_901, RULES["seed"].hold_out))["test"] == 22_901 - 16_030
    assert Counter(assign([()] * 90, RULES["seed"].hold_out))["test"] == 90 - 62  # int(0.7 * 90) in floating point


def test_random_has_the_same_sizes_in_another_order_for_every_seed() -> None:
    one, two = (assign([()] * 200, RULES["random"].hold_out, seed) for seed in (1, 2))
    assert Counter(one) == Counter(two) == {"train": 126, "val": 14, "test": 60}
    assert one != two
    assert one == assign([()] * 200, RULES["random"].hold_out, 1)


def test_date_holds_out_the_latest_and_trains_on_the_undated() -> None:
    keys: list[Key] = [("2020",), ("2024-07-01",), ("",), ("2024-07",), ("2021-01-01",), ("2019-05-05",)] + [
        (f"2018-01-{day:02d}",) for day in range(1, 5)
    ]
    splits = assign(keys, RULES["date"].hold_out)
    assert [key for key, split in zip(keys, splits, strict=True) if split == "test"] == [
        ("2024-07-01",),
        ("2024-07",),
        ("2021-01-01",),
    ]
    assert splits[0] == "val"  # the latest of the seven that are left
    assert splits[2] == "train"


def test_date_needs_only_some_dates() -> None:
    keys: list[Key] = [("",)] * 7 + [("2020",)] * 3
    assert assign(keys, RULES["date"].hold_out) == ["train"] * 6 + ["val"] + ["test"] * 3


def test_date_without_any_date_says_so() -> None:
    with pytest.raises(InputError, match="no case has a date"):
        assign([("",)] * 3, RULES["date"].hold_out)


def test_cases_are_one_disease_by_id_or_by_name_or_by_way_of_a_third() -> None:
    keys = [
        disease_key(case("Marfan syndrome", ids=("ORPHA:558",))),
        disease_key(case("MFS", ids=("OMIM:154700", "ORPHA:558"))),
        disease_key(case("mfs", ids=("GARD:6975",))),
        disease_key(case("Marfan's Syndrome")),
        disease_key(case("Loeys-Dietz syndrome", ids=("ORPHA:60030",))),
    ]
    assert connected(keys) == [0, 0, 0, 0, 1]


def test_a_name_without_latin_letters_still_makes_a_key() -> None:
    assert connected([disease_key(case("肺癌")), disease_key(case("肝癌")), disease_key(case("肺癌"))]) == [0, 1, 0]


@given(KEYS)
def test_connected_is_the_closure_of_sharing_an_element(keys: list[Key]) -> None:
    groups = list(range(len(keys)))  # the slow way: merge any two that share, until nothing changes
    changed = True
    while changed:
        changed = False
        for i, j in combinations(range(len(keys)), 2):
            if groups[i] != groups[j] and set(keys[i]) & set(keys[j]):
                groups = [groups[i] if group == groups[j] else group for group in groups]
                changed = True
    numbers: dict[int, int] = {}
    assert connected(keys) == [numbers.setdefault(group, len(numbers)) for group in groups]


@given(KEYS, st.integers(0, 3))
def test_no_group_is_divided_and_no_side_is_larger_than_its_share(keys: list[Key], seed: int) -> None:
    splits = assign(keys, RULES["disease"].hold_out, seed)
    sides = defaultdict(set)
    for group, split in zip(connected(keys), splits, strict=True):
        sides[group].add(split)
    assert all(len(found) == 1 for found in sides.values())
    sizes = Counter(splits)
    assert sizes["test"] <= 0.3 * len(keys) + 1
    assert sizes["val"] <= 0.1 * (len(keys) - sizes["test"]) + 1
    assert splits == assign(keys, RULES["disease"].hold_out, seed)


def test_many_small_groups_fill_their_shares_exactly() -> None:
    keys = [(str(number // 2),) for number in range(1000)]
    assert Counter(assign(keys, RULES["article"].hold_out)) == {"train": 630, "val": 70, "test": 300}


def test_a_rule_that_does_not_exist_names_the_nearest() -> None:
    with pytest.raises(InputError, match=r"no split 'deseases'\. Did you mean 'disease'"):
        rule_named("deseases")
