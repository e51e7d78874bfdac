"""``dz evaluate``, ``dz compare`` and ``dz judge-audit``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, cast

import typer

from diagnosis_zero.cli import review
from diagnosis_zero.cli.benchmark import benchmark
from diagnosis_zero.cli.diagnose import diagnose
from diagnosis_zero.cli.progress import progress, say
from diagnosis_zero.errors import InputError, nearest

if TYPE_CHECKING:
    from diagnosis_zero.evaluate.compare import Comparison
    from diagnosis_zero.evaluate.endpoint import Endpoint
    from diagnosis_zero.evaluate.replies import Streaming
    from diagnosis_zero.evaluate.summary import Summary
    from diagnosis_zero.evaluate.target import Target
    from diagnosis_zero.types import Case, Generator

Json = Annotated[Path | None, typer.Option("--json", help="Write the figures to this file too.")]


def register(app: typer.Typer) -> None:
    """Add the commands of evaluation to ``app``."""
    app.command("evaluate")(evaluate)
    app.command("compare")(compare)
    app.command("judge-audit")(judge_audit)
    app.command("benchmark")(benchmark)
    app.command("diagnose")(diagnose)
    app.add_typer(review.commands, name="review")


def evaluate(
    model_or_run: Annotated[str, typer.Argument(help="A run folder, a model (HF id or folder), or a server's model.")],
    cases: Annotated[Path | None, typer.Option(help="A data folder of `dz prepare`, or a cases.jsonl.")] = None,
    split: Annotated[str, typer.Option(help="Which cases of a data folder: train, val, test, or all.")] = "test",
    steps: Annotated[str, typer.Option(help="Of a run: last, ends, all, or numbers like 0,100,200.")] = "last",
    out: Annotated[Path | None, typer.Option(help="Folder of the evaluations, one in it for each step.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Evaluate the first N cases.")] = None,
    template: Annotated[str | None, typer.Option(help="Prompt: diagnosis, top5, short, or a file.")] = None,
    top: Annotated[int, typer.Option(help="1: the answer is one diagnosis; 5: a ranked list.")] = 1,
    samples: Annotated[int, typer.Option(min=1, help="Answers to each case.")] = 1,
    temperature: Annotated[float | None, typer.Option(min=0, help="0 is greedy. Default: 0; 1 for samples.")] = None,
    max_tokens: Annotated[
        int | None, typer.Option(min=1, help="Longest answer. Default: the run's, else 1024.")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Of the sampling. Default: the run's, else 0.")] = None,
    think_opened: Annotated[bool, typer.Option("--think-opened", help="The chat template opens <think>.")] = False,
    raw: Annotated[bool, typer.Option("--raw", help="Plain completion, without a chat template.")] = False,
    endpoint: Annotated[str | None, typer.Option(help="Ask an OpenAI-compatible server instead (.../v1).")] = None,
    api_version: Annotated[str | None, typer.Option(help="API version of an Azure deployment.")] = None,
    key_env: Annotated[str | None, typer.Option(help="Environment variable that holds the endpoint's key.")] = None,
    allow_remote: Annotated[bool, typer.Option("--allow-remote", help="Texts may leave this machine.")] = False,
    concurrency: Annotated[int, typer.Option(min=1, help="Calls under way at once.")] = 8,
    rpm: Annotated[float | None, typer.Option(min=0.1, help="Most calls a minute.")] = None,
    timeout: Annotated[float, typer.Option(min=0.1, help="Seconds to wait for a reply.")] = 120,
    judge: Annotated[
        str | None, typer.Option(help="ontology, sequence, llm, or ontology+llm. Default: the run's, else ontology.")
    ] = None,
    catalogue: Annotated[str | None, typer.Option(help="For the ontology: default, none, or a file.")] = None,
    judge_endpoint: Annotated[str | None, typer.Option(help="Server of the LLM judge.")] = None,
    judge_model: Annotated[list[str] | None, typer.Option(help="Repeat for a majority of several judges.")] = None,
    judge_key_env: Annotated[str | None, typer.Option(help="Environment variable of the judge's key.")] = None,
    judge_template: Annotated[Path | None, typer.Option(help="Your own judge prompt, with {answer}.")] = None,
    judge_temperature: Annotated[float, typer.Option(min=0)] = 0.0,
    judge_cache: Annotated[Path | None, typer.Option(help="Verdicts paid for. Default: in your cache folder.")] = None,
    protocol: Annotated[str, typer.Option(help="RareArena's scoring: 2024 or 2026.")] = "2024",
    hypernyms: Annotated[Path | None, typer.Option(help="RareArena's orphanet_hypernym.json, for 2026.")] = None,
    price_in: Annotated[float, typer.Option(min=0, help="Judge's price of a million prompt tokens.")] = 0.0,
    price_out: Annotated[float, typer.Option(min=0, help="Judge's price of a million reply tokens.")] = 0.0,
    budget: Annotated[float | None, typer.Option(min=0, help="Judging stops cleanly before it costs more.")] = None,
    ranks: Annotated[
        list[Path] | None, typer.Option(help="Another system's ranks on the same patients (label 2 or 1); repeat.")
    ] = None,
    subgroups: Annotated[bool, typer.Option("--subgroups", help="Accuracy by kind of patient too.")] = False,
    unreliable: Annotated[Path | None, typer.Option(help="Ids of cases with a doubtful diagnosis, one a line.")] = None,
    json_out: Json = None,
) -> None:
    """Answer held-out cases, judge the answers, and say how sure the figures are."""
    from diagnosis_zero import prompts
    from diagnosis_zero.cli.judging import Judging, open_judge
    from diagnosis_zero.evaluate import run
    from diagnosis_zero.evaluate.endpoint import Endpoint, check_address
    from diagnosis_zero.evaluate.llm_judge import Bill
    from diagnosis_zero.types import SamplingParams

    if top not in (1, 5):
        raise InputError(f"--top is {top}", mend="It is 1 or 5.")
    own = own_settings(model_or_run)
    looked_up = model_or_run.startswith("baseline:")
    default = "top5" if top == 5 else own.template
    wording = prompts.PLACEHOLDER if looked_up else prompts.load_template(template or default)
    chosen = _cases(model_or_run, cases, split, limit)
    warmth = temperature if temperature is not None else own.temperature if samples > 1 else 0.0
    params = SamplingParams(max_tokens or own.max_tokens, warmth, seed=own.seed if seed is None else seed)
    style: Literal["chat", "raw"] = "raw" if raw else "chat"
    calls: dict[str, Any] = {
        "allow_remote": allow_remote,
        "concurrency": concurrency,
        "requests_per_minute": rpm,
        "timeout": timeout,
    }
    server = Endpoint(endpoint, model_or_run, style, key_env, api_version, **calls) if endpoint else None
    if server and (sends := check_address(server, f"{len(chosen)} case texts")):
        say(sends)
    source = catalogue or own.catalogue
    judging = Judging(
        method=judge or own.judge,
        catalogue=None if source == "none" else source,
        server=Endpoint(judge_endpoint, "", key_variable=judge_key_env, **calls) if judge_endpoint else None,
        models=tuple(judge_model or ()),
        protocol=protocol,
        hypernyms=hypernyms,
        template=judge_template,
        cache=judge_cache,
        temperature=judge_temperature,
        bill=Bill(price_in, price_out, budget),
    )
    home = _home(model_or_run, out)
    summaries, folders = [], []
    with progress("judging") as judged, open_judge(judging, say, judged) as named_judge:
        for target in _targets(model_or_run, steps, own, server):
            folder = home / (target.slug + _suffix(top, samples))
            with progress(f"{target.name} step {target.step}") as report:
                generator, opened = _generator(target, server, cases, raw=raw)
                summary = run.evaluate(
                    generator,
                    chosen,
                    folder,
                    model=own.model or target.name,
                    step=target.step,
                    template=wording,
                    params=params,
                    n=samples,
                    top=top,
                    judge=named_judge,
                    catalogue=judging.catalogue,
                    think_opened=think_opened or opened,
                    weights=target.weights if out else "",
                    progress=report,
                )
            summaries.append(summary)
            folders.append(folder)
    beside = _beside(ranks or (), folders[-1], top)
    _print(summaries, folders, judging.bill, beside, json_out)
    for folder in folders if subgroups else ():
        _print_subgroups(folder, chosen, _training(cases), hypernyms, unreliable)


def compare(
    first: Annotated[Path, typer.Argument(help="An evaluation folder, or a table of another system's ranks.")],
    second: Annotated[Path, typer.Argument(help="An evaluation folder: after.")],
    cluster: Annotated[str, typer.Option(help="What makes cases alike: article, disease, or none.")] = "article",
    top: Annotated[int, typer.Option(help="1: the first diagnosis; 5: the best of five.")] = 1,
    broader: Annotated[bool, typer.Option("--broader", help="Label 1 counts as right too.")] = False,
    headline: Annotated[bool, typer.Option("--headline", help="Without cases whose text names the answer.")] = False,
    json_out: Json = None,
) -> None:
    """Say in one sentence whether the difference between two evaluations of the same cases is real."""
    from diagnosis_zero import records
    from diagnosis_zero.evaluate import compare as comparing

    if cluster not in ("article", "disease", "none"):
        raise InputError(f"--cluster is {cluster!r}", mend="It is article, disease or none.")
    grouping = cast("comparing.Cluster", cluster)
    found = comparing.compare(first, second, cluster=grouping, top=top, broader=broader, leaking=not headline)
    typer.echo(found.sentence)
    if found.differing:
        typer.echo(f"They were not asked or judged alike: {', '.join(found.differing)}.")
    if found.dropped:
        typer.echo(f"{found.dropped} cases were left out: in one evaluation only, unscored, or failed.")
    if json_out:
        records.write_json(json_out, records.as_dict(found))


def judge_audit(
    pairs: Annotated[Path, typer.Argument(help='JSONL of {"prediction", "reference", "judges": {name: true}}.')],
    dear: Annotated[
        str | None, typer.Option(help="The judge to be trusted. Default: the one with most labels.")
    ] = None,
    broader: Annotated[bool, typer.Option("--broader", help="Label 1 counts as right too.")] = False,
    catalogue: Annotated[str, typer.Option(help="Of our ontology judge: default, none, or a file.")] = "default",
    json_out: Json = None,
) -> None:
    """Set judges against each other, ours among them: agreement, kappa, and accuracy calibrated to the dear judge."""
    from diagnosis_zero import records
    from diagnosis_zero.cli.judging import catalogue_note
    from diagnosis_zero.evaluate import judge_audit as audit
    from diagnosis_zero.evaluate import tables
    from diagnosis_zero.evaluate.calibrate import calibrate
    from diagnosis_zero.evaluate.judge import by_name

    rows = audit.read_pairs(pairs)
    given = audit.judges_of(rows)
    if not given:
        raise InputError("no judge has labelled anything in it", where=pairs)
    trusted = dear or given[0]
    if trusted not in given:
        raise InputError(f"no judge named {trusted!r}", where=pairs, mend=nearest(trusted, given))
    source = None if catalogue == "none" else catalogue
    for name in ("ontology", "sequence"):
        if name not in given:
            rows = audit.with_judge(rows, name, by_name(name, source))
    agreements = audit.agreements(rows, broader=broader)
    with_trusted = [{one.first, one.second} for one in agreements if trusted in (one.first, one.second)]
    cheap = [name for names in with_trusted for name in names - {trusted}]
    calibrations = [calibrate(rows, name, trusted, broader=broader) for name in cheap]
    typer.echo(tables.agreement_table(agreements))
    typer.echo()
    typer.echo(tables.calibration_table(calibrations))
    typer.echo(f"Calibrated holds as far as the answers that {trusted} judged are like the others.")
    if "ontology" not in given:
        typer.echo(catalogue_note(source))
    if json_out:
        figures = {
            "pairs": len(rows),
            "catalogue": catalogue,
            "agreements": [records.as_dict(one) for one in agreements],
            "calibrations": [records.as_dict(one) for one in calibrations],
        }
        records.write_json(json_out, figures)


@dataclass(frozen=True, slots=True)
class Own:
    """What stands for options that are not given: a run's own settings, so that its evaluations are continued."""

    template: str = "diagnosis"
    model: str | None = None
    max_tokens: int = 1024
    temperature: float = 1.0
    seed: int = 0
    judge: str = "ontology"
    catalogue: str = "default"


