"""The closed world: its probabilities are worked out by hand, summed over everything, and held against samples."""

from __future__ import annotations

import itertools
import math
from collections import Counter

import numpy as np
import pytest

from diagnosis_zero.cases.hpo import Annotation, Hpo, Term, load_hpo
from diagnosis_zero.cases.profiles import AGES, Profile, load_profiles, pooled_frequency, profiles_of
from diagnosis_zero.cases.vignettes import bayes_accuracy, generate, nearest_overlap_accuracy
from diagnosis_zero.cases.vocabulary import SEXES, antichain, names_one
from diagnosis_zero.cases.world import (
    World,
    assemble,
    build_world,
    choose,
    count_distribution,
    log_probabilities,
    log_probability,
    posterior,
)
from diagnosis_zero.errors import InputError
from diagnosis_zero.types import Case, Finding

ROOT, SYSTEM, MALE = "HP:0000118", "HP:0000707", "HP:0010461"


def tiny_hpo() -> Hpo:
    terms = [
        Term(ROOT, "Phenotypic abnormality"),
        Term(SYSTEM, "Abnormality of the nervous system", parents=(ROOT,)),
        Term(MALE, "Abnormality of the male genitalia", parents=(SYSTEM,)),
        Term("T:1", "Seizure", synonyms=("Fits", "Low Set Fits"), parents=(SYSTEM,)),
        Term("T:2", "Ataxia", parents=(SYSTEM,)),
        Term("T:3", "Deafness", parents=(SYSTEM,)),
        Term("T:4", "Cryptorchidism", parents=(MALE,)),
        Term("T:5", "Febrile seizure", parents=("T:1",)),
    ]
    return Hpo({term.id: term for term in terms}, {}, "tiny")


def tiny_world(fewest: int = 1, most: int = 3) -> World:
    diseases = (
        Profile("D:1", "First disease", {"T:1": 0.8, "T:2": 0.5, "T:4": 0.6}, {"birth": 0.5, "infant": 0.5}, 0.95),
        Profile("D:2", "Second disease", {"T:3": 1.0, "T:2": 0.3, "T:5": 0.4}, {}, 0.5),
    )
    return assemble(
        diseases, tiny_hpo(), name="tiny", findings=1.2, noise=0.3, excluded=0.8, phrasings=2,
        fewest=fewest, most=most, onset={name: 1 / len(AGES) for name in AGES},
    )  # fmt: skip


def record(world: World, seen: tuple[str, ...], denied: tuple[str, ...], age: str | None, sex: str) -> Case:
    findings = [Finding(t, t) for t in seen] + [Finding(t, t, excluded=True) for t in denied]
    return Case("x", "vignettes", "x", "", ("?",), (), age, sex, findings=tuple(findings))


def test_the_vocabulary_is_an_antichain() -> None:
    # Seizure weighs more than febrile seizure, so the narrow term is merged into it.
    assert tiny_world().terms == ("T:1", "T:2", "T:3", "T:4")
    assert antichain(tiny_hpo(), ["T:5", "T:1"]) == {"T:5": "T:5"}  # the narrow one first: the broad one goes
    hpo, world = load_hpo(), build_world(diseases=60, seed=3)
    assert all(not hpo.ancestors(term) & set(world.terms) for term in world.terms)


def test_phrasings_leave_out_title_case_and_start_with_the_label() -> None:
    world = tiny_world()
    assert world.phrasings[world.column["T:1"]] == ("seizure", "fits")


def test_a_probability_worked_by_hand() -> None:
    world = tiny_world()
    # D:1, male: expected findings 0.8 + 0.5 + 0.6 = 1.9, so reported at 1.2 / 1.9; one other term: noise 0.3.
    # Terms are on 2, 2, 1, 1 lists (T:1 and T:5 are one), so asked at 0.8 x (2, 2, 1, 1) / 6.
    rate, ask = 1.2 / 1.9, np.array([2, 2, 1, 1]) * 0.8 / 6
    seen = np.array([0.8 * rate, 0.5 * rate, 0.3, 0.6 * rate])
    denied = np.array([0.2, 0.5, 0.7, 0.4]) * ask
    rest = 1 - seen - denied
    none = np.prod(1 - seen)
    many = np.prod(seen)
    by_hand = 0.95 * (0.9 * 0.5 + 0.1 / 8) * seen[0] * denied[1] * rest[2] * rest[3] / (1 - none - many)
    case = record(world, ("T:1",), ("T:2",), "P0D", "MALE")
    assert math.exp(log_probability(world, "D:1", case)) == pytest.approx(by_hand, rel=1e-12)


