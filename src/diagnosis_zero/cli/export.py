"""``dz export``: a checkpoint of a run as a folder for transformers, vLLM and model hubs, with its card."""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from diagnosis_zero.cli.analysing import bring_up_to_date
from diagnosis_zero.cli.progress import say
from diagnosis_zero.errors import InputError

if TYPE_CHECKING:
    from diagnosis_zero.report.load import Run
    from diagnosis_zero.types import Chat

PROBE = 'Lésions: 12 × 3.5 mm; β-galactosidase 0.04 (N > 0.1).\n\n– 34-year-old man, "don\'t know" 患者'
"""What tokenizers of other rules cut otherwise."""
PROBED_CASES = 5


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("export")(export)


def export(
    run: Annotated[Path, typer.Argument(help="A run folder.", show_default=False)],
    out: Annotated[Path, typer.Option(help="The folder to write. It appears whole, at the end.")],
    step: Annotated[str, typer.Option(help="best (on the validation cases), last, or a number.")] = "best",
) -> None:
    """Write a checkpoint as a folder that transformers and vLLM load, ready for a model hub, with its card."""
    from diagnosis_zero.engine import export as engine
    from diagnosis_zero.records import atomic_write
    from diagnosis_zero.report import card
    from diagnosis_zero.report.load import load_runs
    from diagnosis_zero.train import checkpoint

    number = _step(run, step)
    if number == 0 and step == "best":
        say("the best validation accuracy is that of step 0, before training: --step last exports the trained model")
    source = checkpoint.folder(run, number)
    if (source / checkpoint.MANIFEST).is_file() and (wrong := checkpoint.fault(source)):
        raise InputError(wrong, where=source, mend="Export another step.")
    bring_up_to_date(run)
    loaded = load_runs([run])[0]
    with _appearing(out) as folder:
        engine.export(source, folder, _chats(loaded, number), _max_tokens(loaded))
        for name, text in {"prompt.txt": card.prompt(loaded, number), "README.md": card.card(loaded, number)}.items():
            with atomic_write(folder / name) as handle:
                handle.write(text)
    typer.echo(out)


def _step(run: Path, wanted: str) -> int:
    """The step meant. The best is the one of the highest validation accuracy among those kept, else the last."""
    from diagnosis_zero.train import checkpoint, metrics

    kept = checkpoint.steps(run)
    if not kept:
        raise InputError("no checkpoint in it", where=run, mend="Give the folder that dz train wrote.")
    if wanted == "last":
        return kept[-1]
    if wanted == "best":
        rows = metrics.read(run / "metrics.jsonl") if (run / "metrics.jsonl").is_file() else []
        best = metrics.best_step(rows, among=kept)
        return kept[-1] if best is None else best
    if not wanted.isdecimal() or int(wanted) not in kept:
        shown = ", ".join(map(str, kept))
        raise InputError(f"no checkpoint of step {wanted!r}", where=run, mend=f"Give best, last, or one of {shown}.")
    return int(wanted)


def _chats(run: Run, step: int) -> list[Chat]:
    """What the written folder is checked with."""
    from diagnosis_zero.prompts import fill
    from diagnosis_zero.report.card import prompt

    texts = [PROBE, *(case.text for case in list(run.cases.values())[:PROBED_CASES])]
    return [[{"role": "user", "content": fill(prompt(run, step), text)}] for text in texts]


def _max_tokens(run: Run) -> int:
    rollout = run.config.get("rollout")
    return int(rollout.get("max_tokens", 1024)) if isinstance(rollout, dict) else 1024


@contextmanager
def _appearing(out: Path) -> Iterator[Path]:
    """A folder that becomes ``out`` when the block ends well, and vanishes when it does not."""
    out = out.resolve()
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError("is there already", where=out, mend="Choose another --out, or move it away.")
    aside = out.with_name(f".{out.name}.{secrets.token_hex(4)}")
    aside.mkdir(parents=True)
    try:
        yield aside
        aside.replace(out)
    finally:
        shutil.rmtree(aside, ignore_errors=True)
