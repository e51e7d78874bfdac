"""Score rows of {"prediction", "references"} by either method; every other key of a row is kept."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from diagnosis_zero.cases.source import Rejected
from diagnosis_zero.errors import InputError
from diagnosis_zero.records import parse_row
from diagnosis_zero.types import Match

MatchFn = Callable[[str, Sequence[str], Sequence[str]], Match]
"""(prediction, references, reference identifiers) to a verdict."""


def score_lines(
    lines: Iterable[tuple[int, bytes]], method: MatchFn, path: Path, skip_bad: bool = False
) -> Iterator[dict[str, Any] | Rejected]:
    """Each row with "label", "score", "rule", "matched_id" added.

    Args:
        lines: (line number, line of JSONL); a row may also hold "reference_ids".
        path: the file they came from, for errors.
        skip_bad: a bad row comes out as ``Rejected`` in its place, instead of stopping the work.

    Raises:
        InputError: a line that is no JSON object, or a row without a text "prediction" or without "references".
    """
    for number, line in lines:
        try:
            row = parse_row(line, (path, number))
            prediction, references, ids = _read(row, (path, number))
        except InputError as fault:
            if not skip_bad:
                raise
            words = " ".join(part for part in (fault.what, fault.mend) if part)
            yield Rejected(str(path), number, "bad_row", words, raw=line.decode("utf-8", errors="replace").rstrip())
            continue
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
