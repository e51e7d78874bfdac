"""``dz catalogue build|find|audit`` and ``dz score``."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from diagnosis_zero.errors import InputError, nearest

if TYPE_CHECKING:
    from diagnosis_zero.nomenclature.catalogue import Catalogue
    from diagnosis_zero.nomenclature.score import MatchFn

Opened = Annotated[
    str, typer.Option("--catalogue", help="A file made by `dz catalogue build`, default (HPO's diseases), or none.")
]
Json = Annotated[Path | None, typer.Option("--json", help="Write the figures to this file too.")]

commands = typer.Typer(no_args_is_help=True, help="The nomenclature that tells which names mean one disease.")


def register(app: typer.Typer) -> None:
    app.add_typer(commands, name="catalogue")
    app.command("score")(score)


@commands.command()
def build(
    out: Annotated[Path, typer.Option(help="The index file to write.")],
    orphanet_hypernyms: Annotated[list[Path] | None, typer.Option(help="RareArena's orphanet_hypernym.json.")] = None,
    orphadata: Annotated[
        list[Path] | None, typer.Option(help="Orphadata's products 1 (names) and 3 (classifications), XML.")
    ] = None,
    obo: Annotated[list[Path] | None, typer.Option(help="An ontology in OBO: Mondo, Disease Ontology, ORDO.")] = None,
    obographs: Annotated[list[Path] | None, typer.Option(help="An ontology in OBO Graphs JSON: mondo.json.")] = None,
    sssom: Annotated[list[Path] | None, typer.Option(help="Mappings in SSSOM TSV: which ids mean one disease.")] = None,
    hpo: Annotated[bool, typer.Option("--hpo", help="Add the diseases of HPO's annotations.")] = False,
    json_out: Json = None,
) -> None:
    """Build one index file from any mix of sources (plain or gzipped; options may be repeated)."""
    from diagnosis_zero.nomenclature import sources
    from diagnosis_zero.nomenclature.build import build as write
    from diagnosis_zero.nomenclature.sources import hpo as annotations
    from diagnosis_zero.records import sha256, write_json

    given = {
        "orphanet-hypernyms": orphanet_hypernyms or [],
        "orphadata": orphadata or [],
        "obo": obo or [],
        "obographs": obographs or [],
        "sssom": sssom or [],
        "hpo": [annotations.packaged()] if hpo else [],
    }
    files = [(kind, path) for kind, paths in given.items() for path in paths]
    if not files:
        raise InputError("no source given", mend="Give at least one, for example --hpo.")
    for _, path in files:
        if not path.is_file():
            raise InputError("no such file", where=path, mend="docs/reward.md says where each source is had.")
    facts = chain.from_iterable(sources.READERS[kind](path) for kind, path in _shown(files, "reading"))
    about = {"sources": [{"kind": kind, "file": path.name, "sha256": sha256(path)} for kind, path in files]}
    counts = write(facts, out, about=about)
    if json_out:
        write_json(json_out, {**about, **counts})
    typer.echo(", ".join(f"{count:,} {what}" for what, count in counts.items()))
    typer.echo(out)


@commands.command()
def find(
    name: Annotated[str, typer.Argument(help="A disease name, or an identifier such as ORPHA:558.")],
    catalogue: Opened = "default",
) -> None:
    """Say which disease a name means, all its names, and what it stands under."""
    opened = _open(catalogue)
    if opened is None:
        raise InputError("nothing to find a name in", mend="Leave out --catalogue none.")
    number = opened.identified(name)
    found = opened.find(name)
    numbers = [number] if number is not None else sorted(found.entries)
    if not numbers:
        typer.echo(f"{name}: not in this catalogue")
        raise typer.Exit(code=1)
    if found.ambiguous and number is None:
        typer.echo(f"{name}: ambiguous, it means {len(numbers)} diseases")
    for number in numbers:
        typer.echo("\n".join(_described(opened, number)))
    others = sorted({entry for entry, _, _ in found.said} - set(numbers))
    if others and number is None:
        typer.echo(f"less directly also: {', '.join(opened.entry(other).id for other in others)}")


@commands.command()
def audit(
    catalogue: Opened = "default",
    limit: Annotated[int | None, typer.Option(min=1, help="Audit this many diseases, evenly spread.")] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Audit 300 diseases.")] = False,
    json_out: Json = None,
) -> None:
    """How many diseases have another that the reward would accept, and what share of synonyms it accepts."""
    from functools import partial

    from diagnosis_zero.nomenclature.audit import audit as count
    from diagnosis_zero.nomenclature.audit import diseases
    from diagnosis_zero.records import write_json

    opened = _open(catalogue)
    if opened is None:
        raise InputError("nothing to audit", mend="Leave out --catalogue none.")
    methods = {
        "sequence": _method("sequence", None),
        "ontology": _method("ontology", opened),
        "ontology, names unknown": _method("ontology", None),
    }
    found = diseases(opened, 300 if quick else limit)
    tallies = count(opened, methods, found, track=partial(_shown, doing="auditing"))
    figures = {name: tally.as_dict() for name, tally in tallies.items()}
    if json_out:
        write_json(json_out, {"catalogue": str(opened.path), "meta": opened.meta(), "methods": figures})
    typer.echo("\n".join(_audit_table(figures)))


def _audit_table(figures: dict[str, dict[str, Any]]) -> Iterator[str]:
    yield f"{'method':25s} {'diseases':>9s} {'another accepted':>17s} {'synonyms':>9s} {'accepted':>9s}"
    for name, row in figures.items():
        wrong, accepted = row["wrong_disease_acceptance"], row["synonyms_accepted"]
        yield f"{name:25s} {row['diseases']:9,} {wrong:17.2%} {row['synonyms']:9,} {accepted:9.2%}"
    for name, row in figures.items():
        for what, examples in (("accepted wrongly", "wrong_examples"), ("refused", "refused_examples")):
            yield from (f"{name}, {what}: {example}" for example in row[examples][:3])


def _described(catalogue: Catalogue, number: int) -> Iterator[str]:
    entry = catalogue.entry(number)
    yield f"{entry.id} {entry.name}"
    yield f"  identifiers: {', '.join(entry.ids)}"
    for scope, texts in catalogue.names(number).items():
        yield f"  {scope}: {'; '.join(texts)}"
    for what, parents in (("accepted", entry.accepted_parents), ("too broad", entry.broad_parents)):
        if parents:
            yield f"  hypernyms, {what}: {'; '.join(sorted(catalogue.entry(parent).name for parent in parents))}"


def score(
    pairs: Annotated[Path, typer.Argument(help='JSON Lines of {"prediction": str, "references": [str, ...]}.')],
    out: Annotated[Path, typer.Option(help="The rows again, with label, score, rule and matched_id.")],
    catalogue: Opened = "default",
    method: Annotated[str, typer.Option(help="ontology, or sequence (the original system's formula).")] = "ontology",
    limit: Annotated[int | None, typer.Option(min=1, help="Read this many rows at most.")] = None,
    skip_bad: Annotated[
        bool, typer.Option("--skip-bad", help="Put bad rows into OUT's neighbour .rejected.jsonl instead of stopping.")
    ] = False,
    json_out: Json = None,
) -> None:
    """Score predicted names against accepted ones: 2 the same disease, 1 an accepted hypernym, 0 neither."""
    from collections import Counter

    from diagnosis_zero.cases.source import Rejected
    from diagnosis_zero.nomenclature.score import score_lines
    from diagnosis_zero.records import atomic_write, read_lines, write_json, write_jsonl

    judge = _method(method, None if method == "sequence" else _open(catalogue))
    labels: Counter[int] = Counter()
    rejected: list[Rejected] = []
    with atomic_write(out) as handle:
        for row in score_lines(_shown(islice(read_lines(pairs), limit), "scoring"), judge, pairs, skip_bad):
            if isinstance(row, Rejected):
                rejected.append(row)
                continue
            labels[row["label"]] += 1
            handle.write(json.dumps(row, ensure_ascii=False) + "\n")
        if rejected and not labels:
            raise InputError(f"no row is left: all {len(rejected):,} are bad ({rejected[0].message})", where=pairs)
    if json_out:
        counts = {str(label): labels[label] for label in (2, 1, 0)}
        write_json(json_out, {"rows": labels.total(), "labels": counts, "rejected": len(rejected)})
    typer.echo(f"{labels.total():,} rows: " + ", ".join(f"label {label} {labels[label]:,}" for label in (2, 1, 0)))
    typer.echo(out)
    if skip_bad:
        aside = out.with_suffix(".rejected.jsonl")
        typer.echo(f"{write_jsonl(aside, rejected):,} bad rows left out")
        typer.echo(aside)


def _method(name: str, catalogue: Catalogue | None) -> MatchFn:
    """A way to judge pairs, by its name."""
    if name == "sequence":
        from diagnosis_zero.rewards import sequence

        return lambda prediction, references, ids: sequence.match(prediction, references)
    if name != "ontology":
        raise InputError(f"unknown method {name!r}", mend=nearest(name, ["ontology", "sequence"]))
    from diagnosis_zero.nomenclature.match import match

    return lambda prediction, references, ids: match(prediction, references, reference_ids=ids, catalogue=catalogue)


def _open(catalogue: str) -> Catalogue | None:
    from diagnosis_zero.nomenclature.catalogue import Catalogue, default_catalogue

    if catalogue == "none":
        return None
    return default_catalogue() if catalogue == "default" else Catalogue.open(catalogue)


def _shown(items: Iterable[Any], doing: str) -> Iterable[Any]:
    """A progress bar on a terminal; nothing elsewhere."""
    console = Console(stderr=True)
    if not console.is_terminal:
        return items
    from rich.progress import track

    return track(items, description=doing, console=console, transient=True)
