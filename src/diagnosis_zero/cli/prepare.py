"""``dz prepare``: cases from RareArena, phenopackets, generated vignettes or any table, as a data folder."""

from __future__ import annotations

import inspect
import signal
import sys
import typing
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import MISSING, dataclass, fields
from functools import wraps
from pathlib import Path
from typing import Annotated, Any

import typer

from diagnosis_zero.errors import InputError
from diagnosis_zero.types import Case, Chat

PLAIN_EVERY = 10_000

commands = typer.Typer(no_args_is_help=True, help="Turn cases into a data folder for training and evaluation.")


def register(app: typer.Typer) -> None:
    """Add ``dz prepare`` and its four sources."""
    app.add_typer(commands, name="prepare")


@dataclass(frozen=True, slots=True)
class Options:
    """What every source takes."""

    out: Annotated[Path, typer.Option(help="The data folder to write. It appears whole, at the end.")]
    split: Annotated[
        str,
        typer.Option(
            help="seed (file order, 70/30), random, disease (none on both sides), article (none on both sides), "
            "date (the latest are the test). A tenth of training becomes val by the same rule."
        ),
    ] = "seed"
    seed: Annotated[int, typer.Option(help="Of everything that is drawn.")] = 0
    template: Annotated[
        str, typer.Option(help="Prompt: diagnosis, top5, short, or a file of yours that holds {case}.")
    ] = "diagnosis"
    model: Annotated[str, typer.Option(help="Whose tokens --max-prompt-tokens counts: HF id, folder, or smollm2.")] = ""
    max_prompt_tokens: Annotated[
        int | None, typer.Option(min=1, help="Drop, and count, cases whose prompt is longer. None is ever cut.")
    ] = None
    catalogue: Annotated[
        str, typer.Option(help="Look for synonyms of the answer too: a catalogue file, or default.")
    ] = ""
    drop_leaks: Annotated[
        bool, typer.Option("--drop-leaks", help="Drop cases whose text names the answer. They are counted anyway.")
    ] = False
    skip_bad: Annotated[
        bool, typer.Option("--skip-bad", help="Put bad rows into rejected.jsonl instead of stopping at the first.")
    ] = False
    limit: Annotated[int | None, typer.Option(min=1, help="Read this many rows at most.")] = None
    licence: Annotated[
        str, typer.Option(help="What may be done with the cases: stands in reports and exported models.")
    ] = ""
    shard_rows: Annotated[
        int | None,
        typer.Option(min=1, help="Cut each Parquet file into shards of so many rows: train-00000.parquet ..."),
    ] = None
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace an older data folder, once the new one is whole.")
    ] = False


def _takes_options(command: Callable[..., None]) -> Callable[..., None]:
    """Spell the fields of ``Options`` out as options of the command, which gets them as one argument."""
    hints = typing.get_type_hints(Options, include_extras=True)
    shared = [
        inspect.Parameter(
            field.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=inspect.Parameter.empty if field.default is MISSING else field.default,
            annotation=hints[field.name],
        )
        for field in fields(Options)
    ]
    signature = inspect.signature(command, eval_str=True)
    own = [parameter for name, parameter in signature.parameters.items() if name != "options"]

    @wraps(command)
    def run(**given: Any) -> None:
        options = Options(**{parameter.name: given.pop(parameter.name) for parameter in shared})
        command(**given, options=options)

    vars(run)["__signature__"] = signature.replace(parameters=[*own, *shared])  # Typer reads it
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in (*own, *shared)}
    return run


@commands.command()
@_takes_options
def rarearena(
    file: Annotated[Path, typer.Argument(help="RDC.json, RDS.json or a benchmark file of RareArena.")],
    options: Options,
    task: Annotated[str, typer.Option(help="rdc: with the test results; rds: the case report alone.")] = "rdc",
) -> None:
    """RareArena: case reports of rare diseases."""
    from diagnosis_zero.cases.rarearena import read
    from diagnosis_zero.cases.rows import count_rows

    _prepare(read(file, task), options, [file], {"source": "rarearena", "task": task}, count_rows(file))


@commands.command()
@_takes_options
def table(
    file: Annotated[
        Path, typer.Argument(help="A CSV, TSV, JSON Lines, JSON or Parquet file, or a folder of Parquet shards.")
    ],
    options: Options,
    columns: Annotated[
        list[str],
        typer.Option(
            "--map",
            metavar="FIELD=COLUMN",
            help="Where a field stands: text and names (both needed, may be repeated), id, source_id, ids, age, "
            "sex, date. Several names or ids in one cell: with | between them.",
        ),
    ],
) -> None:
    """Any table of cases, by a map from fields to columns."""
    from diagnosis_zero.cases.rows import count_rows
    from diagnosis_zero.cases.table import column_map, read

    chosen = column_map(columns)
    _prepare(read(file, chosen), options, [file], {"source": "table", "map": chosen}, count_rows(file))


