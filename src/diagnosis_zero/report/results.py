"""Is it better? The evaluations as a table by step, before against after, and one sentence."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Literal

from diagnosis_zero.errors import InputError
from diagnosis_zero.evaluate import stats
from diagnosis_zero.evaluate.compare import ALPHA, Comparison, compare, p_value
from diagnosis_zero.report.load import Evaluation, Run
from diagnosis_zero.report.tables import Cell, Column, Point, Table
from diagnosis_zero.types import Answer

Direction = Literal["better", "worse", "unclear"]
Measure = Callable[[Evaluation, Answer], float | None]


@dataclass(frozen=True, slots=True)
class Headline:
    """What the page says first: a word, the sentence with interval and p, and what else belongs to it; ``ends`` are the
    shares right before and after, where they were compared."""

    direction: Direction
    verdict: str
    sentence: str
    more: tuple[str, ...] = ()
    ends: tuple[float, float] | None = None


def deciding_judge(runs: Sequence[Run]) -> str | None:
    """The judge whose word counts: that of the last evaluation judged; None where nothing was judged."""
    found = [one.judge for run in runs for one in run.evaluations if one.judge]
    return found[-1] if found else None


def right(judge: str | None, least: int = 2) -> Measure:
    """1 where the judge gave at least this label, 0 below; None where the answer is unscored or the case's
    text names the answer."""

    def measure(evaluation: Evaluation, answer: Answer) -> float | None:
        verdict = evaluation.verdicts.get(judge or "", {}).get((answer.case_id, answer.sample))
        if verdict is None or verdict.label is None or answer.leaks:
            return None
        return float(verdict.label >= least)

    return measure


def well_formed(_: Evaluation, answer: Answer) -> float | None:
    return None if answer.error else float(not answer.faults)


def estimate(evaluation: Evaluation, measure: Measure) -> stats.Estimate | None:
    """Mean over cases (of the mean over samples) with its interval; None where nothing was scored."""
    by_case = _by_case(evaluation, measure)
    if not by_case:
        return None
    return stats.estimate(list(by_case.values()), _clusters(evaluation, list(by_case)))


def point(evaluation: Evaluation, measure: Measure) -> Point | None:
    """The same, as a dot of a chart."""
    found = estimate(evaluation, measure)
    return Point(float(evaluation.step), found.value, found.low, found.high) if found else None


def by_step(runs: Sequence[Run], judge: str | None) -> Table:
    """Model against step, as the original system reported its result, with intervals."""
    steps = sorted({evaluation.step for run in runs for evaluation in run.evaluations})
    columns = [Column("run", "Run"), *(Column(f"step_{step}", f"Step {step:,}", "percent") for step in steps)]
    rows = [(run.name, *_row(run, steps, right(judge))) for run in runs if run.evaluations]
    note = (
        f"Share of held-out cases answered with the same disease as the truth (judge: {judge or 'none'}), with "
        "95 % intervals. Cases whose text names the answer are left out."
    )
    return Table("by-step", "Accuracy by step", tuple(columns), tuple(rows), note)


def _row(run: Run, steps: Sequence[int], measure: Measure) -> list[Cell]:
    at = {evaluation.step: evaluation for evaluation in run.evaluations}
    return [estimate(at[step], measure) if step in at else None for step in steps]


def before_after(run: Run, judge: str | None) -> Table | None:
    """First against last evaluation of one run; None with fewer than two."""
    if len(run.evaluations) < 2:
        return None
    first, last = run.evaluations[0], run.evaluations[-1]
    rows = [
        _judged("Same disease", first, last, judge, 2),
        _judged("Same disease or accepted hypernym", first, last, judge, 1),
        _formed(first, last),
        *_sampled(run, judge),
    ]
    columns = (
        Column("measure", "Measure"),
        Column("before", f"Step {first.step:,}", "percent"),
        Column("after", f"Step {last.step:,}", "percent"),
        Column("difference", "Difference, points", "points"),
        Column("p", "p", "p"),
        Column("n", "Cases", "count"),
    )
    note = "95 % intervals; paired over the same cases, cases of one article counted as one cluster."
    return Table(f"before-after-{run.name}", f"Before and after: {run.name}", columns, tuple(rows), note)


def _judged(name: str, first: Evaluation, last: Evaluation, judge: str | None, least: int) -> tuple[Cell, ...]:
    ends = estimate(first, right(judge, least)), estimate(last, right(judge, least))
    try:
        found = compare(first.path, last.path, broader=least == 1, leaking=False)
    except InputError:
        return (name, *ends, None, None, 0)
    difference = stats.Estimate(found.difference, found.low, found.high, found.n, found.clusters)
    return (name, *ends, difference, found.p, found.n)


def _sampled(run: Run, judge: str | None) -> list[tuple[Cell, ...]]:
    """Where several answers were drawn for each case: the mean share of them that is right."""
    if len(run.sampled) < 2:
        return []
    return [_judged("Same disease, mean of several samples", run.sampled[0], run.sampled[-1], judge, 2)]


def _formed(first: Evaluation, last: Evaluation) -> tuple[Cell, ...]:
    before, after = _by_case(first, well_formed), _by_case(last, well_formed)
    both = [case for case in before if case in after]
    found = stats.paired([before[c] for c in both], [after[c] for c in both], _clusters(first, both))
    difference = stats.Estimate(found.difference, found.low, found.high, found.n, found.clusters)
    ends = estimate(first, well_formed), estimate(last, well_formed)
    return ("Well-formed answer", *ends, difference if both else None, found.p if both else None, found.n)


def first_to_last(run: Run, judge: str | None) -> stats.Paired | None:
    """The paired test of the first against the last evaluation; None where there are not two, or nothing is common."""
    if len(run.evaluations) < 2:
        return None
    first, last = run.evaluations[0], run.evaluations[-1]
    before, after = _by_case(first, right(judge)), _by_case(last, right(judge))
    both = [case for case in before if case in after]
    return stats.paired([before[c] for c in both], [after[c] for c in both], _clusters(first, both)) if both else None


def headline(run: Run) -> Headline:
    """One sentence: by how much, how sure, on how many cases; or why there is none."""
    if len(run.evaluations) < 2:
        return Headline("unclear", "Not compared.", f"{run.name} has no two evaluations yet.")
    try:
        found = compare(run.evaluations[0].path, run.evaluations[-1].path, leaking=False)
    except InputError as error:
        return Headline("unclear", "Not compared.", error.what)
    direction: Direction = "unclear" if found.p >= ALPHA else ("better" if found.difference > 0 else "worse")
    more = [] if direction != "unclear" else [_DETECTABLE.format(100 * found.detectable)]
    return Headline(
        direction,
        _VERDICTS[direction],
        f"{run.name}: {_sentence(found)}.",
        (*more, *_of_samples(run)),
        (found.before, found.after),
    )


_DETECTABLE = "A difference of {:.1f} points would have been seen four times in five."


def _of_samples(run: Run) -> list[str]:
    if len(run.sampled) < 2:
        return []
    try:
        found = compare(run.sampled[0].path, run.sampled[-1].path, leaking=False)
    except InputError:
        return []
    return [f"Mean of several samples: {_sentence(found)}."]


def _sentence(found: Comparison) -> str:
    before, after = 100 * found.before, 100 * found.after
    return (
        f"{before:.1f} % of {found.n:,} held-out cases right before training, {after:.1f} % after: "
        f"{100 * found.difference:+.1f} points (95 % interval {100 * found.low:+.1f} to {100 * found.high:+.1f}; "
        f"{p_value(found.p)}, {found.test})"
    )


_VERDICTS: Mapping[Direction, str] = {
    "better": "Better.",
    "worse": "Worse.",
    "unclear": "No difference shown.",
}


def _by_case(evaluation: Evaluation, measure: Measure) -> dict[str, float]:
    values: defaultdict[str, list[float]] = defaultdict(list)
    for answer in evaluation.answers:
        if (value := measure(evaluation, answer)) is not None:
            values[answer.case_id].append(value)
    return {case: fmean(found) for case, found in values.items()}


def _clusters(evaluation: Evaluation, cases: Sequence[str]) -> list[str]:
    sources: Mapping[str, str] = {answer.case_id: answer.source_id for answer in evaluation.answers}
    return [sources.get(case) or case for case in cases]
