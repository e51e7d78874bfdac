"""The card of one checkpoint, a README.md for model hubs: data, recipe, results with intervals, behaviours, limits,
licences. No word of a case, no answer of the model, no name of a folder stands in it.
"""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import tomli_w
from jinja2 import Environment, PackageLoader, StrictUndefined

from diagnosis_zero import __version__, licences
from diagnosis_zero.evaluate.stats import Estimate
from diagnosis_zero.prompts import load_template
from diagnosis_zero.records import read_json
from diagnosis_zero.report import behaviours, plain, results
from diagnosis_zero.report import provenance as origin
from diagnosis_zero.report.load import Evaluation, Run
from diagnosis_zero.report.tables import Cell, Column, Table, write_number

FIGURES: Mapping[str, str] = {
    "headline": "Same disease, the case's text not naming it",
    "accuracy": "Same disease",
    "total": "Same disease or an accepted broader one",
    "mean_at_n": "Same disease, mean over the samples",
    "majority": "Same disease, majority of the samples",
    "top5": "Same disease among the first five",
    "top5_total": "Same disease or an accepted broader one among the first five",
}
"""Estimates of ``summary.json`` (``evaluate.summary``) in the order of the table."""
SHARES: Mapping[str, str] = {"well_formed": "Answers in complete form", "truncated": "Answers cut by the limit"}
BASES: Mapping[str, str] = {"smollm2": "HuggingFaceTB/SmolLM2-135M-Instruct"}
"""Names of base models on the hub, where the recipe has a shorter one."""


A_PATH = "(a path of the machine)"


class Markdown(str):
    """Text that is Markdown already; every other value of the template is escaped."""

    __slots__ = ()


def card(run: Run, step: int) -> str:
    """The card of the checkpoint of ``step``. Figures are those of the run's evaluations of that step."""
    until = up_to(run, step)
    judge = results.deciding_judge([until])
    found = [one for one in (*until.evaluations, *until.sampled) if one.step == step]
    return (
        _environment()
        .get_template("card.md.j2")
        .render(
            front=Markdown(_front(run, step, found)),
            run=run.name,
            step=step,
            notice=origin.NOTICE,
            trained=origin.trained(run, redact=True),
            evaluated=bool(found),
            headline=results.headline(until),
            tables=[one for one in (results.before_after(until, judge), _figures(found)) if one and one.rows],
            judge=judge,
            behaviours=[table for table in behaviours.tables(until, judge, redact=True) if table.rows],
            alarms=behaviours.warnings(until),
            template=prompt(run, step),
            max_tokens=_get(run.config, "rollout", "max_tokens") or 1024,
            recipe=tomli_w.dumps(without_folders(run.config)),
            facts=list(_facts(run, step)),
            data=list(_data(run)),
            limits=list(_limits(run, found)),
            licences=[*origin.licences([run]), f"Base model: {licences.of_model(origin.base_model(run))}."],
            version=__version__,
        )
    )


def up_to(run: Run, step: int) -> Run:
    """The run as it stood at ``step``."""
    return dataclasses.replace(
        run,
        metrics=tuple(row for row in run.metrics if row.get("step", 0) <= step),
        evaluations=tuple(one for one in run.evaluations if one.step <= step),
        sampled=tuple(one for one in run.sampled if one.step <= step),
        rollouts=tuple(one for one in run.rollouts if one.step <= step),
    )


def prompt(run: Run, step: int) -> str:
    """The template of the prompt that this step was evaluated with, else that of another evaluation or the recipe.

    Raises:
        InputError: there is no evaluation, and the recipe's template is a file that is gone.
    """
    for one in sorted((*run.evaluations, *run.sampled), key=lambda one: one.step != step):
        settings = one.path / "evaluation.json"
        if settings.is_file() and (template := read_json(settings).get("template")):
            return str(template)
    return load_template(str(_get(run.config, "prompt", "template") or "diagnosis"))


def without_folders(tree: Mapping[str, Any]) -> dict[str, Any]:
    """A recipe to be shown: every path replaced, the data's folder too where it is a bare name, and no ``run.dir``."""
    shown: dict[str, Any] = _without_paths(tree)
    if isinstance(run := shown.get("run"), dict):
        run.pop("dir", None)
    if isinstance(data := shown.get("data"), dict) and "folder" in data:
        data["folder"] = A_PATH
    if isinstance(model := shown.get("model"), dict):
        model["id"] = origin.hub_name(str(_get(tree, "model", "id") or "")) or A_PATH
    return shown


