"""What training did to the model's behaviour, as charts and tables of the report."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from diagnosis_zero.behaviour import dynamics, organs
from diagnosis_zero.behaviour import format as form
from diagnosis_zero.behaviour.dynamics import Observation
from diagnosis_zero.evaluate import stats
from diagnosis_zero.parsing import FAULT_MEANINGS
from diagnosis_zero.report import results
from diagnosis_zero.report.load import Evaluation, Run
from diagnosis_zero.report.tables import Cell, Chart, Column, Format, Point, Series, Table

FLAGS: Mapping[str, str] = {
    "format/well_formed": "Complete form",
    "thought/absent": "No reasoning",
    "thought/empty": "Empty reasoning",
    "thought/short": "Reasoning under 10 words",
    "thought/parroted": "Reasoning copied from case or prompt",
    "thought/unfollowed": "Answer never named in the reasoning",
    "language/mixed": "Another language, anywhere",
    "language/mixed_think": "Another language in the reasoning",
    "language/mixed_answer": "Another language in the answer",
    "language/mixed_after": "Another language after the answer",
    "length/truncated": "Cut by the length limit",
    "length/loop": "Runs in a loop",
    "answer/example": "The prompt's example given as answer",
}
"""The behaviours of the tables, by their flag; those that no completion shows are left out."""
FAULTS: Mapping[str, str] = {
    f"format/{fault}": re.split(r": | [(]|, a filled", said)[0] for fault, said in FAULT_MEANINGS.items()
}
"""The parser's whole taxonomy, in words."""

CHARTED = ("thought/absent", "thought/short", "thought/unfollowed", "language/mixed")

MEASURES: Mapping[str, str] = {
    "length/tokens": "Tokens",
    "thought/words": "Words of reasoning",
    "thought/hypotheses": "Diseases weighed",
    "thought/changes": "Changes of mind",
    "thought/corrections": "Words of self-correction",
    "thought/cited": "Share of the case's findings cited",
    "thought/invented": "Findings named that the case does not hold",
}

Columns = tuple[Column, ...]


def form_chart(runs: Sequence[Run]) -> Chart:
    """Shares of the kinds of faulty form, by training step; every completion counts once. What is missing to the whole
    is in complete form."""
    series = [
        Series(run.name, kind, tuple(Point(float(step), counts[kind] / counts.total()) for step, counts in shares))
        for run in runs
        if (shares := _forms(run))
        for kind in form.KINDS
        if any(counts[kind] for _, counts in shares)
    ]
    note = "Of the completions sampled in training; one with several faults counts under the gravest."
    return Chart("form", "Faults of form", "share of completions", "percent", tuple(series), stacked=True, note=note)


def _forms(run: Run) -> list[tuple[int, Counter[str]]]:
    """(step, kinds counted): of the rollouts, else of the evaluations."""
    if run.rollouts:
        return [(step.step, Counter(map(form.kind, step.faults))) for step in run.rollouts]
    return [(one.step, Counter(form.kind(answer.faults) for answer in one.answers)) for one in run.observed]


def share_charts(runs: Sequence[Run]) -> list[Chart]:
    """The behaviours that the original system was known for, by step, the runs overlaid; only those that were seen."""
    made = [_share_chart(runs, flag) for flag in CHARTED]
    return [chart for chart in made if any(point.y for series in chart.series for point in series.points)]


def _share_chart(runs: Sequence[Run], flag: str) -> Chart:
    series = tuple(
        Series(run.name, FLAGS[flag], tuple(points), dots=True, joined=True)
        for run in runs
        if (points := _points(run, flag))
    )
    return Chart(flag.replace("/", "-"), FLAGS[flag], "share of answers", "percent", series)


def _points(run: Run, flag: str) -> list[Point]:
    """One point an evaluation; none where there are not two to be compared."""
    seen = [(one.step, dynamics.share(observe(one, None), flag)) for one in run.observed if one.behaviours]
    points = [Point(float(step), share.value, share.low, share.high) for step, share in seen if share]
    return points if len(points) > 1 else []


