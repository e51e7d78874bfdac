"""Score rows of {"prediction", "references"} by either method; every other key of a row is kept."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from diagnosis_zero.errors import InputError
from diagnosis_zero.types import Match

MatchFn = Callable[[str, Sequence[str], Sequence[str]], Match]
"""(prediction, references, reference identifiers) to a verdict."""


def score_rows(rows: Iterable[tuple[int, dict[str, Any]]], method: MatchFn, path: Path) -> Iterator[dict[str, Any]]:
    """Each row with "label", "score", "rule", "matched_id" added.

    Args:
        rows: (line number, row); a row may also hold "reference_ids".
        path: the file they came from, for errors.

    Raises:
        InputError: a row without a text "prediction" or without "references".
    """
    for number, row in rows:
        prediction, references, ids = _read(row, (path, number))
        verdict = method(prediction, references, ids)
        yield {
            **row,
            "label": verdict.label,
            "score": round(verdict.score, 4),
            "rule": verdict.rule,
            "matched_id": verdict.matched_id,
        }


def _read(row: dict[str, Any], where: tuple[Path, int]) -> tuple[str, list[str], list[str]]:
    prediction, references = row.get("prediction"), row.get("references")
    if not isinstance(prediction, str):
        raise InputError("field 'prediction' is not a text", where=where, mend='A row is {"prediction", "references"}.')
    if isinstance(references, str):
        references = [references]
    if not isinstance(references, list) or not references or not all(isinstance(name, str) for name in references):
        raise InputError("field 'references' is not a list of names", where=where, mend="Give at least one name.")
    ids = row.get("reference_ids", [])
    if not isinstance(ids, list) or not all(isinstance(identifier, str) for identifier in ids):
        raise InputError("field 'reference_ids' is not a list of identifiers", where=where)
    return prediction, references, ids
