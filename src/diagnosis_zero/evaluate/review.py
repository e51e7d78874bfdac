"""Clinicians as judges: two systems' answers out as a blinded table, the grades back in.

The table (CSV, opens in any spreadsheet) shows for each case its text, the true diagnosis and two answers in an order
drawn for each row; which is whose stands in a key file that the reviewers do not get. The grades come back in the
columns ``grade_1`` and ``grade_2``: 2 the same disease, 1 broader, 0 neither, empty for not graded (unscored).
"""

from __future__ import annotations

import csv
import io
import json
import random
from collections.abc import Mapping, Sequence
from pathlib import Path

from diagnosis_zero import records
from diagnosis_zero.errors import InputError
from diagnosis_zero.types import Answer, Case

COLUMNS = ("row", "text", "true_diagnosis", "answer_1", "answer_2", "grade_1", "grade_2", "comment")
Sides = Mapping[str, Sequence[Answer]]
"""Two systems' answers by name."""
UNGRADED = "Put them back; what is not graded keeps its row, with empty grades."
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def write_review(
    path: Path,
    cases: Mapping[str, Case],
    sides: Mapping[str, Sequence[Answer]],
    *,
    limit: int | None = None,
    seed: int = 0,
) -> Path:
    """Write the table to ``path`` and the key beside it; the key's path.

    Args:
        sides: the first sample of each case that both answered is shown.
        limit: that many cases, drawn at random.

    Raises:
        InputError: not two systems, or no case in common.
    """
    if len(sides) != 2:
        raise InputError("a review compares two evaluations")
    by_case = [{answer.case_id: answer for answer in answers if answer.sample == 0} for answers in sides.values()]
    draw = random.Random(seed)
    common = sorted(by_case[0].keys() & by_case[1].keys())
    if not common:
        raise InputError("the two evaluations have no case in common")
    draw.shuffle(common)
    names, key, rows = list(sides), {}, []
    for number, case_id in enumerate(common[:limit], start=1):
        order = draw.sample((0, 1), 2)
        shown = [by_case[side][case_id].answer or "(no answer)" for side in order]
        case = cases[case_id]
        rows.append([str(number), case.text, " / ".join(case.names), *shown, "", "", ""])
        key[str(number)] = {"case_id": case_id, "sides": [names[side] for side in order]}
    with records.atomic_write(path) as handle:
        writer = csv.writer(handle)
        writer.writerow(COLUMNS)
        writer.writerows([harmless(cell) for cell in row] for row in rows)
    key_path = path.with_suffix(".key.json")
    records.write_json(key_path, key)
    return key_path


def read_review(path: Path, key_path: Path) -> dict[tuple[str, str], int | None]:
    """(system, case id) -> label, None where a cell was left empty.

    Raises:
        InputError: a column or row is missing, a row stands twice, or a grade is none of 0, 1, 2; names the line.
    """
    key = records.read_json(key_path)
    labels: dict[tuple[str, str], int | None] = {}
    left = set(key)
    with io.StringIO(records.read_text(path), newline="") as handle:
        reader = csv.DictReader(handle)
        missing = {"row", "grade_1", "grade_2"} - set(reader.fieldnames or ())
        if missing:
            raise InputError(f"no column {sorted(missing)[0]!r}", where=path)
        for row in reader:
            where = (path, reader.line_num)
            if row["row"] not in left:
                what = "stands twice" if row["row"] in key else f"is not in {key_path.name}"
                raise InputError(f"row {row['row']!r} {what}", where=where, mend="Only the grades are to be changed.")
            left.remove(row["row"])
            entry = key[row["row"]]
            for side, column in zip(entry["sides"], ("grade_1", "grade_2"), strict=True):
                labels[side, entry["case_id"]] = _grade(row[column], where)
    if left:
        lost = ", ".join(sorted(left, key=int)[:5])
        raise InputError(f"{len(left)} of the rows of {key_path.name} are missing: {lost}", where=path, mend=UNGRADED)
    return labels


def pair_lines(
    labels: Mapping[tuple[str, str], int | None],
    cases: Mapping[str, Case],
    sides: Mapping[str, Sequence[Answer]],
    judge: str,
) -> list[str]:
    """The grades as rows of ``dz judge-audit``: one a graded answer, under the reviewer's name."""
    lines = []
    for name, answers in sides.items():
        for answer in answers:
            if answer.sample == 0 and (name, answer.case_id) in labels:
                row = {
                    "case_id": cases[answer.case_id].source_id or answer.case_id,
                    "model": name,
                    "prediction": answer.answer or "",
                    "references": list(answer.references),
                    "judges": {judge: labels[name, answer.case_id]},
                }
                lines.append(json.dumps(row, ensure_ascii=False))
    return lines


def _grade(cell: str | None, where: tuple[Path, int]) -> int | None:
    text = (cell or "").strip()
    if not text:
        return None
    if text not in ("0", "1", "2"):
        raise InputError(f"grade {text!r}", where=where, mend="It is 0, 1, 2 or empty.")
    return int(text)


def harmless(cell: str) -> str:
    """A cell that no spreadsheet runs as a formula."""
    return f"'{cell}" if cell.startswith(_FORMULA) else cell