def tables(run: Run, judge: str | None, *, redact: bool = False) -> list[Table]:
    """Every behaviour by step, with correctness, and over all steps. ``redact`` leaves out the answers' own words."""
    seen = [(evaluation, observe(evaluation, judge)) for evaluation in run.observed if evaluation.behaviours]
    if not seen:
        return []
    return [
        _by_step(run, seen),
        _measures(run, seen),
        _faults(run, seen),
        _right_given(run, [one for _, observations in seen for one in observations]),
        _form_and_right(run, seen),
        *([] if redact else [_overpredicted(run, seen[-1][0])]),
        _by_organ(run, seen[-1][0], judge),
    ]


def observe(evaluation: Evaluation, judge: str | None) -> list[Observation]:
    """The completions of an evaluation that came, with their features and whether they are right."""
    right = results.right(judge)
    return [
        Observation(answer.source_id or answer.case_id, behaviour.features, right(evaluation, answer))
        for answer in evaluation.answers
        if (behaviour := evaluation.behaviours.get((answer.case_id, answer.sample))) and answer.error is None
    ]


Seen = Sequence[tuple[Evaluation, Sequence[Observation]]]


def _steps(first: str, seen: Seen, format_: Format = "percent") -> Columns:
    head = Column("behaviour", first)
    return (head, *(Column(f"step_{one.step}", f"Step {one.step:,}", format_) for one, _ in seen))


def _by_step(run: Run, seen: Seen) -> Table:
    kind = "sampled" if run.sampled else "greedy"
    note = f"Share of the {kind} answers to held-out cases, with 95 % intervals. A behaviour not listed was not seen."
    title = f"Behaviour by step: {run.name}"
    return Table(f"behaviour-{run.name}", title, _steps("Behaviour", seen), _shares(FLAGS, seen), note)


def _faults(run: Run, seen: Seen) -> Table:
    note = "A completion with several faults counts in each. A fault not listed was not seen."
    title = f"Every fault of form by step: {run.name}"
    return Table(f"faults-{run.name}", title, _steps("Fault", seen), _shares(FAULTS, seen), note, folded=True)


def _shares(labels: Mapping[str, str], seen: Seen) -> tuple[tuple[Cell, ...], ...]:
    return tuple(
        (label, *(dynamics.share(observations, flag) for _, observations in seen))
        for flag, label in labels.items()
        if any(one.features.get(flag) for _, observations in seen for one in observations)
    )


def _measures(run: Run, seen: Seen) -> Table:
    rows: list[tuple[Cell, ...]] = [
        (label, *(dynamics.mean(observations, name) for _, observations in seen)) for name, label in MEASURES.items()
    ]
    rows.append(("Diversity of the answers, bits", *(dynamics.diversity(one.answers) for one, _ in seen)))
    note = "Means over the completions. Findings and diseases are found by the names that HPO and its annotations give."
    title = f"Reasoning by step: {run.name}"
    kept = tuple(row for row in rows if any(cell is not None for cell in row[1:]))
    return Table(f"reasoning-{run.name}", title, _steps("Measure, mean", seen, "number"), kept, note)


def _right_given(run: Run, observations: Sequence[Observation]) -> Table:
    found = {label: dynamics.right_given(observations, flag) for flag, label in FLAGS.items()}
    rows = [
        (label, given.with_it.n, given.with_it, _unless_empty(given.without), given.overall)
        for label, given in found.items()
        if given
    ]
    columns = (
        Column("behaviour", "Behaviour"),
        Column("n", "Completions", "count"),
        Column("right_with", "Right with it", "percent"),
        Column("right_without", "Right without", "percent"),
        Column("right_overall", "Right overall", "percent"),
    )
    note = "All steps together. A difference says what goes together, not what causes what."
    return Table(f"given-{run.name}", f"Right, given the behaviour: {run.name}", columns, tuple(rows), note)


def _unless_empty(estimate: stats.Estimate) -> stats.Estimate | None:
    return estimate if estimate.n else None