# --- parts of the card


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("diagnosis_zero.report"),
        autoescape=False,  # noqa: S701 - Markdown: ``finalize`` escapes every value instead
        finalize=lambda value: value if isinstance(value, Markdown) else plain.escape(str(value)),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["table"] = lambda table: Markdown(plain.markdown(table))
    environment.filters["fenced"] = lambda text, language="": Markdown(plain.fenced(text, language))
    return environment


def _front(run: Run, step: int, found: Sequence[Evaluation]) -> str:
    """The hub's metadata: YAML, each value written as JSON, which YAML reads."""
    base = BASES.get(origin.base_model(run), origin.base_model(run))
    values: dict[str, Any] = {
        "library_name": "transformers",
        "pipeline_tag": "text-generation",
        "language": ["en"],
        "license": "other",
        "license_name": "of-the-base-model-and-the-data",
        "license_link": "README.md#licences",
        "tags": ["rare-diseases", "diagnosis", "reinforcement-learning", "diagnosis-zero", "research-only"],
        **({"base_model": base} if base != "tiny" and origin.hub_name(base) else {}),
        **({"model-index": [_index(run, step, found)]} if found else {}),
    }
    return "\n".join(f"{key}: {json.dumps(value, ensure_ascii=True)}" for key, value in values.items())


def _index(run: Run, step: int, found: Sequence[Evaluation]) -> dict[str, Any]:
    """Results as the hub reads them (its model-index)."""
    dataset = {"name": "held-out cases", "type": "held-out-cases", "split": "test"}
    task = {"type": "text-generation", "name": "Diagnosis of rare diseases"}
    metrics = [
        {"type": "accuracy", "name": f"{label} ({_kind(one)})", "value": estimate.value}
        for one in found
        for label, estimate in _shares_right(_summary(one))
    ]
    results = [{"task": task, "dataset": dataset, "metrics": metrics}] if metrics else []
    return {"name": f"{run.name}, step {step}", "results": results}


def _figures(found: Sequence[Evaluation]) -> Table:
    """Every figure of the summaries of this checkpoint, one column an evaluation."""
    summaries = [_summary(one) for one in found]
    columns = [{**dict(_shares_right(summary)), **dict(_bounds(summary))} for summary in summaries]
    labels = dict.fromkeys(label for column in columns for label in column)
    rows: list[tuple[Cell, ...]] = [(label, *(column.get(label) for column in columns)) for label in labels]
    rows += [(label, *(summary.get(key) for summary in summaries)) for key, label in SHARES.items()]
    rows.append(("Answers: asked, failed, without a verdict", *map(_counts, summaries)))
    heads = [Column(f"evaluation_{i}", f"{_kind(one)}, step {one.step:,}", "percent") for i, one in enumerate(found)]
    note = "Shares of held-out cases with 95 % intervals; cases of one article count as one cluster."
    return Table("figures", "Figures", (Column("figure", "Figure"), *heads), tuple(rows if found else ()), note)


def _shares_right(summary: Mapping[str, Any]) -> Iterator[tuple[str, Estimate]]:
    for key, label in FIGURES.items():
        if summary.get(key):
            yield label, Estimate(**summary[key])
    for k, chance in (summary.get("pass_at") or {}).items():
        if int(k) > 1:
            yield f"A right answer among {k} samples", Estimate(**chance)


def _bounds(summary: Mapping[str, Any]) -> Iterator[tuple[str, Estimate]]:
    for name, bound in (summary.get("bounds") or {}).items():
        yield f"For comparison, on these generated cases: {name.replace('_', ' ')}", Estimate(**bound)


def _counts(summary: Mapping[str, Any]) -> str:
    if not summary:
        return "–"
    asked = summary["answers"] + summary["failed"]
    return f"{asked:,}, {summary['failed']:,}, {summary['unscored']:,}"


def _summary(one: Evaluation) -> Mapping[str, Any]:
    path = one.path / "summary.json"
    return dict(read_json(path)) if path.is_file() else {}


