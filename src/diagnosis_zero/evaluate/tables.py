"""Results as plain text for a terminal: one row an evaluation."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from diagnosis_zero.evaluate.bounds import learnt
from diagnosis_zero.evaluate.calibrate import Calibration
from diagnosis_zero.evaluate.compare import Comparison
from diagnosis_zero.evaluate.judge_audit import Agreement
from diagnosis_zero.evaluate.stats import Estimate
from diagnosis_zero.evaluate.subgroups import Subgroup
from diagnosis_zero.evaluate.summary import Summary

COLUMNS: dict[str, Callable[[Summary], Estimate | None]] = {
    "accuracy": lambda one: one.accuracy,
    "or broader": lambda one: one.total,
    "not leaking": lambda one: one.headline,
    "mean@n": lambda one: one.mean_at_n,
    "pass@n": lambda one: one.pass_at.get(one.samples),
    "majority": lambda one: one.majority,
    "top 5": lambda one: one.top5,
    "top 5 or broader": lambda one: one.top5_total,
}
COUNTS: dict[str, Callable[[Summary], int]] = {
    "failed": lambda one: one.failed,
    "unscored": lambda one: one.unscored,
    "flagged": lambda one: one.flagged,
}


def steps_table(summaries: Sequence[Summary], adjusted: Sequence[float | None]) -> str:
    """Accuracy and form of each evaluation, in per cent with 95 % intervals; columns without a figure are left out.

    ``adjusted`` are Holm's p values of each row against the first.
    """
    figures = {head: of for head, of in COLUMNS.items() if any(of(one) for one in summaries)}
    counts = {head: of for head, of in COUNTS.items() if any(of(one) for one in summaries)}
    head = ["model", "step", "cases", *figures, "well formed", "tokens", *counts]
    rows = [
        [
            one.model,
            str(one.step),
            str(one.cases),
            *(percent(of(one)) for of in figures.values()),
            f"{100 * one.well_formed:.1f}",
            f"{one.mean_tokens:.0f}",
            *(str(of(one)) for of in counts.values()),
        ]
        for one in summaries
    ]
    if any(p is not None for p in adjusted):
        head.append("p (Holm)")
        rows = [[*row, "" if p is None else f"{p:.2g}"] for row, p in zip(rows, adjusted, strict=True)]
    return aligned([head, *rows])


def bounds_line(summary: Summary) -> str:
    """What can be reached on these cases, and how much of it is; "" where it is not known."""
    if not summary.bounds:
        return ""
    shown = ", ".join(f"{name} {percent(summary.bounds[name])}" for name in ("oracle", "overlap", "chance"))
    share = learnt(summary.accuracy.value, summary.bounds) if summary.accuracy else None
    known = (
        ""
        if share is None
        else f"; {summary.model} step {summary.step} is {100 * share:.0f} % of the way to the oracle"
    )
    return f"on these cases: {shown}{known}"


def beside_table(found: Sequence[tuple[int, Comparison]]) -> str:
    """Another system's ranks (before) and ours (after) on the same patients: (best of how many, comparison) a row."""
    head = ["ours", "theirs", "right (label 2 or 1)", "patients", "theirs %", "ours %", "difference", "p"]
    rows = [
        [
            one.after_name,
            one.before_name,
            "first" if best == 1 else f"best of {best}",
            str(one.n),
            f"{100 * one.before:.1f}",
            f"{100 * one.after:.1f}",
            f"{100 * one.difference:+.1f} ({100 * one.low:+.1f} to {100 * one.high:+.1f})",
            f"{one.p:.2g}",
        ]
        for best, one in found
    ]
    return aligned([head, *rows])


def subgroup_table(found: Sequence[Subgroup]) -> str:
    """One row a group; the intervals are not adjusted for the number of groups."""
    rows = [[one.kind, one.value, str(one.accuracy.n), percent(one.accuracy)] for one in found]
    return aligned([["kind", "group", "cases", "accuracy"], *rows])


def percent(found: Estimate | None) -> str:
    """ "12.3 (9.9-15.2)"; "-" where nothing was counted."""
    if found is None:
        return "-"
    return f"{100 * found.value:.1f} ({100 * found.low:.1f}-{100 * found.high:.1f})"


def aligned(rows: Sequence[Sequence[str]]) -> str:
    """Columns of equal width, two spaces apart; the first row is the head."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join([lines[0], "-" * len(lines[0]), *lines[1:]])


def agreement_table(found: Sequence[Agreement]) -> str:
    """Any two judges: on how many answers, how often alike, kappa, and the first's precision and recall of "right"."""
    head = ["judge", "against", "answers", "alike", "kappa", "precision", "recall"]
    rows = [
        [
            one.first,
            one.second,
            str(one.n),
            percent(one.agreement),
            interval(one.kappa),
            percent(one.precision),
            percent(one.recall),
        ]
        for one in found
    ]
    return aligned([head, *rows])


def calibration_table(found: Sequence[Calibration]) -> str:
    """What share of the answers is right: by the cheap judge, by the dear one where it looked, and calibrated."""
    head = ["cheap judge", "dear judge", "seen by both", "answers", "cheap alone", "dear alone", "calibrated"]
    rows = [
        [
            one.cheap,
            one.dear,
            str(one.labelled),
            str(one.n),
            *(percent(figure) for figure in (one.cheap_alone, one.dear_alone, one.calibrated)),
        ]
        for one in found
    ]
    return aligned([head, *rows])


def interval(found: Estimate) -> str:
    """ "0.81 (0.76 to 0.86)"."""
    return f"{found.value:.2f} ({found.low:.2f} to {found.high:.2f})"
