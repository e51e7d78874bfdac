"""``dz diagnose``: a differential for one case."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from diagnosis_zero.errors import InputError
from diagnosis_zero.records import read_text

if TYPE_CHECKING:
    from diagnosis_zero.evaluate.diagnose import LookUp


def diagnose(
    model_or_run: Annotated[str, typer.Argument(help="A run folder, or a model (HF id or folder).")],
    file: Annotated[str, typer.Argument(help="A text file with the case; - reads standard input.")] = "-",
    samples: Annotated[int, typer.Option(min=1, help="Answers to draw; the differential is their tally.")] = 8,
    temperature: Annotated[float, typer.Option(min=0.01)] = 0.7,
    max_tokens: Annotated[int, typer.Option(min=1)] = 1024,
    seed: int = 0,
    template: Annotated[str | None, typer.Option(help="Prompt: diagnosis, short, or a file.")] = None,
    catalogue: Annotated[str, typer.Option(help="Where names are looked up: default, none, or a file.")] = "default",
) -> None:
    """Name the diseases that may explain a case, with the reasoning. For research, not for the care of patients."""
    from diagnosis_zero import prompts
    from diagnosis_zero.cli.evaluate import own_settings
    from diagnosis_zero.engine.generate import load_generator
    from diagnosis_zero.evaluate import diagnose as diagnosing
    from diagnosis_zero.evaluate.target import targets
    from diagnosis_zero.train.start import opens_thinking
    from diagnosis_zero.types import SamplingParams

    text = _text(file)
    wording = prompts.load_template(template or own_settings(model_or_run).template)
    [target] = targets(model_or_run)
    generator = load_generator(target.model, dtype=target.dtype)
    candidates = diagnosing.diagnose(
        generator,
        text,
        wording,
        SamplingParams(max_tokens, temperature, seed=seed),
        samples,
        _look_up(catalogue),
        think_opened=opens_thinking(generator.policy),
    )
    typer.echo(diagnosing.as_text(candidates, samples))


def _text(file: str) -> str:
    text = sys.stdin.buffer.read().decode("utf-8", errors="replace") if file == "-" else read_text(Path(file))
    if not text.strip():
        raise InputError("the case is empty", where=file)
    return text


def _look_up(source: str) -> LookUp:
    """A function from a name to its entry in the catalogue."""
    if source == "none":
        return lambda name: None
    from diagnosis_zero.nomenclature.catalogue import Catalogue, default_catalogue

    catalogue = default_catalogue() if source == "default" else Catalogue.open(source)

    def look_up(name: str) -> tuple[str, str] | None:
        found = catalogue.find(name)
        if len(found.entries) != 1:
            return None
        entry = catalogue.entry(next(iter(found.entries)))
        return entry.id, entry.name

    return look_up
