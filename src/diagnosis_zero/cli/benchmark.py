"""``dz benchmark``: has training cost the model what it knew?"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from diagnosis_zero.cli.progress import progress, say
from diagnosis_zero.errors import InputError

if TYPE_CHECKING:
    from diagnosis_zero.evaluate.summary import Summary
    from diagnosis_zero.evaluate.target import Target

STYLES = ("loglikelihood", "generative")


def benchmark(
    model_or_run: Annotated[str, typer.Argument(help="A run folder, or a model (HF id or folder).")],
    tasks: Annotated[
        str, typer.Option(help="Of medqa, mmlu_college_medicine, medmcqa.")
    ] = "medqa,mmlu_college_medicine,medmcqa",
    style: Annotated[
        str, typer.Option(help="loglikelihood (lm-eval), generative (ours, with reasoning), both.")
    ] = "both",
    data_dir: Annotated[
        Path | None, typer.Option(help="Local question files (names: docs/evaluation.md); else the hub is asked.")
    ] = None,
    steps: Annotated[str, typer.Option(help="Of a run: ends (first and last), all, last, or numbers.")] = "ends",
    limit: Annotated[int | None, typer.Option(min=1, help="The first N questions of each task.")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder of the benchmark's evaluations.")] = None,
    max_tokens: Annotated[int, typer.Option(min=1, help="Longest generative answer.")] = 512,
    json_out: Annotated[Path | None, typer.Option("--json", help="Write the figures to this file too.")] = None,
) -> None:
    """Multiple-choice medical questions before and after training, with paired tests."""
    from diagnosis_zero.evaluate.questions import FILES
    from diagnosis_zero.evaluate.target import is_run, slug, targets

    styles = STYLES if style == "both" else (style,)
    chosen = tasks.split(",")
    _check(styles, chosen, list(FILES), data_dir)
    base = (
        out or (Path(model_or_run) if is_run(model_or_run) else Path("evaluations") / slug(model_or_run)) / "benchmarks"
    )
    weights = targets(model_or_run, steps, _base(model_or_run))
    rows = [
        (name, task, [_one(name, task, target, base / name / task, data_dir, limit, max_tokens) for target in weights])
        for name in styles
        for task in chosen
    ]
    _print(rows, weights, base, json_out)


def _check(styles: Sequence[str], tasks: Sequence[str], known: list[str], data: Path | None) -> None:
    from diagnosis_zero.errors import nearest

    for style in styles:
        if style not in STYLES:
            raise InputError(f"--style is {style!r}", mend="It is loglikelihood, generative or both.")
    for task in tasks:
        if task not in known:
            raise InputError(f"unknown task {task!r}", mend=nearest(task, known))
    if "generative" in styles and data is None:
        raise InputError("the generative style reads local files", mend="Give --data-dir, or --style loglikelihood.")


def _base(model_or_run: str) -> str | None:
    """The model that a run began with; none for one that was made at start."""
    from diagnosis_zero import config

    path = Path(model_or_run) / "config.toml"
    name = config.load(path).model.id if path.is_file() else None
    return None if name == "tiny" else name


def _one(
    style: str, task: str, target: Target, home: Path, data: Path | None, limit: int | None, max_tokens: int
) -> tuple[Summary, Path]:
    folder = home / target.slug
    say(f"{style} {task}: {target.name} step {target.step}")
    if style == "loglikelihood":
        from diagnosis_zero.evaluate.harness import evaluate_choices

        summary = evaluate_choices(
            target.model, task, folder, step=target.step, name=target.name, data=data, limit=limit
        )
    else:
        summary = _generative(task, target, folder, data, limit, max_tokens)
    return summary, folder


def _generative(
    task: str, target: Target, folder: Path, data: Path | None, limit: int | None, max_tokens: int
) -> Summary:
    from diagnosis_zero.engine.generate import load_generator
    from diagnosis_zero.evaluate import questions
    from diagnosis_zero.evaluate.run import evaluate
    from diagnosis_zero.train.start import opens_thinking
    from diagnosis_zero.types import SamplingParams

    assert data is not None
    cases = [questions.as_case(question, task) for question in questions.read_questions(task, data, limit)]
    generator = load_generator(target.model, dtype=target.dtype)
    with progress(f"{task} step {target.step}") as report:
        return evaluate(
            generator,
            cases,
            folder,
            model=target.name,
            step=target.step,
            template=questions.TEMPLATE,
            params=SamplingParams(max_tokens, 0.0),
            judge=(questions.JUDGE, questions.judge_choices),
            think_opened=opens_thinking(generator.policy),
            progress=report,
        )


def _print(
    rows: Sequence[tuple[str, str, Sequence[tuple[Summary, Path]]]],
    weights: Sequence[Target],
    base: Path,
    json_out: Path | None,
) -> None:
    from diagnosis_zero import records
    from diagnosis_zero.evaluate.compare import compare
    from diagnosis_zero.evaluate.stats import holm
    from diagnosis_zero.evaluate.tables import aligned, percent

    pairs = [compare(found[0][1], found[-1][1]) if len(found) > 1 else None for _, _, found in rows]
    adjusted = iter(holm([pair.p for pair in pairs if pair]))
    holms = [next(adjusted) if pair else None for pair in pairs]
    head = ["style", "task", "questions", *(f"step {target.step}" for target in weights), "well formed"]
    table = [
        [
            style,
            task,
            str(found[0][0].cases),
            *(percent(summary.accuracy) for summary, _ in found),
            "" if style == "loglikelihood" else " / ".join(f"{100 * summary.well_formed:.0f}" for summary, _ in found),
        ]
        for style, task, found in rows
    ]
    if any(pairs):
        head += ["difference", "p (Holm)"]
        for row, pair, p in zip(table, pairs, holms, strict=True):
            row += ["", ""] if pair is None or p is None else [f"{100 * pair.difference:+.1f}", f"{p:.2g}"]
    typer.echo(aligned([head, *table]))
    typer.echo(str(base))
    if json_out:
        figures: list[dict[str, Any]] = [
            {
                "style": style,
                "task": task,
                "evaluations": [records.as_dict(summary) for summary, _ in found],
                "first_to_last": pair and records.as_dict(pair) | {"p_holm": p},
            }
            for (style, task, found), pair, p in zip(rows, pairs, holms, strict=True)
        ]
        records.write_json(json_out, figures)
