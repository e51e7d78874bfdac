"""Is the difference between two evaluations of the same cases real? Paired, case by case."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from diagnosis_zero.errors import InputError
from diagnosis_zero.evaluate import stats
from diagnosis_zero.evaluate.scored import RANKS, Scored, scored

Cluster = Literal["article", "disease", "none"]
ALPHA = 0.05


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two evaluations on the ``n`` cases that both have scored; ``before`` and ``after`` are mean accuracies.

    ``difference`` is after minus before with its 95 % interval; ``detectable`` is the difference that as many cases
    show four times in five. ``dropped`` cases lack a verdict on one side or stand in one evaluation only.
    ``differing`` names settings (sampling, prompt, catalogue) that are not alike on both sides.
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
    differing: tuple[str, ...]
    sentence: str


def compare(
    first: Path,
    second: Path,
    *,
    cluster: Cluster = "article",
    top: int = 1,
    broader: bool = False,
    leaking: bool = True,
) -> Comparison:
    """Compare two evaluation folders, or one with a table of another system's ranks (a file).

    Args:
        cluster: what makes cases alike: their article (default), their disease, or nothing.
        top: 1 the first diagnosis, 5 the best of five.
        broader: count an accepted broader term (label 1) as right too.
        leaking: whether cases whose text names the answer take part.

    Raises:
        InputError: a folder is not an evaluation, the judges differ, or no case is common.
    """
    before, after = (scored(path, top=top, broader=broader, leaking=leaking) for path in (first, second))
    common = _common(before, after)
    clusters = _clusters(before if before.articles else after, cluster)
    values = [before.shares[case] for case in common], [after.shares[case] for case in common]
    found = stats.paired(*values, [clusters[case] for case in common] if clusters else None)
    return Comparison(
        before_name=before.name,
        after_name=after.name,
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
        dropped=_dropped(before, after, len(common)),
        detectable=found.detectable,
        differing=_differing(before, after),
        sentence=sentence(found, before.name, after.name),
    )


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
    """``p = 0.03``, never ``p = 0``."""
    return f"p = {p:.2g}" if p >= 1e-4 else "p < 0.0001"


def _clusters(side: Scored, cluster: Cluster) -> Mapping[str, str] | None:
    choices = {"article": side.articles, "disease": side.diseases, "none": None}
    return choices[cluster] or None


def _common(before: Scored, after: Scored) -> list[str]:
    """Cases scored on both sides, once it is known that they can be compared."""
    if before.judge != after.judge and RANKS not in (before.judge, after.judge):
        mend = "Judge both alike: dz evaluate --judge ... on each folder asks no model again."
        raise InputError(f"{before.name} was judged by {before.judge!r}, {after.name} by {after.judge!r}", mend=mend)
    common = [case for case in before.shares if case in after.shares]
    if not common:
        what = f"{before.name} and {after.name} have no scored case in common"
        raise InputError(what, mend="Evaluate the same cases.")
    for case in common:
        if before.references.get(case, ()) != after.references.get(case, ()) and before.references and after.references:
            raise InputError(f"case {case!r} has different accepted names in {before.name} and {after.name}")
    return common


def _dropped(before: Scored, after: Scored, common: int) -> int:
    """Cases that an evaluation asked about and that are not compared; patients known to a table alone do not count."""
    return len(before.articles.keys() | after.articles.keys()) - common


def _differing(before: Scored, after: Scored) -> tuple[str, ...]:
    known = before.settings.keys() & after.settings.keys()
    return tuple(sorted(name for name in known if before.settings[name] != after.settings[name]))