def every_record(world: World) -> list[Case]:
    states = itertools.product("-+o", repeat=len(world.terms))
    told = [
        (
            tuple(t for t, s in zip(world.terms, state, strict=True) if s == "+"),
            tuple(t for t, s in zip(world.terms, state, strict=True) if s == "o"),
        )
        for state in states
    ]
    return [
        record(world, seen, denied, age, sex) for (seen, denied), age, sex in itertools.product(told, world.ages, SEXES)
    ]


@pytest.mark.parametrize(("fewest", "most"), [(0, 4), (1, 3), (2, 2)])
def test_probabilities_of_all_records_sum_to_one(fewest: int, most: int) -> None:
    world = tiny_world(fewest, most)
    total = sum(np.exp(log_probabilities(world, case)) for case in every_record(world))
    assert total == pytest.approx(np.ones(2), rel=1e-9)


def test_sampled_frequencies_agree_with_the_probabilities() -> None:
    world, n = tiny_world(), 12_000
    counts: Counter[tuple[object, ...]] = Counter()
    for case in generate(world, n, seed=5):
        counts[_key(case)] += 1
    expected: Counter[tuple[object, ...]] = Counter()
    for case in every_record(world):
        expected[_key(case)] += n * float(np.exp(log_probabilities(world, case)).mean())  # type: ignore[assignment]
    assert not set(counts) - {key for key, number in expected.items() if number > 0}
    common = [key for key, number in expected.items() if number >= 10]
    chi2 = sum((counts[key] - expected[key]) ** 2 / expected[key] for key in common)
    freedom = len(common) - 1
    assert len(common) > 60
    assert abs(chi2 - freedom) < 4 * math.sqrt(2 * freedom)  # chi-square: mean = freedom, variance = 2 freedom


def _key(case: Case) -> tuple[object, ...]:
    """Ages by class: birth, infancy, other, none."""
    age = None if case.age is None else next(name for name, ages in AGES.items() if case.age in ages)
    shown = frozenset((finding.id, finding.excluded) for finding in case.findings)
    return case.sex, age if age in (None, "birth", "infant") else "other", shown


def test_a_wrong_rate_would_be_noticed() -> None:
    """Negative control of the test above: other noise, and the same statistic is far out."""
    world, n = tiny_world(), 5_000
    expected = sum(float(np.exp(log_probabilities(world, case)).mean()) for case in every_record(world)
                   if any(f.id == "T:3" and not f.excluded for f in case.findings))  # fmt: skip
    other = assemble(
        world.diseases, tiny_hpo(), name="other", findings=1.2, noise=0.45, excluded=0.8, phrasings=2,
        fewest=1, most=3, onset={name: 1 / len(AGES) for name in AGES},
    )  # fmt: skip
    share = np.mean([any(f.id == "T:3" and not f.excluded for f in c.findings) for c in generate(other, n, 5)])
    same = np.mean([any(f.id == "T:3" and not f.excluded for f in c.findings) for c in generate(world, n, 5)])
    error = math.sqrt(expected * (1 - expected) / n)
    assert abs(same - expected) < 3 * error < abs(share - expected)


def test_findings_of_the_other_sex_are_impossible() -> None:
    world = tiny_world()
    assert np.all(np.isneginf(log_probabilities(world, record(world, ("T:4",), (), None, "FEMALE"))))
    assert all(f.id != "T:4" for case in generate(world, 3000, 1) if case.sex == "FEMALE" for f in case.findings)


def test_the_count_distribution_against_all_subsets() -> None:
    chances = np.array([0.2, 0.5, 0.9])
    slow = np.zeros(6)
    for happened in itertools.product([0, 1], repeat=5):
        weights = np.concatenate([chances, [0.1, 0.1]])
        slow[sum(happened)] += np.prod(np.where(happened, weights, 1 - weights))
    assert count_distribution(chances, 2, 0.1, most=5) == pytest.approx(slow)
    assert count_distribution(chances, 2, 0.1, most=2) == pytest.approx(slow[:3])


def test_posterior_and_oracle_beat_the_baseline() -> None:
    world = build_world(diseases=60, seed=1, findings=3, noise=2)
    cases = list(generate(world, 400, seed=2))
    assert posterior(world, cases[0]).sum() == pytest.approx(1)
    best, simple = bayes_accuracy(world, cases), nearest_overlap_accuracy(world, cases)
    assert simple < best
    assert simple > 1 / 60


def test_the_oracle_is_calibrated() -> None:
    """The mean posterior of the oracle's answer is its accuracy: it would not be, were the process another."""
    world = build_world(diseases=60, seed=1, findings=2, noise=3, fewest=1)
    cases = list(generate(world, 2000, seed=3))
    promised = np.array([float(case.extra["oracle_posterior"]) for case in cases])
    kept = np.array([case.extra["oracle_id"] in case.ids for case in cases])
    error = math.sqrt(float((promised * (1 - promised)).sum())) / len(cases)
    assert kept.mean() < 0.97
    assert abs(kept.mean() - promised.mean()) < 3 * error


