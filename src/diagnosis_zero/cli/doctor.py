"""``dz doctor``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from diagnosis_zero.doctor.notes import Note

COLOURS = {"ok": typer.colors.GREEN, "warning": typer.colors.YELLOW, "error": typer.colors.RED}


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("doctor")(doctor)


def doctor(
    recipe: Annotated[Path, typer.Argument(help="A recipe: a TOML file, or a shipped one by its name: demo.")],
    set_: Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Override a key.")] = None,
    json_out: Annotated[Path | None, typer.Option("--json", help="Write the findings to this file too.")] = None,
) -> None:
    """Look for what would go wrong in a run, before it costs hours. Exit status 1 where there is an error."""
    import time

    from diagnosis_zero.doctor.examine import examine
    from diagnosis_zero.records import as_dict, write_json

    began = time.monotonic()
    notes = []
    for note in examine(recipe, set_ or ()):
        notes.append(note)
        _show(note)
    counts = {level: sum(note.level == level for note in notes) for level in COLOURS}
    seconds = round(time.monotonic() - began, 1)
    typer.echo(f"{counts['error']} errors, {counts['warning']} warnings, {counts['ok']} ok; {seconds:.0f} s")
    if json_out is not None:
        listed = [as_dict(note) for note in notes]
        write_json(json_out, {"recipe": str(recipe), "seconds": seconds, "counts": counts, "notes": listed})
        typer.echo(json_out)
    if counts["error"]:
        raise typer.Exit(1)


def _show(note: Note) -> None:
    typer.echo(f"{typer.style(f'{note.level:8}', fg=COLOURS[note.level])} {note.check}: {note.what}")
    if note.mend:
        typer.echo(f"{'':8} {'':>{len(note.check)}}  -> {note.mend}")