def own_settings(model_or_run: str) -> Own:
    """A run's settings from its configuration; the defaults for anything else."""
    path = Path(model_or_run) / "config.toml"
    if not path.is_file():
        return Own()
    from diagnosis_zero import config
    from diagnosis_zero.experiment import EVALUATION_SEED

    recipe = config.load(path)
    return Own(
        recipe.prompt.template,
        recipe.model.id,
        recipe.rollout.max_tokens,
        recipe.rollout.temperature,
        EVALUATION_SEED,
        recipe.reward.method,
        recipe.reward.source or "none",
    )


def _targets(model_or_run: str, steps: str, own: Own, server: Endpoint | None) -> Sequence[Target]:
    from diagnosis_zero.evaluate.target import Target, slug, targets

    if server:
        return [Target(model_or_run, 0, model_or_run, slug(model_or_run))]
    return targets(model_or_run, steps, None if own.model == "tiny" else own.model)


def _cases(model_or_run: str, given: Path | None, split: str, limit: int | None) -> list[Case]:
    from diagnosis_zero import records
    from diagnosis_zero.cases import export
    from diagnosis_zero.types import Case

    own = Path(model_or_run) / "evaluations" / "cases.jsonl"
    path = given or (own if own.is_file() else None)
    if path is None:
        raise InputError("which cases?", mend="Give --cases, a folder that `dz prepare` wrote.")
    if path.is_dir():
        found = export.read_cases(path, None if split == "all" else split)
    else:
        found = list(records.read_jsonl(path, Case))
    return found[:limit]