def test_a_record_of_another_world_is_refused() -> None:
    world = tiny_world()
    with pytest.raises(InputError, match="not of the world"):
        log_probabilities(world, record(world, ("T:99",), (), None, "MALE"))


def test_a_disease_of_one_sex_has_patients_of_that_sex() -> None:
    terms = [Term(f"M:{n}", f"Finding {n}", parents=(MALE,)) for n in range(4)]
    hpo = Hpo({**tiny_hpo().terms, **{term.id: term for term in terms}}, {}, "tiny")
    disease = Profile("D:3", "Third disease", {term.id: 0.9 for term in terms} | {"T:1": 0.5}, {}, 0.5)
    world = assemble(
        [*tiny_world().diseases, disease], hpo, name="tiny", findings=2, noise=0.3, excluded=0.8, phrasings=1,
        fewest=0, most=5, onset={name: 1 / len(AGES) for name in AGES},
    )  # fmt: skip
    assert np.exp(world.log_sex[2]) == pytest.approx([0.98, 0.02])
    assert np.exp(world.log_sex[1]) == pytest.approx([0.5, 0.5])


def test_bounds_that_no_patient_meets_are_an_input_error() -> None:
    with pytest.raises(InputError, match="too seldom"):
        build_world(diseases=20, seed=0, findings=6, fewest=30, most=40)


def test_a_record_that_no_disease_allows_has_no_posterior() -> None:
    world = tiny_world()
    with pytest.raises(InputError, match="impossible"):
        posterior(world, record(world, ("T:4",), (), None, "FEMALE"))


def test_the_same_seed_gives_the_same_world_and_another_another() -> None:
    one, again, other = (build_world(diseases=30, seed=seed) for seed in (7, 7, 8))
    assert [d.id for d in one.diseases] == [d.id for d in again.diseases]
    assert np.array_equal(one.frequency, again.frequency)
    assert [d.id for d in one.diseases] != [d.id for d in other.diseases]


def test_the_mean_number_of_findings_is_what_was_asked_for() -> None:
    world = build_world(diseases=60, seed=0, findings=6, noise=1, excluded=2, fewest=0, most=60)
    cases = list(generate(world, 1500, seed=1))
    assert np.mean([sum(not f.excluded for f in c.findings) for c in cases]) == pytest.approx(7, abs=0.25)
    assert np.mean([sum(f.excluded for f in c.findings) for c in cases]) == pytest.approx(2, abs=0.2)


def test_more_diseases_than_there_are_is_an_input_error() -> None:
    with pytest.raises(InputError, match="have enough annotated findings"):
        choose(load_profiles(), 10_000, 0, findings=6)


def test_profiles_join_the_nomenclatures_by_name() -> None:
    rows = [
        Annotation("ORPHA:1", "Some Disease", "T:1", "P", frequency=0.5),
        Annotation("ORPHA:1", "Some Disease", "T:2", "P", negated=True),
        Annotation("OMIM:1", "Some disease", "HP:0001419", "I"),
        Annotation("OMIM:1", "Some disease", "HP:0003593", "C"),
        Annotation("OMIM:1", "Some disease", "HP:0003623", "C"),
        Annotation("ORPHA:2", "X-linked other disease", "T:1", "P"),
    ]
    first, second = profiles_of(rows, "ORPHA")
    assert first == Profile("ORPHA:1", "Some Disease", {"T:1": 0.5}, {"infant": 0.5, "newborn": 0.5}, 0.95)
    assert (second.male, second.onset, second.findings) == (0.8, {}, {"T:1": 0.5})


def test_counted_patients_are_pooled() -> None:
    rows = [
        Annotation("D", "d", "T:1", "P", frequency=1.0, patients=2),
        Annotation("D", "d", "T:1", "P", frequency=0.25, patients=8),
        Annotation("D", "d", "T:1", "P"),
    ]
    assert pooled_frequency(rows) == pytest.approx(4 / 10)
    assert pooled_frequency(rows[2:]) == 0.5


def test_marfan_syndrome_has_onset_and_inheritance_of_omim() -> None:
    by_name = {profile.name: profile for profile in load_profiles("ORPHA")}
    assert by_name["Marfan syndrome"].findings["HP:0001519"] == 0.895
    assert by_name["Marfan syndrome"].male == 0.5
    assert by_name["Norrie disease"].male == 0.95


def test_names_are_found_as_whole_words() -> None:
    assert names_one("Isolated Marfan-syndrome, mild", {"marfan syndrome"})
    assert not names_one("Goutte", {"gout"})
