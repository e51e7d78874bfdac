"""A closed world of rare diseases in which every probability is known.

Built from the HPO annotations: which findings a disease has and how often, at what age it starts, which
sex it strikes. The world defines how a patient's record comes about, so that P(record | disease) is
exact, and with it the best accuracy that any reader of the records can reach. The process, for one
patient of disease d:

1. Sex: male with d's share of male patients; ``ONE_SEX`` of the patients have the sex that d's findings are of, where
   the other cannot have half of them.
2. Age at onset, where d's is annotated: with probability ``ANNOTATED_ONSET`` from d's onset classes, else
   from the average of all annotated diseases; within a class every age of ``AGES`` is alike. A disease
   without annotated onset has records without an age.
3. Every term of the vocabulary on its own, given d and the sex. A term on d's list is present with its
   annotated frequency, and when present is reported, at one rate for the whole list, set so that
   ``findings`` are reported on average. A term not on the list is reported by coincidence, ``noise`` of
   them on average. What is not present is explicitly excluded at a rate proportional to the number of
   diseases that have the term (a physician asks for the common ones), ``excluded`` of them on average.
   Terms of the other sex are neither reported nor excluded.
4. Step 3 is repeated until between ``fewest`` and ``most`` findings are reported.

The vocabulary is an antichain: no term is a kind of another, so that a record neither says a thing twice nor
contradicts itself.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from diagnosis_zero.cases.hpo import Hpo, load_hpo
from diagnosis_zero.cases.profiles import AGES, Nomenclature, Profile, load_profiles, plain
from diagnosis_zero.cases.vocabulary import SEXES, common_vocabulary, possible
from diagnosis_zero.errors import InputError
from diagnosis_zero.types import Case

Floats = NDArray[np.float64]

ANNOTATED_ONSET = 0.9
"""Share of patients whose onset follows the annotation of their disease."""
MOST_REPORTED, MOST_ASKED = 0.95, 0.5
"""Upper bounds of the rates at which a present finding is reported and an absent one excluded or imagined."""
ROOM = 1.5
"""A disease takes part when the frequencies on its list add up to this many times ``findings``."""

ONE_SEX, LEAST_ACCEPTED = 0.98, 1e-3
LONGEST_NAME = 8
"""Words in the name of a disease that takes part: an answer, and no description of the whole syndrome."""


@dataclass(frozen=True, eq=False)
class World:
    """Diseases (axis D), vocabulary (V), sexes (S), ages (A), and what is probable among them."""

    name: str
    diseases: tuple[Profile, ...]
    row: Mapping[str, int]
    """Disease id to its place in D."""
    terms: tuple[str, ...]
    column: Mapping[str, int]
    """HPO id to its place in V."""
    labels: tuple[str, ...]
    phrasings: tuple[tuple[str, ...], ...]
    """(V,): the ways to write each term within a sentence, its label first."""
    fewest: int
    most: int
    frequency: Floats
    """(D, V): share of patients with the finding; 0 where it is not on the disease's list."""
    possible: NDArray[np.bool_]
    """(S, V): whether this sex can have the finding."""
    asked: Floats
    """(V,): P(explicitly excluded | not present)."""
    reported: Floats
    """(D, S): P(reported | present), one rate for the disease's whole list."""
    coincidence: Floats
    """(D, S): P(reported) of each term that is not on the list."""
    log_rest: Floats
    """(D, S): log P(no term is mentioned at all)."""
    log_accept: Floats
    """(D, S): log P(fewest <= number of findings <= most)."""
    log_sex: Floats
    """(D, S)."""
    ages: tuple[str | None, ...]
    log_age: Floats
    """(D, A); an age of None is a record that does not tell it."""


def build_world(
    *,
    diseases: int,
    seed: int,
    findings: float = 6,
    noise: float = 1,
    excluded: float = 2,
    source: Nomenclature = "ORPHA",
    phrasings: int = 2,
    fewest: int = 4,
    most: int = 12,
) -> World:
    """A world of ``diseases`` diseases, chosen by ``seed`` among those with enough annotated findings.

    ``findings``, ``noise`` and ``excluded`` are average numbers a patient (before step 4 of the module's
    docstring); ``phrasings`` is the largest number of ways to write one term.

    Raises:
        InputError: more diseases asked for than have enough findings.
    """
    chosen = choose(load_profiles(source), diseases, seed, findings)
    name = f"hpo-{load_hpo().version}-{source}-{diseases}-seed{seed}-f{findings:g}-n{noise:g}-x{excluded:g}"
    name += f"-{fewest}to{most}-p{phrasings}"
    return assemble(
        chosen, load_hpo(), name=name, findings=findings, noise=noise, excluded=excluded,
        phrasings=phrasings, fewest=fewest, most=most, onset=average_onset(load_profiles("OMIM")),
    )  # fmt: skip


