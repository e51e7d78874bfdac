"""What a comparison needs of one side: which share of its samples each case got right.

A side is an evaluation folder, or a table of ranks that another system (an LLM's published ranks, LIRICAL, Exomiser)
gave the right disease of the same patients.
"""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from diagnosis_zero import records
from diagnosis_zero.errors import InputError
from diagnosis_zero.evaluate.run import Ranked
from diagnosis_zero.nomenclature.normalise import normalise
from diagnosis_zero.records import read_json, read_jsonl
from diagnosis_zero.types import Answer, Verdict

RANKS = "ranks"
"""The judge's name of a side that came as ranks: any judge may stand on the other."""


@dataclass(frozen=True, slots=True)
class Scored:
    """``shares`` of right samples by case, fully scored cases alone; the rest is of every case that was asked.

    ``settings`` are those that ought to be alike on both sides: sampling, prompt, form, catalogue.
    """

    name: str
    judge: str
    shares: Mapping[str, float]
    articles: Mapping[str, str] = field(default_factory=dict)
    diseases: Mapping[str, str] = field(default_factory=dict)
    references: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)


def scored(path: Path, *, top: int = 1, broader: bool = False, leaking: bool = True) -> Scored:
    """Read a side: a folder is an evaluation, a file a table of ranks."""
    if path.is_file():
        return scored_ranks(path, top)
    return scored_evaluation(path, top=top, broader=broader, leaking=leaking)


def scored_evaluation(folder: Path, *, top: int = 1, broader: bool = False, leaking: bool = True) -> Scored:
    """An evaluation folder.

    Args:
        top: 1 the first diagnosis, 5 the best of the ranked ones.
        broader: count an accepted broader term (label 1) as right too.
        leaking: whether cases whose text names the answer take part.
    """
    answers = list(read_jsonl(folder / "answers.jsonl", Answer))
    failed = {answer.case_id for answer in answers if answer.error is not None}
    counted = {answer.case_id: answer for answer in answers if leaking or not answer.leaks}
    judge, labels = _labels(folder, top)
    least = 1 if broader else 2
    shares = {
        case: sum((label or 0) >= least for label in labels[case]) / len(labels[case])
        for case in counted
        if case not in failed and labels[case] and None not in labels[case]
    }
    return Scored(
        name=name_of(folder),
        judge=judge,
        shares=shares,
        articles={case: answer.source_id or case for case, answer in counted.items()},
        diseases={case: disease_of(answer) for case, answer in counted.items()},
        references={case: answer.references for case, answer in counted.items()},
        settings=_settings(folder),
    )


def scored_ranks(path: Path, top: int = 1) -> Scored:
    """A table (tab or comma) of the rank of the right disease by patient; 0 or an empty cell is "not in the list".

    The patient stands in the column ``packet_id``, ``case_id`` or ``id`` (else the first), the rank in
    ``rank_of_correct`` or ``rank`` (else the last).

    Raises:
        InputError: a rank is not a whole number, or a patient stands twice; names the line.
    """
    shares: dict[str, float] = {}
    lines = records.read_text(path).splitlines()
    delimiter = "\t" if lines and "\t" in lines[0] else ","
    table = csv.reader(lines, delimiter=delimiter)
    columns = [name.strip() for name in next(table, [])]
    patient = _column(columns, ("packet_id", "case_id", "id"), 0)
    rank = _column(columns, ("rank_of_correct", "rank"), -1)
    for number, row in enumerate(table, start=2):
        if row:
            id_, found = _rank(row, patient, rank, (path, number))
            if shares.setdefault(id_, float(0 < found <= top)) != float(0 < found <= top):
                raise InputError(f"patient {id_!r} stands twice, with other ranks", where=(path, number))
    return Scored(path.stem, RANKS, shares)


def disease_of(answer: Answer) -> str:
    """What marks an answer's true disease: its first identifier, else its normalised first name."""
    return answer.reference_ids[0] if answer.reference_ids else normalise(answer.references[0])


def name_of(folder: Path) -> str:
    """An evaluation's name in sentences and tables: "demo step-000100", or the folder's own name."""
    resolved = folder.resolve()
    if resolved.parent.name == "evaluations":
        return f"{resolved.parent.parent.name} {resolved.name}"
    return resolved.name


def _labels(folder: Path, top: int) -> tuple[str, dict[str, list[int | None]]]:
    """The judge, and the labels of each case's samples."""
    labels: dict[str, list[int | None]] = defaultdict(list)
    judge = "none"
    if top == 1:
        for verdict in read_jsonl(folder / "verdicts.jsonl", Verdict):
            judge = verdict.judge
            labels[verdict.case_id].append(verdict.label)
        return judge, labels
    for ranked in read_jsonl(folder / "ranked.jsonl", Ranked):
        judge = ranked.judge
        best = None if None in ranked.labels else max((label or 0 for label in ranked.labels[:top]), default=0)
        labels[ranked.case_id].append(best)
    return judge, labels


def _settings(folder: Path) -> dict[str, Any]:
    wanted = {"evaluation.json": ("params", "template_sha256", "think_opened"), "judge.json": ("catalogue",)}
    kept = {name: read_json(folder / name) for name in wanted if (folder / name).is_file()}
    return {key: kept[name][key] for name in kept for key in wanted[name] if key in kept[name]}


def _column(columns: list[str], names: tuple[str, ...], otherwise: int) -> int:
    return next((columns.index(name) for name in names if name in columns), otherwise)


def _rank(row: list[str], patient: int, rank: int, where: tuple[Path, int]) -> tuple[str, int]:
    try:
        return row[patient].strip(), int(row[rank].strip() or 0)
    except (ValueError, IndexError) as error:
        raise InputError("no whole number as rank", where=where, mend="0 is: not in the list.") from error