def _kind(one: Evaluation) -> str:
    samples = 1 + max(answer.sample for answer in one.answers)
    return f"{samples} samples a case" if one.sampled else "greedy"


def _facts(run: Run, step: int) -> Iterator[tuple[str, str]]:
    yield "Base model", origin.hub_name(origin.base_model(run)) or "a local folder"
    for key, label in {"parameters": "Parameters", "dtype": "Number format", "seed": "Seed"}.items():
        if key in run.manifest:
            value = run.manifest[key]
            yield label, f"{value:,}" if isinstance(value, int) else str(value)
    if run.manifest.get("created"):
        yield "Started", str(run.manifest["created"])
    yield "Versions", ", ".join(f"{name} {version}" for name, version in (run.manifest.get("versions") or {}).items())
    yield "Commit of diagnosis-zero", str(run.manifest.get("git") or "a release")
    rows = [row for row in run.metrics if row.get("kind") == "train" and row.get("step", 0) <= step]
    for key, label in _LAST.items():
        if rows and isinstance(rows[-1].get(key), int | float):
            yield f"{label}, step {rows[-1]['step']:,}", write_number(rows[-1][key], "number")
    events = Counter(
        str(row.get("event")) for row in run.metrics if row.get("kind") == "event" and row.get("step", 0) <= step
    )
    yield "Events", ", ".join(f"{name} ({count})" for name, count in sorted(events.items())) or "none"


_LAST = {"reward/mean": "Mean reward", "length/mean": "Mean tokens", "policy/entropy": "Entropy", "policy/kl": "KL"}


def _data(run: Run) -> Iterator[tuple[str, str]]:
    manifest = origin.data_manifest(run)
    trained = run.manifest.get("cases") or {}
    if trained:
        yield "Cases", ", ".join(f"{count:,} {split}" for split, count in trained.items())
    yield "Sources", ", ".join(manifest.get("licences") or sorted({c.source for c in run.cases.values()}) or ["?"])
    if not manifest:
        return
    yield "Split", f"{manifest.get('split')} (seed {manifest.get('seed')})"
    dropped = manifest.get("dropped") or {}
    yield "Read, kept", f"{manifest.get('read', 0):,}, {manifest.get('kept', 0):,}"
    yield "Dropped", ", ".join(f"{count:,} {reason}" for reason, count in dropped.items()) or "none"
    leaking = (manifest.get("leakage") or {}).get("kept") or {}
    yield "Texts that name the answer", ", ".join(f"{count:,} {split}" for split, count in leaking.items()) or "none"
    for i, read in enumerate(manifest.get("inputs") or (), start=1):
        yield f"SHA-256 of input {i}", str(read.get("sha256"))


def _limits(run: Run, found: Sequence[Evaluation]) -> Iterator[str]:
    yield "It was trained to name a disease always, also where none can be known; how sure it sounds says nothing."
    yield "One training run: how far runs of other seeds would lie from it is not known."
    yield "English texts only. Judged by the name of the disease alone: whether its reasoning is sound was not judged."
    sources = {case.source for case in run.cases.values()} | set(origin.data_manifest(run).get("licences") or ())
    if "vignettes" in sources:
        yield "Trained or evaluated on generated patients: what it does on real case reports is not known from that."
    if sources - {"vignettes"}:
        yield (
            "Published cases are not a sample of patients: odd courses are written up, common ones are not, and the "
            "base model may have read them."
        )
    for one in found:
        leaking = len({answer.case_id for answer in one.answers if answer.leaks})
        faulty = sum(bool(answer.faults) for answer in one.answers) / len(one.answers)
        if leaking:
            yield f"The text of {leaking:,} of its evaluated cases names the answer; the comparison leaves them out."
        yield f"{write_number(faulty, 'percent')} of its answers ({_kind(one)}) are not in complete form."


def _without_paths(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _without_paths(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_without_paths(item) for item in value]
    return A_PATH if isinstance(value, str) and ("/" in value or "\\" in value) else value


def _get(tree: Mapping[str, Any], *keys: str) -> Any:
    node: Any = tree
    for key in keys:
        node = node.get(key) if isinstance(node, Mapping) else None
    return node