def _form_and_right(run: Run, seen: Seen) -> Table:
    rows: list[tuple[Cell, ...]] = []
    for evaluation, observations in seen:
        found = dynamics.form_and_right(observations)
        if found:
            within = _within_groups(run, evaluation.step)
            counts = (found.both, found.form_only, found.right_only, found.neither)
            rows.append((evaluation.step, *counts, found.phi, within))
    columns = (
        Column("step", "Step", "count"),
        Column("both", "Form and right", "count"),
        Column("form_only", "Form only", "count"),
        Column("right_only", "Right only", "count"),
        Column("neither", "Neither", "count"),
        Column("phi", "Correlation", "number"),
        Column("within_groups", "Within groups, in training", "number"),
    )
    note = (
        "Complete form against a right answer. The last column is the correlation of the two rewards within groups of "
        "one prompt in the rollouts nearest to the step: below zero, one is paid for at the cost of the other."
    )
    return Table(f"form-right-{run.name}", f"Form and correctness: {run.name}", columns, tuple(rows), note)


def _within_groups(run: Run, step: int) -> float | None:
    nearest = sorted(run.rollouts, key=lambda one: abs(one.step - step))[:5]
    return dynamics.within_groups(
        (f"{one.step} {case}", accuracy, format_)
        for one in nearest
        for case, accuracy, format_ in zip(one.cases, one.accuracy, one.format, strict=True)
    )


def _overpredicted(run: Run, last: Evaluation) -> Table:
    rows = tuple((one.name, one.given, one.true) for one in dynamics.overpredicted(last.answers))
    columns = (
        Column("diagnosis", "Diagnosis"),
        Column("given", "Given", "count"),
        Column("true", "True", "count"),
    )
    title = f"Diagnoses given too often: {run.name}, step {last.step:,}"
    return Table(f"overpredicted-{run.name}", title, columns, rows)


def _by_organ(run: Run, last: Evaluation, judge: str | None) -> Table:
    right = results.right(judge)
    groups: defaultdict[tuple[str, str], list[tuple[float, str]]] = defaultdict(list)
    for answer in last.answers:
        if (value := right(last, answer)) is not None:
            for kind, of in _ORGANS.items():
                groups[kind, of(answer.reference_ids) or "not annotated"].append((value, answer.source_id))
    order = sorted(groups, key=lambda group: (group[0], -len(groups[group]), group[1]))
    rows = [(kind, name, _estimate(groups[kind, name]), len(groups[kind, name])) for kind, name in order]
    columns = (
        Column("kind", "Diseases by"),
        Column("group", "Group"),
        Column("right", "Right", "percent"),
        Column("n", "Answers", "count"),
    )
    note = "By what HPO annotates the true disease with: systemic when no organ system holds more than half of it."
    title = f"Accuracy by kind of disease: {run.name}, step {last.step:,}"
    return Table(f"organs-{run.name}", title, columns, tuple(rows), note)


def _estimate(rows: Sequence[tuple[float, str]]) -> stats.Estimate:
    return stats.estimate([value for value, _ in rows], [cluster for _, cluster in rows])


_ORGANS: Mapping[str, Callable[[Sequence[str]], str | None]] = {
    "extent": organs.extent_of,
    "organ system": organs.system_of,
}


class Alarm(NamedTuple):
    """A sign of trouble, in words."""

    title: str
    text: str


def warnings(run: Run) -> list[Alarm]:
    """Signs of a gamed reward and of two rewards in conflict."""
    found: list[Alarm] = []
    rewards = [float(row["reward/mean"]) for row in run.metrics if isinstance(row.get("reward/mean"), float | int)]
    for judge in _judges(run):
        if dynamics.reward_without_skill(rewards, results.first_to_last(run, judge)):
            text = f"{run.name}: the reward rose in training, but judge {judge} finds the held-out answers no better."
            found.append(Alarm("Is the reward being gamed?", text))
    conflict = _within_groups(run, run.rollouts[-1].step) if run.rollouts else None
    if conflict is not None and conflict < CONFLICT:
        text = (
            f"{run.name}: within groups, form and accuracy were paid at each other's cost (correlation {conflict:.2f})."
        )
        found.append(Alarm("Rewards in conflict", text))
    return found


def _judges(run: Run) -> list[str]:
    return sorted({judge for one in run.evaluations for judge in one.verdicts})


CONFLICT = -0.2
