"""Run folders -> one self-contained HTML file.

``load`` reads, ``results`` and ``curves`` compute, ``explorer`` packs the cases, ``embed`` makes them safe, and
the template puts them in order. No text of a case or a model is ever treated as markup: Jinja2 escapes what the
template writes, and the page's scripts put in text as text.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from diagnosis_zero import __version__
from diagnosis_zero.records import atomic_write
from diagnosis_zero.report import behaviours, benchmarks, curves, embed, judges, results
from diagnosis_zero.report.explorer import Explorer, explore
from diagnosis_zero.report.load import Run, Sample, load_runs
from diagnosis_zero.report.provenance import NOTICE, licences, provenance, trained
from diagnosis_zero.report.tables import Chart, Table, write_cell
from diagnosis_zero.report.visible import visible


@dataclass(frozen=True, slots=True)
class Section:
    """One part of the page: charts, then tables."""

    id: str
    title: str
    intro: str = ""
    charts: tuple[Chart, ...] = ()
    tables: tuple[Table, ...] = ()


def build(runs: Sequence[Path], out: Path, *, redact: bool = False) -> Path:
    """Write the report of these run folders to ``out``; several runs are overlaid in the charts. What
    ``behaviour.analyse`` has not measured is left out.

    ``redact`` leaves out every text by or about a patient, so that a report on private cases can be sent.

    Raises:
        InputError: a folder is missing or holds nothing to report, or a file in it is broken.
    """
    loaded = load_runs(runs)
    judge = results.deciding_judge(loaded)
    sections = outline(loaded, judge, redact=redact)
    page = _render(loaded, judge, sections, explore(loaded, judge, redact=redact), redact=redact)
    with atomic_write(out) as handle:
        handle.write(page)
    return out


def outline(runs: Sequence[Run], judge: str | None, *, redact: bool = False) -> list[Section]:
    """The sections of the page between the summary and the cases; empty ones are left out."""
    made = [
        _result(runs, judge),
        _behaviour(runs, judge, redact),
        Section("rewards", "Rewards", "What the policy was paid for.", tuple(curves.reward_charts(runs))),
        Section("stability", "Stability", "", tuple(curves.stability_charts(runs))),
        Section("benchmarks", "Benchmarks", BENCHMARKS, (), tuple(benchmarks.table(run) for run in runs)),
        Section("judges", "Judges", "", (), tuple(judges.table(run) for run in runs)),
    ]
    kept = [_without_empty(section, redact) for section in made]
    return [section for section in kept if section.charts or section.tables]


BENCHMARKS = "What the model knew before, and whether the training cost it any of that."


def _result(runs: Sequence[Run], judge: str | None) -> Section:
    compared = [table for run in runs if (table := results.before_after(run, judge))]
    score = curves.score_chart(runs, lambda evaluation: results.point(evaluation, results.right(judge)))
    return Section(
        "result", "Result", "", (score, curves.length_chart(runs)), (results.by_step(runs, judge), *compared)
    )


def _behaviour(runs: Sequence[Run], judge: str | None, redact: bool) -> Section:
    intro = "What the training did to the way the model answers. Measured on words alone: signs, not judgements."
    tables = [table for run in runs for table in behaviours.tables(run, judge, redact=redact)]
    charts = (behaviours.form_chart(runs), *behaviours.share_charts(runs))
    return Section("behaviour", "Behaviour", intro, charts, tuple(tables))


def _without_empty(section: Section, redact: bool) -> Section:
    charts = tuple(_silent(chart) if redact else chart for chart in section.charts if chart.series)
    tables = tuple(table for table in section.tables if table.rows)
    return dataclasses.replace(section, charts=charts, tables=tables)


def _silent(chart: Chart) -> Chart:
    """Events without their messages, which may quote anything."""
    return dataclasses.replace(chart, events=tuple(dataclasses.replace(e, message="") for e in chart.events))


def _render(
    runs: Sequence[Run], judge: str | None, sections: Sequence[Section], explorer: Explorer, *, redact: bool
) -> str:
    style = embed.asset("report.css")
    scripts = [embed.asset(name) for name in embed.SCRIPTS]
    blocks = [embed.packed(part) for part in (explorer.index, *explorer.blocks)]
    return (
        _environment()
        .get_template("report.html.j2")
        .render(
            policy=embed.policy(scripts, [style, embed.PLOT_STYLE]),
            version=__version__,
            title=" · ".join(run.name for run in runs),
            style=Markup(style),  # noqa: S704 - our own file
            scripts=[Markup(script) for script in scripts],  # noqa: S704 - our own and vendored files
            blocks=[Markup(block) for block in blocks],  # noqa: S704 - base64
            data=embed.script_json(_data(runs, sections)),
            trained=[trained(run, redact=redact) for run in runs],
            headlines=[results.headline(run) for run in runs],
            warnings=[warning for run in runs for warning in behaviours.warnings(run)],
            sections=sections,
            explorer_count=len(explorer.index["ids"]),
            samples=[_sample(sample, redact) for run in runs for sample in run.samples],
            provenance=[provenance(run, redact=redact) for run in runs],
            licences=licences(runs),
            notice=NOTICE,
            redacted=redact,
        )
    )


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("diagnosis_zero.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["visible"] = visible
    environment.filters["cell"] = lambda value, form: visible(write_cell(value, form))
    return environment


def _data(runs: Sequence[Run], sections: Sequence[Section]) -> dict[str, Any]:
    """The machine-readable copy of all that the page shows but the cases."""
    charts = [chart for section in sections for chart in section.charts]
    tables = [table for section in sections for table in section.tables]
    return {
        "schema": "diagnosis-zero-report/1",
        "runs": [run.name for run in runs],
        "charts": {chart.id: dataclasses.asdict(chart) for chart in charts},
        "tables": {table.id: {"title": table.title, "rows": table.records()} for table in tables},
    }


def _sample(sample: Sample, redact: bool) -> Sample:
    return dataclasses.replace(sample, case_id="", truth="", text="", answer=None) if redact else sample