def choose(profiles: Sequence[Profile], diseases: int, seed: int, findings: float) -> tuple[Profile, ...]:
    """Diseases with room for ``findings`` findings and names of their own, drawn without return."""
    names = Counter(plain(profile.name) for profile in profiles)
    able = [
        profile
        for profile in profiles
        if sum(profile.findings.values()) >= ROOM * findings
        and len(plain(profile.name).split()) <= LONGEST_NAME
        and names[plain(profile.name)] == 1
    ]
    if diseases > len(able):
        mend = "Ask for fewer diseases or fewer findings."
        raise InputError(f"{diseases} diseases asked for, {len(able)} have enough annotated findings", mend=mend)
    drawn = np.random.default_rng(seed).permutation(len(able))[:diseases]
    return tuple(able[index] for index in sorted(drawn))


def average_onset(profiles: Sequence[Profile]) -> dict[str, float]:
    """The mean onset distribution of the diseases that have one."""
    annotated = [profile.onset for profile in profiles if profile.onset]
    return {name: sum(onset.get(name, 0.0) for onset in annotated) / len(annotated) for name in AGES}


def assemble(
    diseases: Sequence[Profile],
    hpo: Hpo,
    *,
    name: str,
    findings: float,
    noise: float,
    excluded: float,
    phrasings: int,
    fewest: int,
    most: int,
    onset: Mapping[str, float],
) -> World:
    """The world of these diseases: vocabulary, rates and the constants of the likelihood."""
    lists, written = common_vocabulary(diseases, hpo, phrasings)
    terms = tuple(sorted(written))
    frequency_DV = np.array([[shares.get(term, 0.0) for term in terms] for shares in lists])
    possible_SV = np.array([[possible(hpo, term, sex) for term in terms] for sex in SEXES])
    having_V = (frequency_DV > 0).sum(axis=0)
    asked_V = np.minimum(MOST_ASKED, excluded * having_V / having_V.sum())
    expected_DS = frequency_DV @ possible_SV.T
    reported_DS = np.minimum(MOST_REPORTED, findings / np.maximum(expected_DS, findings))
    others_DS = (frequency_DV == 0).astype(float) @ possible_SV.T
    coincidence_DS = np.minimum(MOST_ASKED, noise / np.maximum(others_DS, 1))
    log_rest_DS, log_accept_DS = np.zeros((2, len(diseases), len(SEXES)))
    for d, s in np.ndindex(log_rest_DS.shape):
        seen, denied = _states(frequency_DV[d], possible_SV[s], asked_V, reported_DS[d, s], coincidence_DS[d, s])
        counts = count_distribution(seen[frequency_DV[d] > 0], int(others_DS[d, s]), coincidence_DS[d, s], most)
        log_rest_DS[d, s] = np.log1p(-seen - denied).sum()
        log_accept_DS[d, s] = np.log(counts[fewest:].sum())
    male_D = _male_share(diseases, expected_DS / frequency_DV.sum(axis=1, keepdims=True))
    _check_counts(np.exp(log_accept_DS), fewest, most)
    ages, log_age_DA = _log_ages(diseases, onset)
    return World(
        name=name,
        diseases=tuple(diseases),
        row={profile.id: row for row, profile in enumerate(diseases)},
        terms=terms,
        column={term: index for index, term in enumerate(terms)},
        labels=tuple(hpo.terms[term].label for term in terms),
        phrasings=tuple(written[term] for term in terms),
        fewest=fewest,
        most=most,
        frequency=frequency_DV,
        possible=possible_SV,
        asked=asked_V,
        reported=reported_DS,
        coincidence=coincidence_DS,
        log_rest=log_rest_DS,
        log_accept=log_accept_DS,
        log_sex=np.log(np.stack([male_D, 1 - male_D], axis=1)),
        ages=ages,
        log_age=log_age_DA,
    )


def _male_share(diseases: Sequence[Profile], possible_DS: Floats) -> Floats:
    """The annotated shares, but where a sex can have less than half of the list, nearly all are of the other."""
    male_D = np.array([profile.male for profile in diseases])
    male_D = np.where(possible_DS[:, 0] < 0.5, 1 - ONE_SEX, male_D)
    return np.where(possible_DS[:, 1] < 0.5, ONE_SEX, male_D)


