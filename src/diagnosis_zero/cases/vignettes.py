"""Vignettes: synthetic patients of a closed world of diseases, written as short varied prose.

The text is a function of findings, excluded findings, age at onset and sex alone: the same record gives
the same words, so that nothing but the record tells of the disease, and the oracle (the posterior of the
world's own probabilities) bounds what any reader can reach.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from random import Random

import numpy as np
from numpy.typing import NDArray

from diagnosis_zero.cases.profiles import Profile
from diagnosis_zero.cases.prose import article, at_age, duration, listed, sentence_start
from diagnosis_zero.cases.vocabulary import SEXES
from diagnosis_zero.cases.world import (
    World,
    build_world,
    log_probabilities,
    log_probability,
    posterior,
    states,
)
from diagnosis_zero.types import Case, Finding

__all__ = [
    "STYLES",
    "World",
    "bayes_accuracy",
    "build_world",
    "generate",
    "log_probabilities",
    "log_probability",
    "nearest_overlap",
    "nearest_overlap_accuracy",
    "oracle",
    "posterior",
]


def generate(world: World, cases: int, seed: int, style: str = "short") -> Iterator[Case]:
    """``cases`` patients of the world, diseases equally frequent; the same call gives the same patients.

    ``style`` is a key of ``STYLES``. ``extra`` holds the name of the world, the oracle's answer (the most
    probable disease, by name and id), its posterior probability, and the answer of the overlap baseline.
    """
    rng = np.random.default_rng([seed, len(world.diseases)])
    for index in range(cases):
        disease = int(rng.integers(len(world.diseases)))
        yield _case(world, disease, f"vignette-s{seed}-{index:06d}", rng, style)


def oracle(world: World, case: Case) -> tuple[Profile, float]:
    """The most probable disease given all that the record says, and its posterior probability."""
    shares = posterior(world, case)
    best = int(shares.argmax())
    return world.diseases[best], float(shares[best])


def nearest_overlap(world: World, case: Case) -> Profile:
    """Baseline: the disease with most of the findings on its list; of equal ones the shortest list."""
    seen = [world.column[finding.id] for finding in case.findings if not finding.excluded]
    shared_D = (world.frequency[:, seen] > 0).sum(axis=1)
    return world.diseases[int(np.lexsort((_list_lengths(world), -shared_D))[0])]


@lru_cache(maxsize=8)
def _list_lengths(world: World) -> NDArray[np.int64]:
    lengths: NDArray[np.int64] = (world.frequency > 0).sum(axis=1)
    return lengths


def bayes_accuracy(world: World, cases: Iterable[Case]) -> float:
    """Share of cases whose most probable disease is the true one: no reader does better on average."""
    return float(np.mean([oracle(world, case)[0].id in case.ids for case in cases]))


def nearest_overlap_accuracy(world: World, cases: Iterable[Case]) -> float:
    """Share of cases that the overlap baseline gets right."""
    return float(np.mean([nearest_overlap(world, case).id in case.ids for case in cases]))


def _case(world: World, disease: int, identifier: str, rng: np.random.Generator, style: str) -> Case:
    sex = 0 if rng.random() < np.exp(world.log_sex[disease, 0]) else 1
    age = world.ages[rng.choice(len(world.ages), p=np.exp(world.log_age[disease]))]
    findings = _draw_findings(world, disease, sex, rng)
    profile = world.diseases[disease]
    case = Case(
        id=identifier,
        source="vignettes",
        source_id=identifier,
        text=render(world, findings, age, SEXES[sex], style),
        names=(profile.name,),
        ids=(profile.id,),
        age=age,
        sex=SEXES[sex],
        findings=findings,
    )
    return replace(case, extra=_references(world, case))


def _draw_findings(world: World, disease: int, sex: int, rng: np.random.Generator) -> tuple[Finding, ...]:
    """Findings and excluded findings, drawn again until their number is within the world's bounds."""
    seen, denied = states(world, disease, sex)
    while True:
        draw = rng.random(len(world.terms))
        present = np.flatnonzero(draw < seen)
        if world.fewest <= len(present) <= world.most:
            break
    absent = np.flatnonzero((draw >= seen) & (draw < seen + denied))
    told = [(column, False) for column in present] + [(column, True) for column in absent]
    return tuple(Finding(world.terms[column], world.labels[column], excluded) for column, excluded in told)


def _references(world: World, case: Case) -> dict[str, str]:
    best, share = oracle(world, case)
    return {
        "world": world.name,
        "oracle": best.name,
        "oracle_id": best.id,
        "oracle_posterior": f"{share:.6f}",
        "overlap": nearest_overlap(world, case).name,
    }


