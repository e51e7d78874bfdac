"""Is the difference between two evaluations of the same cases real? Paired, case by case."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from diagnosis_zero.errors import InputError
from diagnosis_zero.evaluate import stats
from diagnosis_zero.nomenclature.normalise import normalise
from diagnosis_zero.records import read_jsonl
from diagnosis_zero.types import Answer, Verdict

Cluster = Literal["article", "disease", "none"]
ALPHA = 0.05


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two evaluations on the ``n`` cases that both have scored; ``before`` and ``after`` are mean accuracies.

    ``difference`` is after minus before with its 95 % interval; ``detectable`` is the difference that as
    many cases show four times in five. ``dropped`` cases lack a verdict on one side or stand in one
    evaluation only.
    """

    before_name: str
    after_name: str
    before: float
    after: float
    difference: float
    low: float
    high: float
    p: float
    test: str
    cluster: str
    n: int
    clusters: int
    dropped: int
    detectable: float
    sentence: str


@dataclass(frozen=True, slots=True)
class Scored:
    """The share of right samples of each fully scored case, and the clusters that it belongs to."""

    judge: str
    shares: Mapping[str, float]
    articles: Mapping[str, str]
    diseases: Mapping[str, str]
    references: Mapping[str, tuple[str, ...]]
    cases: int


def compare(
    first: Path, second: Path, *, cluster: Cluster = "article", broader: bool = False, leaking: bool = True
) -> Comparison:
    """Compare two evaluation folders.

    Args:
        cluster: what makes cases alike: their article (default), their disease, or nothing.
        broader: count an accepted broader term (label 1) as right too.
        leaking: whether cases whose text names the answer take part.

    Raises:
        InputError: a folder is not an evaluation, the judges differ, or no case is common.
    """
    before, after = (
        scored(first, broader=broader, leaking=leaking),
        scored(second, broader=broader, leaking=leaking),
    )
    _comparable(before, after, first, second)
    common = [case for case in before.shares if case in after.shares]
    groups = _clusters(before, cluster)
    values = [before.shares[case] for case in common], [after.shares[case] for case in common]
    found = stats.paired(*values, [groups[case] for case in common] if groups else None)
    names = name_of(first), name_of(second)
    return Comparison(
        before_name=names[0],
        after_name=names[1],
        before=sum(values[0]) / len(common),
        after=sum(values[1]) / len(common),
        difference=found.difference,
        low=found.low,
        high=found.high,
        p=found.p,
        test=found.test,
        cluster=cluster,
        n=found.n,
        clusters=found.clusters,
        dropped=len(before.articles.keys() | after.articles.keys()) - len(common),
        detectable=found.detectable,
        sentence=sentence(found, *names),
    )


def scored(folder: Path, *, broader: bool = False, leaking: bool = True) -> Scored:
    """Read an evaluation for comparison; cases with an unscored answer have no share."""
    answers = list(read_jsonl(folder / "answers.jsonl", Answer))
    verdicts = list(read_jsonl(folder / "verdicts.jsonl", Verdict))
    labels: dict[str, list[int | None]] = defaultdict(list)
    for verdict in verdicts:
        labels[verdict.case_id].append(verdict.label)
    counted = {answer.case_id: answer for answer in answers if leaking or not answer.leaks}
    least = 1 if broader else 2
    shares = {
        case: sum((label or 0) >= least for label in labels[case]) / len(labels[case])
        for case in counted
        if labels[case] and None not in labels[case]
    }
    return Scored(
        judge=verdicts[0].judge if verdicts else "none",
        shares=shares,
        articles={case: answer.source_id or case for case, answer in counted.items()},
        diseases={case: disease_of(answer) for case, answer in counted.items()},
        references={case: answer.references for case, answer in counted.items()},
        cases=len(counted),
    )


def disease_of(answer: Answer) -> str:
    """What marks an answer's true disease: its first identifier, else its normalised first name."""
    return answer.reference_ids[0] if answer.reference_ids else normalise(answer.references[0])


def sentence(found: stats.Paired, before: str, after: str) -> str:
    """The finding in one sentence that a paper could quote."""
    points = f"{100 * found.difference:+.1f} points"
    interval = f"95 % interval {100 * found.low:+.1f} to {100 * found.high:+.1f}"
    how = f"{interval}, {p_value(found.p)}, {found.test}, {found.n} cases in {found.clusters} clusters"
    if found.p < ALPHA:
        better = "better" if found.difference > 0 else "worse"
        return f"{after} is {better} than {before} by {points} ({how}): the difference is real."
    return (
        f"No difference between {before} and {after} is shown: {points} ({how}); "
        f"one of {100 * found.detectable:.1f} points would have been seen four times in five."
    )


def p_value(p: float) -> str:
    """ "p = 0.03", never "p = 0"."""
    return f"p = {p:.2g}" if p >= 1e-4 else "p < 0.0001"


def name_of(folder: Path) -> str:
    """An evaluation's name in sentences and tables: "demo step-000100", or the folder's own name."""
    resolved = folder.resolve()
    if resolved.parent.name == "evaluations":
        return f"{resolved.parent.parent.name} {resolved.name}"
    return resolved.name


def _clusters(side: Scored, cluster: Cluster) -> Mapping[str, str] | None:
    choices: dict[str, Callable[[], Mapping[str, str] | None]] = {
        "article": lambda: side.articles,
        "disease": lambda: side.diseases,
        "none": lambda: None,
    }
    return choices[cluster]()


def _comparable(before: Scored, after: Scored, first: Path, second: Path) -> None:
    if before.judge != after.judge:
        mend = "Judge both alike: dz evaluate --judge ... on each folder asks no model again."
        raise InputError(f"{first} was judged by {before.judge!r}, {second} by {after.judge!r}", mend=mend)
    common = before.shares.keys() & after.shares.keys()
    if not common:
        raise InputError(f"{first} and {second} have no scored case in common", mend="Evaluate the same cases.")
    for case in common:
        if before.references[case] != after.references[case]:
            raise InputError(f"case {case!r} has different accepted names in {first} and {second}")
