"""The words of vignettes: a function of the record, complete, and silent on the disease."""

from __future__ import annotations

from dataclasses import replace

import pytest

from diagnosis_zero.cases.profiles import plain
from diagnosis_zero.cases.teacher import TEACHERS, reasoning
from diagnosis_zero.cases.vignettes import STYLES, generate, render
from diagnosis_zero.cases.world import World, build_world
from diagnosis_zero.types import Case


@pytest.fixture(scope="module")
def world() -> World:
    return build_world(diseases=60, seed=0)


@pytest.fixture(scope="module")
def cases(world: World) -> list[Case]:
    return list(generate(world, 1000, seed=11))


def test_the_same_seed_gives_the_same_cases(world: World, cases: list[Case]) -> None:
    assert list(generate(world, 50, seed=11)) == cases[:50]
    assert [case.text for case in generate(world, 50, seed=12)] != [case.text for case in cases[:50]]


@pytest.mark.parametrize("style", STYLES)
def test_the_words_are_a_function_of_the_record_alone(world: World, cases: list[Case], style: str) -> None:
    for case in cases[:200]:
        assert case.sex is not None
        shuffled = tuple(reversed(case.findings))
        assert render(world, shuffled, case.age, case.sex, style) == render(
            world, case.findings, case.age, case.sex, style
        )


@pytest.mark.parametrize("style", STYLES)
def test_every_finding_stands_in_the_text_and_every_excluded_one_after_a_negation(world: World, style: str) -> None:
    negations = ("No ", "Without ", "Not found: ", " absent.", "no sign of", "was negative", "does not", "excluded")
    for case in generate(world, 400, seed=4, style=style):
        text = case.text.casefold()
        for finding in case.findings:
            phrases = [phrase.casefold() for phrase in world.phrasings[world.column[finding.id]]]
            assert any(phrase in text for phrase in phrases), (finding, case.text)
        denied = [finding for finding in case.findings if finding.excluded]
        if denied:
            last = case.text[max(case.text.find(word) for word in negations) :].casefold()
            closing = case.text.rstrip(".").split(". ")[-1].casefold()
            assert any(word.casefold() in f"{closing}." or word.strip().casefold() in closing for word in negations)
            for finding in denied:
                phrases = [phrase.casefold() for phrase in world.phrasings[world.column[finding.id]]]
                assert any(phrase in closing for phrase in phrases), (finding, case.text, last)


@pytest.mark.parametrize("style", STYLES)
def test_no_text_names_its_disease_or_another_of_the_world(world: World, style: str) -> None:
    names = [f" {plain(disease.name)} " for disease in world.diseases]
    for case in generate(world, 500, seed=6, style=style):
        text = f" {plain(case.text)} "
        assert not [name for name in names if name in text]


def test_lengths_suit_a_tiny_model(world: World, cases: list[Case]) -> None:
    short = [len(case.text.split()) for case in cases]
    full = [len(case.text.split()) for case in generate(world, 300, seed=1, style="full")]
    assert sum(short) / len(short) < 40
    assert max(short) < 80
    assert sum(short) / len(short) < sum(full) / len(full) < 120


def test_wording_varies(world: World, cases: list[Case]) -> None:
    openings = {case.text.split()[0] for case in cases}
    assert len(openings) >= 3
    assert len({case.text for case in cases}) == len(cases)


def test_a_case_holds_what_evaluation_needs(world: World, cases: list[Case]) -> None:
    for case in cases[:100]:
        disease = world.diseases[world.row[case.ids[0]]]
        assert case.names == (disease.name,)
        assert (case.age is None) == (not disease.onset)
        assert set(case.extra) == {"world", "oracle", "oracle_id", "oracle_posterior", "overlap"}
        assert world.fewest <= sum(not finding.excluded for finding in case.findings) <= world.most


@pytest.mark.parametrize("teacher", TEACHERS)
def test_teachers_are_short_consistent_and_name_findings_of_the_case(
    world: World, cases: list[Case], teacher: str
) -> None:
    for case in cases[:300]:
        think, answer = reasoning(world, case, skill=0.5, teacher=teacher)
        assert reasoning(world, replace(case, id="other"), skill=0.5, teacher=teacher) == (think, answer)
        assert answer in think
        assert len(think.split()) <= 25
        evidence = think.replace(answer, "").casefold()
        named = [
            finding
            for finding in case.findings
            if any(phrase.casefold() in evidence for phrase in world.phrasings[world.column[finding.id]])
        ]
        assert len([finding for finding in named if not finding.excluded]) >= 2


@pytest.mark.parametrize("teacher", TEACHERS)
def test_skill_sets_how_often_a_teacher_is_right(world: World, cases: list[Case], teacher: str) -> None:
    def right(skill: float) -> float:
        answers = [reasoning(world, case, skill=skill, teacher=teacher)[1] for case in cases]
        return sum(answer in case.names for answer, case in zip(answers, cases, strict=True)) / len(cases)

    low, high, best = right(0.3), right(0.7), right(1.0)
    assert low + 0.15 < high < best
    assert best > 0.98


def test_the_partner_teacher_errs_by_disease(world: World) -> None:
    """Of each disease it confuses, most patients get one and the same wrong name: greedy decoding keeps that."""
    answers: dict[str, list[str]] = {}
    for case in generate(world, 3000, seed=21):
        answers.setdefault(case.names[0], []).append(reasoning(world, case, skill=0.4)[1])
    wrong = {name: given for name, given in answers.items() if any(answer != name for answer in given)}
    assert len(wrong) == round(0.6 * 60)
    assert all(len(set(given) - {name}) == 1 for name, given in wrong.items())
    share = sum(answer == name for name, given in wrong.items() for answer in given) / sum(map(len, wrong.values()))
    assert share == pytest.approx(0.35, abs=0.04)