@commands.command()
@_takes_options
def phenopackets(
    paths: Annotated[list[Path], typer.Argument(help="Folders, zip archives or files of phenopackets (v2 JSON).")],
    options: Options,
) -> None:
    """GA4GH phenopackets, rendered into clinical prose."""
    from diagnosis_zero.cases.phenopackets import find, read

    ignored: list[str] = []  # filled while the packets are read
    expected = sum(len(find(path)[0]) for path in paths)
    _prepare(read(paths, ignored), options, paths, {"source": "phenopackets"}, expected, ignored)


@commands.command()
@_takes_options
def vignettes(
    options: Options,
    cases: Annotated[int, typer.Option(min=1, help="How many patients to draw.")] = 1000,
    diseases: Annotated[int, typer.Option(min=2, help="Of how many diseases.")] = 60,
) -> None:
    """Patients drawn from the HPO disease annotations, rendered into clinical prose."""
    from diagnosis_zero.cases.vignettes import build_world, generate

    world = build_world(diseases=diseases, seed=options.seed)
    settings = {"source": "vignettes", "world": world.name, "cases": cases, "diseases": diseases}
    _prepare(generate(world, cases, options.seed), options, [], settings, cases)


def _prepare(
    source: Iterable[Any],
    options: Options,
    inputs: Sequence[Path],
    settings: dict[str, Any],
    expected: int,
    ignored: Sequence[str] = (),
) -> None:
    from diagnosis_zero.cases.prepare import prepare
    from diagnosis_zero.prompts import load_template

    if bool(options.model) != (options.max_prompt_tokens is not None):
        mend = "Give both, as in --model Qwen/Qwen2.5-1.5B-Instruct --max-prompt-tokens 1024."
        raise InputError("--max-prompt-tokens and --model need each other", mend=mend)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that a stopped command clears up behind it
    manifest = prepare(
        source,
        options.out,
        split=options.split,
        seed=options.seed,
        template=load_template(options.template),
        max_prompt_tokens=options.max_prompt_tokens,
        count_tokens=_token_counter(options.model) if options.model else None,
        synonyms=_synonyms(options.catalogue) if options.catalogue else None,
        drop_leaks=options.drop_leaks,
        skip_bad=options.skip_bad,
        limit=options.limit,
        licence=options.licence or None,
        shard_rows=options.shard_rows,
        overwrite=options.overwrite,
        inputs=inputs,
        ignored=ignored,
        settings=settings | {"model": options.model or None, "catalogue": options.catalogue or None},
        track=lambda items, doing, total: _shown(items, doing, total or expected),
    )
    typer.echo("\n".join(_summary(manifest)))
    typer.echo(options.out)


def _token_counter(model: str) -> Callable[[Sequence[Chat]], list[int]]:
    from diagnosis_zero.cases.length import token_counter

    if model == "smollm2":
        from diagnosis_zero.engine.model import smollm2

        model = str(smollm2())
    return token_counter(model)


def _synonyms(catalogue: str) -> Callable[[Case], list[str]]:
    from diagnosis_zero.cases.leakage import synonyms_by
    from diagnosis_zero.nomenclature.catalogue import Catalogue, default_catalogue

    return synonyms_by(default_catalogue() if catalogue == "default" else Catalogue.open(catalogue))


def _summary(manifest: dict[str, Any]) -> Iterator[str]:
    leakage, splits = manifest["leakage"], manifest["splits"]
    yield f"{manifest['read']:,} read, {manifest['kept']:,} kept"
    if manifest["dropped"]:
        yield "dropped: " + ", ".join(f"{reason} {count:,}" for reason, count in manifest["dropped"].items())
    if manifest["ignored"]:
        yield f"files of other kinds, passed over: {len(manifest['ignored']):,} (listed in manifest.json)"
    yield ", ".join(f"{split} {count:,}" for split, count in splits.items())
    if leakage["found"]:
        kept = f"{leakage['kept']['test']:,} of them in test"
        yield f"{leakage['found']:,} name the answer in their text, " + ("dropped" if leakage["dropped"] else kept)
    for empty in (split for split in ("train", "test") if not splits[split]):
        yield f"note: {empty} is empty; there are too few cases, or groups too large, for this --split"


def _shown(items: Iterable[Any], doing: str, total: int | None) -> Iterable[Any]:
    """A progress bar on a terminal, a plain line every 10,000 elsewhere; both on standard error."""
    return _with_bar(items, doing, total) if sys.stderr.isatty() else _with_lines(items, doing)


def _with_bar(items: Iterable[Any], doing: str, total: int | None) -> Iterator[Any]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        yield from progress.track(items, total=total, description=doing)


def _with_lines(items: Iterable[Any], doing: str) -> Iterator[Any]:
    number = 0
    for number, item in enumerate(items, start=1):
        yield item
        if number % PLAIN_EVERY == 0:
            typer.echo(f"{doing}: {number:,}", err=True)
    typer.echo(f"{doing}: {number:,}, done", err=True)