def render(world: World, findings: Sequence[Finding], age: str | None, sex: str, style: str = "short") -> str:
    """The record in words. Wording and order are drawn from a hash of the record itself.

    Raises:
        KeyError: ``style`` is not one of ``STYLES``.
    """
    draw = Random(_fingerprint(findings, age, sex))
    told = {excluded: [f for f in findings if f.excluded is excluded] for excluded in (False, True)}
    words = {
        excluded: [draw.choice(world.phrasings[world.column[finding.id]]) for finding in _sorted(part)]
        for excluded, part in told.items()
    }
    for phrases in words.values():
        draw.shuffle(phrases)
    return STYLES[style](draw, words[False], words[True], age, sex)


def _sorted(findings: Iterable[Finding]) -> list[Finding]:
    return sorted(findings, key=lambda finding: finding.id)


def _fingerprint(findings: Sequence[Finding], age: str | None, sex: str) -> int:
    record = "|".join([age or "", sex, *(f"{'-' * finding.excluded}{finding.id}" for finding in _sorted(findings))])
    return int.from_bytes(hashlib.blake2b(record.encode(), digest_size=8).digest(), "big")


_SHORT = (
    "{Person} has {found}.{Onset}",
    "{Person} with {found}.{Onset}",
    "{Onset} {Person} shows {found}.",
    "Findings in {person}: {found}.{Onset}",
)
_SHORT_ONSET = (" First signs {onset}.", " Onset {onset}.")
_SHORT_DENIED = ("No {either}.", "Without {either}.", "Not found: {both}.", "{both} absent.")


def _short(draw: Random, seen: Sequence[str], denied: Sequence[str], age: str | None, sex: str) -> str:
    """About 35 words: a sentence with the findings, one with the onset, one with the excluded findings."""
    person = article(_noun(age, sex))
    onset = draw.choice(_SHORT_ONSET).format(onset=at_age(age)) if age else ""
    text = draw.choice(_SHORT).format(person=person, Person=sentence_start(person), found=listed(seen), Onset=onset)
    return _joined([text, _denial(draw.choice(_SHORT_DENIED), denied)])


_OPENINGS = (
    "{Person} is seen because of {found}.",
    "We report on {person} with {found}.",
    "The leading findings in this {noun} are {found}.",
    "The patient, {person}, has {found}.",
)
_ONSETS = (
    "The first signs of illness appeared {onset}.",
    "The illness became apparent {onset}.",
    "First signs were noticed {onset}.",
)
_MIDDLES = (
    "Examination and investigations also show {found}.",
    "{pronoun} also has {found}.",
    "In addition, there is evidence of {found}.",
    "Besides, the record lists {found}.",
)
_ENDINGS = (
    "The notes mention {found} as well.",
    "{pronoun} further has {found}.",
    "Finally, the examiners describe {found}.",
)
_DENIED = (
    "There is no sign of {either}.",
    "The search for {both} was negative.",
    "{pronoun} does not have {either}.",
    "The following could be excluded: {both}.",
)


def _full(draw: Random, seen: Sequence[str], denied: Sequence[str], age: str | None, sex: str) -> str:
    """About 60 words: the findings over three sentences, the onset, then the excluded findings."""
    noun = _noun(age, sex)
    words = {
        "noun": noun,
        "person": article(noun),
        "Person": sentence_start(article(noun)),
        "pronoun": "He" if sex == "MALE" else "She",
        "onset": at_age(age) if age else "",
    }
    first = (len(seen) + 1) // 2
    second = first + (len(seen) - first + 1) // 2
    parts = (
        (_OPENINGS, listed(seen[:first])),
        (_ONSETS, words["onset"]),
        (_MIDDLES, listed(seen[first:second])),
        (_ENDINGS, listed(seen[second:])),
    )
    sentences = [draw.choice(templates).format(found=told, **words) for templates, told in parts if told]
    return _joined([*sentences, _denial(draw.choice(_DENIED), denied, words["pronoun"])])


STYLES: Mapping[str, Callable[[Random, Sequence[str], Sequence[str], str | None, str], str]] = {
    "short": _short,
    "full": _full,
}
"""Ways to write a record, by name."""


def _denial(template: str, denied: Sequence[str], pronoun: str = "") -> str:
    if not denied:
        return ""
    return template.format(either=listed(denied, "or"), both=listed(denied), pronoun=pronoun)


def _joined(parts: Iterable[str]) -> str:
    return " ".join(sentence_start(part.strip()) for part in parts if part)


def _noun(age: str | None, sex: str) -> str:
    """By the age at onset, the only one that a record tells."""
    if age is None:
        return f"{sex.lower()} patient"
    return {"MALE": ("boy", "man"), "FEMALE": ("girl", "woman")}[sex][duration(age)[0] >= 18]
