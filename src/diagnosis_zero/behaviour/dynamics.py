"""How behaviour moves with training and with being right: shares, P(right | behaviour), form against correctness.

Figures of the original system that these answer to: mixed language by step, the share right among mixed answers
against the share right overall, and the suspicion that the rewards for form and for accuracy are in conflict.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from diagnosis_zero.evaluate import stats
from diagnosis_zero.evaluate.stats import Estimate
from diagnosis_zero.nomenclature.normalise import normalise
from diagnosis_zero.types import Answer


@dataclass(frozen=True, slots=True)
class Observation:
    """One completion: its features, and 1 right, 0 wrong, None unscored. ``cluster`` is its article (or case)."""

    cluster: str
    features: Mapping[str, float]
    right: float | None


@dataclass(frozen=True, slots=True)
class Given:
    """Share right among completions with a behaviour, among those without, and among all."""

    behaviour: str
    with_it: Estimate
    without: Estimate
    overall: Estimate


@dataclass(frozen=True, slots=True)
class FormAndRight:
    """The 2x2 table of form and correctness, and its correlation (phi; None where a margin is empty)."""

    both: int
    form_only: int
    right_only: int
    neither: int
    phi: float | None


@dataclass(frozen=True, slots=True)
class Overpredicted:
    """A diagnosis that is given more often than it is true."""

    name: str
    given: int
    true: int


def share(observations: Sequence[Observation], behaviour: str) -> Estimate | None:
    """Share of the completions that show a behaviour (a flag), with its interval."""
    values = [float(one.features.get(behaviour, 0.0) > 0) for one in observations]
    return stats.estimate(values, [one.cluster for one in observations]) if values else None


def mean(observations: Sequence[Observation], measure: str) -> float | None:
    """Mean of a number over the completions that have it."""
    values = [one.features[measure] for one in observations if measure in one.features]
    return fmean(values) if values else None


def right_given(observations: Sequence[Observation], behaviour: str) -> Given | None:
    """P(right | behaviour); None where no scored completion shows it."""
    scored = [one for one in observations if one.right is not None]
    having = [one for one in scored if one.features.get(behaviour, 0.0) > 0]
    lacking = [one for one in scored if not one.features.get(behaviour, 0.0) > 0]
    return Given(behaviour, *map(_share_right, (having, lacking, scored))) if having else None


def form_and_right(observations: Sequence[Observation]) -> FormAndRight | None:
    """Does a correct form go with a right answer? None where nothing was scored."""
    counts = Counter(
        (one.features.get("format/well_formed") == 1.0, one.right >= 1.0)
        for one in observations
        if one.right is not None and one.features
    )
    cells = counts[True, True], counts[True, False], counts[False, True], counts[False, False]
    return FormAndRight(*cells, phi(*cells)) if counts else None


def phi(both: int, first_only: int, second_only: int, neither: int) -> float | None:
    """Correlation of two yes-or-no measures; None where one of them is constant."""
    margins = (both + first_only) * (second_only + neither) * (both + second_only) * (first_only + neither)
    return (both * neither - first_only * second_only) / math.sqrt(margins) if margins else None


def within_groups(rows: Iterable[tuple[str, float, float]]) -> float | None:
    """Correlation of two rewards within groups: (group, first, second) of every completion. What the advantage sees,
    since it is the deviation from the group's mean; None where one of them never varies within a group."""
    groups: defaultdict[str, list[tuple[float, float]]] = defaultdict(list)
    for group, first, second in rows:
        groups[group].append((first, second))
    xx = yy = xy = 0.0
    for pairs in groups.values():
        mean_x, mean_y = fmean(x for x, _ in pairs), fmean(y for _, y in pairs)
        xx += sum((x - mean_x) ** 2 for x, _ in pairs)
        yy += sum((y - mean_y) ** 2 for _, y in pairs)
        xy += sum((x - mean_x) * (y - mean_y) for x, y in pairs)
    return xy / math.sqrt(xx * yy) if xx > 1e-12 and yy > 1e-12 else None


def overpredicted(answers: Sequence[Answer], most: int = 10) -> list[Overpredicted]:
    """The diagnoses given more often than they are true, the largest excess first."""
    written: dict[str, str] = {}
    given: Counter[str] = Counter()
    true: Counter[str] = Counter()
    for answer in answers:
        true.update({normalise(name) for name in answer.references})
        if answer.answer:
            name = normalise(answer.answer)
            written.setdefault(name, answer.answer)
            given[name] += 1
    found = [Overpredicted(written[name], count, true[name]) for name, count in given.items() if count > true[name]]
    return sorted(found, key=lambda one: (one.true - one.given, one.name))[:most]


def diversity(answers: Sequence[Answer]) -> float | None:
    """Entropy of the answers given, in bits (0: always the same); None where none was given."""
    counts = Counter(normalise(answer.answer) for answer in answers if answer.answer)
    total = sum(counts.values())
    return sum(-n / total * math.log2(n / total) for n in counts.values()) + 0.0 if total else None


HACKING_Z = 3.0


def reward_without_skill(rewards: Sequence[float], judged: stats.Paired | None) -> bool:
    """Whether the training reward rose clearly (last fifth against first, by ``HACKING_Z`` standard errors) while a
    judge sees no gain where it would have seen one of that size: the sign of a reward that is being gamed."""
    fifth = len(rewards) // 5
    if fifth < 5 or judged is None:
        return False
    first, last = rewards[:fifth], rewards[-fifth:]
    rise = fmean(last) - fmean(first)
    error = math.sqrt((_variance(first) + _variance(last)) / fifth)
    return rise > max(HACKING_Z * error, judged.detectable) and judged.low <= 0


def _share_right(observations: Sequence[Observation]) -> Estimate:
    values = [one.right for one in observations if one.right is not None]
    return stats.estimate(values, [one.cluster for one in observations if one.right is not None])


def _variance(values: Sequence[float]) -> float:
    middle = fmean(values)
    return sum((value - middle) ** 2 for value in values) / (len(values) - 1)
