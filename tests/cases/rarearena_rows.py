"""RareArena-shaped rows and files for tests."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any


def row(number: int = 1, **fields: Any) -> dict[str, Any]:
    """A row of RDC.json; ``fields`` replace or add."""
    return {
        "_id": f"{7000000 + number}-1",
        "case_report": f"Patient {number} had fever and a rash.",
        "test_results": "Biopsy showed granulomas.",
        "diagnosis": f"Disease {number}",
        "Orpha_name": f"Named disease {number}",
        "Orpha_id": str(number),
        "age": [[30.0, "year"]],
        "gender": "F",
        "pub_date": "2020-1-5",
    } | fields


def without(row: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name not in names}


def write_rows(path: Path, rows: Iterable[Any]) -> Path:
    """One row a line; a row that is a text stands as it is."""
    lines = (line if isinstance(line, str) else json.dumps(line, ensure_ascii=False) for line in rows)
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path