def _check_counts(accepted_DS: Floats, fewest: int, most: int) -> None:
    if accepted_DS.min() < LEAST_ACCEPTED:
        what = f"between {fewest} and {most} findings are too seldom reported ({accepted_DS.min():.1g} of the patients)"
        raise InputError(what, mend="Widen fewest and most, or bring findings between them.")


def states(world: World, disease: int, sex: int) -> tuple[Floats, Floats]:
    """For each term of the vocabulary, P(reported as present) and P(reported as absent), shape (V,) each."""
    reported, coincidence = world.reported[disease, sex], world.coincidence[disease, sex]
    return _states(world.frequency[disease], world.possible[sex], world.asked, reported, coincidence)


def _states(
    frequency: Floats, possible: NDArray[np.bool_], asked: Floats, reported: Floats, coincidence: Floats
) -> tuple[Floats, Floats]:
    listed = frequency > 0
    present = np.where(listed, frequency, coincidence)
    can = possible.astype(float)
    return can * present * np.where(listed, reported, 1.0), can * (1 - present) * asked


def count_distribution(chances: Floats, others: int, chance: float, most: int) -> Floats:
    """P(k events happen) for k = 0..most, shape (most + 1,), of independent events: one for each of ``chances``
    (Poisson-binomial, one event added after the other) and ``others`` that all have the one ``chance``."""
    counts = np.zeros(most + 1)
    counts[0] = 1.0
    for one in chances:
        counts[1:] = counts[1:] * (1 - one) + counts[:-1] * one
        counts[0] *= 1 - one
    binomial = [math.comb(others, k) * chance**k * (1 - chance) ** (others - k) for k in range(min(most, others) + 1)]
    return np.convolve(counts, binomial)[: most + 1]


def log_probabilities(world: World, case: Case) -> Floats:
    """log P(findings, excluded findings, age, sex | disease) for every disease, shape (D,); -inf: impossible.

    Raises:
        InputError: the case holds a finding, an age or a sex that this world does not know.
    """
    try:
        seen = [world.column[finding.id] for finding in case.findings if not finding.excluded]
        denied = [world.column[finding.id] for finding in case.findings if finding.excluded]
        sex, age = SEXES.index(case.sex or ""), world.ages.index(case.age)
    except (KeyError, ValueError) as error:
        raise InputError(f"case {case.id!r} is not of the world {world.name!r}: {error}") from error
    if not world.fewest <= len(seen) <= world.most:
        return np.full(len(world.diseases), -np.inf)
    told = seen + denied
    seen_DT, denied_DT = _states(
        world.frequency[:, told], world.possible[sex, told], world.asked[told],
        world.reported[:, sex, None], world.coincidence[:, sex, None],
    )  # fmt: skip
    with np.errstate(divide="ignore"):
        chosen_DT = np.log(np.concatenate([seen_DT[:, : len(seen)], denied_DT[:, len(seen) :]], axis=1))
    findings_D = (chosen_DT - np.log1p(-seen_DT - denied_DT)).sum(axis=1)
    constant_D = world.log_rest[:, sex] - world.log_accept[:, sex]
    total: Floats = world.log_sex[:, sex] + world.log_age[:, age] + constant_D + findings_D
    return total


def log_probability(world: World, disease_id: str, case: Case) -> float:
    """log P(findings, excluded findings, age, sex | disease) of one disease."""
    return float(log_probabilities(world, case)[world.row[disease_id]])


def posterior(world: World, case: Case) -> Floats:
    """P(disease | findings, excluded findings, age, sex), every disease being equally frequent; shape (D,).

    Raises:
        InputError: no disease of this world could have this record.
    """
    logs = log_probabilities(world, case)
    if np.isneginf(logs).all():
        raise InputError(f"case {case.id!r} is impossible in the world {world.name!r}")
    weights = np.exp(logs - logs.max())
    shares: Floats = weights / weights.sum()
    return shares


def _log_ages(diseases: Sequence[Profile], average: Mapping[str, float]) -> tuple[tuple[str | None, ...], Floats]:
    groups = [*AGES.items()]
    table = np.zeros((len(diseases), 1 + sum(len(ages) for _, ages in groups)))
    for row, profile in enumerate(diseases):
        if not profile.onset:
            table[row, 0] = 1.0
            continue
        mixed = {
            name: ANNOTATED_ONSET * profile.onset.get(name, 0.0) + (1 - ANNOTATED_ONSET) * average[name]
            for name in AGES
        }
        table[row, 1:] = [mixed[name] / len(ages) for name, ages in groups for _ in ages]
    with np.errstate(divide="ignore"):
        return (None, *(age for _, ages in groups for age in ages)), np.log(table)
