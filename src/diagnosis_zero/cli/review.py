"""``dz review``: two systems' answers to clinicians, blinded, and their grades back."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from diagnosis_zero.types import Answer, Case

commands = typer.Typer(no_args_is_help=True, help="Have clinicians grade two systems' answers, blinded.")


@commands.command("out")
def out(
    first: Annotated[Path, typer.Argument(help="An evaluation folder.")],
    second: Annotated[Path, typer.Argument(help="Another, of the same cases.")],
    table: Annotated[Path, typer.Option("--out", help="The table to write; its key is written beside it.")],
    limit: Annotated[int | None, typer.Option(min=1, help="So many cases, drawn at random.")] = None,
    seed: Annotated[int, typer.Option(help="Of the order and the draw.")] = 0,
) -> None:
    """Write a CSV for reviewers, and the key of whose answer is whose, which they must not get."""
    from diagnosis_zero.evaluate.review import write_review

    sides, cases = _read(first, second)
    key = write_review(table, cases, sides, limit=limit, seed=seed)
    typer.echo(str(table))
    typer.echo(str(key))


@commands.command("in")
def back(
    first: Annotated[Path, typer.Argument(help="The evaluation folders, as they were given to `dz review out`.")],
    second: Annotated[Path, typer.Argument()],
    table: Annotated[Path, typer.Option("--table", help="The graded CSV.")],
    key: Annotated[Path, typer.Option("--key", help="Its key.")],
    pairs: Annotated[Path, typer.Option("--out", help="Where the grades go, as pairs for `dz judge-audit`.")],
    reviewer: Annotated[str, typer.Option(help="Under what name the grades stand.")] = "clinician",
) -> None:
    """Read the grades back: each becomes a label of the judge REVIEWER, to be set against any other judge."""
    from diagnosis_zero.evaluate.review import pair_lines, read_review
    from diagnosis_zero.records import atomic_write

    sides, cases = _read(first, second)
    lines = pair_lines(read_review(table, key), cases, sides, reviewer)
    with atomic_write(pairs) as handle:
        handle.writelines(line + "\n" for line in lines)
    typer.echo(f"{len(lines)} answers")
    typer.echo(str(pairs))


def _read(first: Path, second: Path) -> tuple[dict[str, list[Answer]], dict[str, Case]]:
    from diagnosis_zero.evaluate.scored import name_of
    from diagnosis_zero.records import read_jsonl
    from diagnosis_zero.types import Answer, Case

    sides = {name_of(folder): list(read_jsonl(folder / "answers.jsonl", Answer)) for folder in (first, second)}
    files = {folder.resolve().parent / "cases.jsonl" for folder in (first, second)}
    return sides, {case.id: case for path in sorted(files) for case in read_jsonl(path, Case)}
