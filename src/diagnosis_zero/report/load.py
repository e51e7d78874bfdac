"""Read run folders. Everything that the report shows comes from here, and from files alone."""

from __future__ import annotations

import json
import tomllib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import pyarrow.parquet as pq

from diagnosis_zero.errors import InputError
from diagnosis_zero.records import read_json, read_jsonl
from diagnosis_zero.types import Answer, Behaviour, Case, Verdict

T = TypeVar("T")
Key = tuple[str, int]
"""(case id, sample): one answer within an evaluation."""

SAMPLE_STEPS = 3
SAMPLES_PER_STEP = 8


@dataclass(frozen=True, slots=True)
class Evaluation:
    """One checkpoint's answers with what judges and behaviour analysis said of them."""

    run: str
    step: int
    path: Path
    answers: tuple[Answer, ...]
    verdicts: Mapping[str, Mapping[Key, Verdict]]
    behaviours: Mapping[Key, Behaviour]
    summary: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Run:
    """One run folder. ``samples`` are a few rows of the rollouts: early, middle and late in training; ``sampled`` the
    evaluations with several answers a case, which are compared among themselves only."""

    name: str
    path: Path
    manifest: Mapping[str, Any]
    config: Mapping[str, Any]
    config_text: str
    metrics: tuple[Mapping[str, Any], ...]
    evaluations: tuple[Evaluation, ...]
    cases: Mapping[str, Case]
    samples: tuple[Mapping[str, Any], ...]
    sampled: tuple[Evaluation, ...] = ()


def load_runs(paths: Sequence[Path]) -> list[Run]:
    """Read every folder; names are made distinct where two folders are called the same.

    Raises:
        InputError: a folder is missing, holds neither metrics nor evaluations, or a file in it is broken.
    """
    if not paths:
        raise InputError("no run folder given", mend="Name at least one: dz report runs/NAME.")
    return [_load_run(path, name) for path, name in zip(paths, _names(paths), strict=True)]


def _names(paths: Sequence[Path]) -> list[str]:
    names = [path.resolve().name for path in paths]
    return [
        name if names.count(name) == 1 else f"{path.resolve().parent.name}/{name}"
        for path, name in zip(paths, names, strict=True)
    ]


def _load_run(path: Path, name: str) -> Run:
    if not path.is_dir():
        raise InputError("no such run folder", where=path)
    if not (path / "metrics.jsonl").is_file() and not (path / "evaluations").is_dir():
        raise InputError(
            "holds neither metrics.jsonl nor evaluations",
            where=path,
            mend="Give the folder that dz train wrote.",
        )
    text = _optional_text(path / "config.toml")
    evaluations = load_evaluations(path, name)
    return Run(
        name=name,
        path=path,
        manifest=_optional_json(path / "manifest.json"),
        config=tomllib.loads(text),
        config_text=text,
        metrics=tuple(read_metrics(path / "metrics.jsonl")),
        evaluations=tuple(one for one in evaluations if not _is_sampled(one)),
        cases=_cases(path / "evaluations" / "cases.jsonl"),
        samples=tuple(_rollout_samples(path / "rollouts")),
        sampled=tuple(one for one in evaluations if _is_sampled(one)),
    )


def _is_sampled(evaluation: Evaluation) -> bool:
    """By the folder's name: step-000100.sampled stands beside the greedy step-000100."""
    return "." in evaluation.path.name


def _optional_text(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.is_file() else ""


def _optional_json(path: Path) -> Mapping[str, Any]:
    return dict(read_json(path)) if path.is_file() else {}


def _cases(path: Path) -> dict[str, Case]:
    return {case.id: case for case in read_jsonl(path, Case)} if path.is_file() else {}


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """The rows of ``metrics.jsonl``. A last line that is cut short is left out: the run is still writing."""
    if not path.is_file():
        return []
    lines = path.read_text(encoding="utf-8").splitlines()
    rows = []
    for number, line in enumerate(lines, start=1):
        try:
            rows.append(dict(json.loads(line)))
        except (ValueError, TypeError) as error:
            if number == len(lines):
                break
            raise InputError(f"not a JSON object ({error})", where=(path, number)) from error
    return rows


def load_evaluations(run: Path, name: str) -> list[Evaluation]:
    """The evaluations of a run in the order of their steps."""
    folders = (run / "evaluations").glob("*/answers.jsonl")
    loaded = [load_evaluation(file.parent, name) for file in folders]
    return sorted(loaded, key=lambda evaluation: (evaluation.step, evaluation.path.name))


def load_evaluation(folder: Path, run: str) -> Evaluation:
    """One evaluation folder; verdicts and behaviours may be missing."""
    answers = tuple(read_jsonl(folder / "answers.jsonl", Answer))
    if not answers:
        raise InputError("holds no answers", where=folder / "answers.jsonl")
    verdicts: dict[str, dict[Key, Verdict]] = defaultdict(dict)
    for verdict in _optional_records(folder / "verdicts.jsonl", Verdict):
        verdicts[verdict.judge][verdict.case_id, verdict.sample] = verdict
    behaviours = _optional_records(folder / "behaviours.jsonl", Behaviour)
    return Evaluation(
        run=run,
        step=answers[0].step,
        path=folder,
        answers=answers,
        verdicts=dict(verdicts),
        behaviours={(row.case_id, row.sample): row for row in behaviours},
        summary=_optional_json(folder / "summary.json"),
    )


def _optional_records(path: Path, kind: type[T]) -> list[T]:
    return list(read_jsonl(path, kind)) if path.is_file() else []


def _rollout_samples(folder: Path) -> list[dict[str, Any]]:
    files = sorted(folder.glob("step-*.parquet"))
    if not files:
        return []
    last = len(files) - 1
    chosen = sorted({round(last * i / (SAMPLE_STEPS - 1)) for i in range(SAMPLE_STEPS)})
    rows: list[dict[str, Any]] = []
    for index in chosen:
        rows += pq.read_table(files[index]).slice(0, SAMPLES_PER_STEP).to_pylist()
    return rows
