"""Judging the judges: how far any two agree.

Rows of one case are alike, so every interval is clustered by case.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np

from diagnosis_zero import records
from diagnosis_zero.errors import InputError
from diagnosis_zero.evaluate import stats
from diagnosis_zero.evaluate.judge import Judge, Named
from diagnosis_zero.evaluate.stats import Array, Estimate
from diagnosis_zero.types import Answer


@dataclass(frozen=True, slots=True)
class Pair:
    """One answer with what each judge said: labels 0, 1, 2 (right or wrong as 2 or 0); None unscored."""

    id: str
    case_id: str
    model: str
    prediction: str
    references: tuple[str, ...]
    labels: Mapping[str, int | None]


@dataclass(frozen=True, slots=True)
class Agreement:
    """Two judges on the ``n`` answers that both have scored; ``second`` is taken as the truth.

    ``kappa_by_class`` is Cohen's kappa of "is it this label?"; labels that neither gave are left out. ``precision``
    and ``recall`` are of "right", None where they have no denominator.
    """

    first: str
    second: str
    n: int
    agreement: Estimate
    kappa: Estimate
    kappa_by_class: Mapping[int, Estimate]
    precision: Estimate | None
    recall: Estimate | None


def read_pairs(path: Path) -> list[Pair]:
    """``{"prediction", "reference" or "references", "judges": {name: true/false/0/1/2/null}}`` a line.

    ``case_id`` (clusters) and ``model`` are optional. Raises ``InputError`` with file and line.
    """
    pairs = [_pair(row, (path, number)) for number, row in records.read_rows(path)]
    if not pairs:
        raise InputError("no pairs in it", where=path)
    return pairs


def with_judge(pairs: Sequence[Pair], name: str, judge: Judge) -> list[Pair]:
    """The pairs with one more judge's labels."""
    verdicts = judge([Named(_answer(pair), (pair.prediction,)) for pair in pairs])
    return [
        Pair(p.id, p.case_id, p.model, p.prediction, p.references, {**p.labels, name: found[0].label})
        for p, found in zip(pairs, verdicts, strict=True)
    ]


def judges_of(pairs: Sequence[Pair]) -> list[str]:
    """All judges, those with most labels first."""
    counts: dict[str, int] = {}
    for pair in pairs:
        for name, label in pair.labels.items():
            counts[name] = counts.get(name, 0) + (label is not None)
    return sorted(counts, key=lambda name: (-counts[name], name))


def agreements(pairs: Sequence[Pair], *, broader: bool = False) -> list[Agreement]:
    """Every two judges that have answers in common."""
    found = (agreement(pairs, one, other, broader=broader) for one, other in combinations(judges_of(pairs), 2))
    return [each for each in found if each is not None]


def agreement(pairs: Sequence[Pair], first: str, second: str, *, broader: bool = False) -> Agreement | None:
    """How far two judges agree; None where no answer has both."""
    both = [pair for pair in pairs if pair.labels.get(first) is not None and pair.labels.get(second) is not None]
    if not both:
        return None
    tables, sizes = _tables(both, first, second)
    least = 1 if broader else 2
    said = [(right(pair, first, least), right(pair, second, least), pair.case_id) for pair in both]
    classes = [label for label in range(3) if tables[:, label, :].sum() + tables[:, :, label].sum() > 0]
    return Agreement(
        first,
        second,
        len(both),
        stats.estimate([float(p.labels[first] == p.labels[second]) for p in both], [p.case_id for p in both]),
        _kappa(tables, sizes),
        {label: _kappa(_against(tables, label), sizes) for label in classes},
        _mean([(b, case) for a, b, case in said if a]),
        _mean([(a, case) for a, b, case in said if b]),
    )


def kappa(table: Array) -> float:
    """Cohen's kappa of a square table of counts; 1 where both judges always give one and the same label."""
    n = table.sum()
    observed = np.trace(table) / n
    expected = float((table.sum(axis=0) * table.sum(axis=1)).sum()) / n**2
    return 1.0 if expected == 1 else float((observed - expected) / (1 - expected))


def _kappa(tables: Array, sizes: Array) -> Estimate:
    return stats.within(stats.jackknife(tables, kappa, int(sizes.sum()), sizes), -1.0, 1.0)


def _tables(pairs: Sequence[Pair], first: str, second: str) -> tuple[Array, Array]:
    """One 3 x 3 table of labels a case, and the cases' sizes."""
    tables: dict[str, Array] = {}
    for pair in pairs:
        table = tables.setdefault(pair.case_id, np.zeros((3, 3)))
        table[pair.labels[first], pair.labels[second]] += 1
    stacked = np.array(list(tables.values()))
    return stacked, stacked.sum(axis=(1, 2))


def _against(tables: Array, label: int) -> Array:
    """Tables of "this label" against the others, shape (cases, 2, 2)."""
    others = [one for one in range(3) if one != label]
    inside = tables[:, label, label]
    row, column = tables[:, label, others].sum(axis=1), tables[:, others, label].sum(axis=1)
    rest = tables.sum(axis=(1, 2)) - inside - row - column
    return np.stack([np.stack([inside, row], axis=1), np.stack([column, rest], axis=1)], axis=1)


def right(pair: Pair, judge: str, least: int) -> float:
    """1.0 where the judge gave at least this label."""
    label = pair.labels.get(judge)
    return float(label is not None and label >= least)


def _mean(rows: Sequence[tuple[float, Hashable]]) -> Estimate | None:
    return mean_of(rows) if rows else None


def mean_of(rows: Sequence[tuple[float, Hashable]]) -> Estimate:
    """The mean of (value, case) rows."""
    return stats.estimate([value for value, _ in rows], [case for _, case in rows])


def _pair(row: Mapping[str, object], where: tuple[Path, int]) -> Pair:
    references = row.get("references", [row.get("reference")])
    prediction, judges = row.get("prediction"), row.get("judges")
    if not isinstance(prediction, str):
        raise InputError("no 'prediction' text", where=where)
    if not isinstance(references, list) or not references or not all(isinstance(one, str) for one in references):
        raise InputError("no 'reference' text or 'references' list", where=where)
    if not isinstance(judges, dict):
        raise InputError("no 'judges' object", where=where, mend='Give {"judge": true, ...}.')
    labels = {str(name): _label(said, where) for name, said in judges.items()}
    id_ = f"row-{where[1]}"
    return Pair(id_, str(row.get("case_id", id_)), str(row.get("model", "")), prediction, tuple(references), labels)


def _label(said: object, where: tuple[Path, int]) -> int | None:
    if said is None:
        return None
    if isinstance(said, bool):
        return 2 if said else 0
    if isinstance(said, int) and said in (0, 1, 2):
        return said
    raise InputError(f"a judge said {said!r}", where=where, mend="It is true, false, 0, 1, 2 or null.")


def _answer(pair: Pair) -> Answer:
    return Answer(
        pair.id, pair.model, 0, 0, "", None, pair.prediction, (), "stop", 0, pair.references, source_id=pair.case_id
    )