def _generator(
    target: Target, server: Endpoint | None, cases: Path | None, *, raw: bool
) -> tuple[Generator | Streaming, bool]:
    """What answers, and whether its chat template opens the reasoning."""
    if server:
        from diagnosis_zero.evaluate.clients import OpenAIGenerator

        return OpenAIGenerator(server), False
    if target.model.startswith("baseline:"):
        from diagnosis_zero.evaluate.baselines import baseline

        return baseline(target.model.removeprefix("baseline:"), _training(cases)), False
    from diagnosis_zero.engine.generate import load_generator
    from diagnosis_zero.train.start import opens_thinking

    generator = load_generator(target.model, dtype=target.dtype, raw=raw)
    return generator, not raw and opens_thinking(generator.policy)


def _training(cases: Path | None) -> list[Case]:
    """The training cases beside the evaluated ones, none where only a file of cases was given."""
    from diagnosis_zero.cases import export

    return export.read_cases(cases, "train") if cases and cases.is_dir() else []


def _home(model_or_run: str, out: Path | None) -> Path:
    from diagnosis_zero.evaluate.target import is_run

    if out is not None:
        return out
    return Path(model_or_run) / "evaluations" if is_run(model_or_run) else Path("evaluations")


def _suffix(top: int, samples: int) -> str:
    """Evaluations of one model that differ in how it is asked stand side by side, as training names them."""
    return (f".top{top}" if top > 1 else "") + (".sampled" if samples > 1 else "")


