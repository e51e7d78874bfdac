"""RareArena's protocol: how an answer is read, what is accepted, how results are tabled.

Source: Chen et al., "RareArena", Lancet Digital Health 2026, and its repository. 2024: grade 2 for the
diagnosis, 1 for a broader category that includes it, as the judge sees it. Revised March 2026, because
judges gave 1 too freely: grade 2 for the diagnosis or its Orphanet name, 1 for an Orphanet parent of at
most ten diseases, and where there is no such parent, 2 or 0 only.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from diagnosis_zero import records
from diagnosis_zero.errors import InputError
from diagnosis_zero.parsing import ranked
from diagnosis_zero.types import Answer

TOP = 5
MOST_DISEASES = 10


@dataclass(frozen=True, slots=True)
class ScoreSets:
    """The names that earn grade 2, and those that earn 1; ``one`` None leaves "broader" to the judge (2024)."""

    two: tuple[str, ...]
    one: tuple[str, ...] | None

    @property
    def grades(self) -> frozenset[int]:
        """The grades that a judge may give."""
        return frozenset({0, 2}) if self.one == () else frozenset({0, 1, 2})


Sets = Callable[[Answer], ScoreSets]
Shares = tuple[float, float, float]
"""Of the grades 0, 1 and 2."""


@dataclass(frozen=True, slots=True)
class Orphanet:
    """An Orphanet disease in RareArena's hypernym file: its name, its parents that still earn a point, and the
    widest of all its parents ("" where it has none)."""

    name: str
    parents: tuple[str, ...]
    group: str = ""


def rules_2024(answer: Answer) -> ScoreSets:
    """The diagnosis alone, as the case report words it (the first accepted name)."""
    return ScoreSets(answer.references[:1], None)


def rules_2026(hypernyms: Mapping[str, Orphanet]) -> Sets:
    """Grades by the two sets. A disease that the file lacks has no grade-1 set, as in RareArena's own script."""

    def sets(answer: Answer) -> ScoreSets:
        found = [hypernyms[number] for number in _orpha_numbers(answer) if number in hypernyms]
        names = [*answer.references, *(disease.name for disease in found)]
        distinct = {name.lower(): name for name in reversed(names)}
        two = tuple(name for name in names if distinct.get(name.lower()) is name)
        parents = tuple(dict.fromkeys(parent for disease in found for parent in disease.parents))
        return ScoreSets(tuple(dict.fromkeys(two)), parents)

    return sets


def load_hypernyms(path: Path) -> dict[str, Orphanet]:
    """RareArena's ``orphanet_hypernym.json`` by ORPHA number.

    Raises:
        InputError: the file is not that list; names the entry.
    """
    rows = records.read_json(path)
    if not isinstance(rows, list):
        raise InputError("expected a list of diseases", where=path, mend="Take RareArena's orphanet_hypernym.json.")
    return dict(_disease(row, number, path) for number, row in enumerate(rows, start=1))


def named(answer: str | None, top: int) -> tuple[str, ...]:
    """The diagnoses of an answer, the most likely first: all of it as one, or the first ``top`` of a list."""
    if answer is None:
        return ()
    if top == 1:
        return (answer,)
    return tuple(ranked(answer)[:top])


def table(rows: Sequence[tuple[str, Mapping[str, Shares]]]) -> str:
    """Results as in RareArena's README, in Markdown and per cent: (model, {"top1", "top5": shares}) a row."""
    names = ("score 0 (missing)", "score 1 (hypernyms)", "score 2 (synonyms)", "total")
    head = ["Model", *(f"Top {top}: {name}" for top in (1, 5) for name in names)]
    lines = [head, ["---"] * len(head)]
    for model, grades in rows:
        lines.append([model.replace("|", "/"), *_cells(grades.get("top1")), *_cells(grades.get("top5"))])
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def shares(labels: Sequence[int]) -> Shares:
    """The share of each grade; labels must not be empty."""
    zero, one, two = (labels.count(grade) / len(labels) for grade in (0, 1, 2))
    return zero, one, two


def _cells(found: Shares | None) -> list[str]:
    if not found:
        return ["-"] * 4
    return [f"{100 * share:.2f}" for share in (*found, found[1] + found[2])]


def _disease(row: Any, number: int, path: Path) -> tuple[str, Orphanet]:
    try:
        parents = tuple(
            parent["parent"] for parent in row["parents"] if parent["parent_disease_count"] <= MOST_DISEASES
        )
        widest = max(row["parents"], key=lambda parent: parent["parent_disease_count"], default={"parent": ""})
        return str(row["Orphanetid"]), Orphanet(row["name"], parents, widest["parent"])
    except (KeyError, TypeError) as error:
        raise InputError(f"entry {number} lacks {error}", where=path) from error


def _orpha_numbers(answer: Answer) -> list[str]:
    return [name.partition(":")[2] for name in answer.reference_ids if name.upper().startswith("ORPHA:")]