def _beside(ranks: Sequence[Path], folder: Path, top: int) -> list[tuple[int, Comparison]]:
    """The evaluation against each table of ranks on the patients that both have, by the first and the best of five."""
    from diagnosis_zero.evaluate.compare import compare as compare_folders

    return [
        (best, compare_folders(path, folder, top=best, broader=True))
        for path in ranks
        for best in ((1, 5) if top == 5 else (1,))
    ]


def _print(
    summaries: Sequence[Summary],
    folders: Sequence[Path],
    bill: Any,
    beside: Sequence[tuple[int, Comparison]],
    json_out: Path | None,
) -> None:
    from diagnosis_zero import records
    from diagnosis_zero.evaluate.compare import compare as compare_folders
    from diagnosis_zero.evaluate.protocol import table
    from diagnosis_zero.evaluate.stats import holm
    from diagnosis_zero.evaluate.tables import beside_table, bounds_line, steps_table

    against = [compare_folders(folders[0], folder) for folder in folders[1:]]
    adjusted = [None, *holm([found.p for found in against])]
    typer.echo(steps_table(summaries, adjusted))
    if line := bounds_line(summaries[-1]):
        typer.echo(line)
    if any("top5" in summary.grades for summary in summaries):
        typer.echo(table([(f"{summary.model} step {summary.step}", summary.grades) for summary in summaries]))
    if beside:
        typer.echo(beside_table(beside))
    if len(against) == 1:
        typer.echo(against[0].sentence)
    if bill.calls or bill.cached:
        cost = f", {bill.cost:.2f} in money" if bill.price_in or bill.price_out else ""
        tokens = bill.prompt_tokens + bill.tokens
        typer.echo(f"judging: {bill.calls} calls, {bill.cached} from the cache, {tokens:,} tokens{cost}")
    for folder in folders:
        typer.echo(str(folder))
    if json_out:
        figures = [records.as_dict(summary) for summary in summaries]
        pairs = [records.as_dict(found) | {"p_holm": p} for found, p in zip(against, adjusted[1:], strict=True)]
        others = [{"top": best} | records.as_dict(found) for best, found in beside]
        records.write_json(json_out, {"evaluations": figures, "against_first": pairs, "beside": others})


def _print_subgroups(
    folder: Path, cases: Sequence[Case], training: Sequence[Case], hypernyms: Path | None, unreliable: Path | None
) -> None:
    from diagnosis_zero import records
    from diagnosis_zero.evaluate import subgroups as groups
    from diagnosis_zero.evaluate.protocol import load_hypernyms
    from diagnosis_zero.evaluate.tables import subgroup_table
    from diagnosis_zero.types import Answer, Verdict

    known = groups.Known(
        groups.training_keys(training),
        load_hypernyms(hypernyms) if hypernyms else {},
        frozenset(records.read_text(unreliable).split()) if unreliable else frozenset(),
    )
    answers = list(records.read_jsonl(folder / "answers.jsonl", Answer))
    verdicts = list(records.read_jsonl(folder / "verdicts.jsonl", Verdict))
    found = groups.subgroups({case.id: case for case in cases}, answers, verdicts, known)
    records.write_json(folder / "subgroups.json", [records.as_dict(one) for one in found])
    typer.echo(subgroup_table(found))
