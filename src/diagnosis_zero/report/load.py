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
from diagnosis_zero.records import read_json, read_jsonl, read_rows
from diagnosis_zero.types import Answer, Behaviour, Case, Verdict

T = TypeVar("T")
Key = tuple[str, int]
"""(case id, sample): one answer within an evaluation."""

RANKED = "ranked.jsonl"
"""What an evaluation of ranked lists holds beside its answers."""
MOST_ROLLOUTS = 60
"""So many steps' rollouts are read, evenly spread over the run: enough for its curves."""
SAMPLED_STEPS = 3
SAMPLED_GROUPS = 2


@dataclass(frozen=True, slots=True)
class Evaluation:
    """One checkpoint's answers with what judges and behaviour analysis said of them. ``judge`` is the one that counts
    (whose verdicts stand in ``verdicts.jsonl``); ``sampled`` where the answers were drawn, not greedy."""

    run: str
    step: int
    path: Path
    answers: tuple[Answer, ...]
    verdicts: Mapping[str, Mapping[Key, Verdict]]
    behaviours: Mapping[Key, Behaviour]
    judge: str | None = None
    sampled: bool = False


@dataclass(frozen=True, slots=True)
class Rollouts:
    """What one training step sampled, one entry a completion in every field."""

    step: int
    cases: tuple[str, ...]
    faults: tuple[tuple[str, ...], ...]
    accuracy: tuple[float, ...]
    format: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Sample:
    """One completion of training with its reward, and the accepted names where they are known."""

    step: int
    case_id: str
    truth: str
    text: str
    answer: str | None
    score: float
    advantage: float
    tokens: int
    parts: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Run:
    """One run folder. ``evaluations`` are greedy; ``sampled`` those with several answers a case, which are compared
    among themselves only. ``samples`` are the best and the worst completion of a few groups, early, in the middle and
    late in training."""

    name: str
    path: Path
    manifest: Mapping[str, Any]
    config: Mapping[str, Any]
    config_text: str
    metrics: tuple[Mapping[str, Any], ...]
    evaluations: tuple[Evaluation, ...]
    cases: Mapping[str, Case]
    samples: tuple[Sample, ...] = ()
    sampled: tuple[Evaluation, ...] = ()
    rollouts: tuple[Rollouts, ...] = ()

    @property
    def observed(self) -> tuple[Evaluation, ...]:
        """The evaluations that behaviour is read from: sampled ones where there are, for they show more of it."""
        return self.sampled or self.evaluations


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
        config=_parse_toml(text, path / "config.toml"),
        config_text=text,
        metrics=tuple(read_metrics(path / "metrics.jsonl")),
        evaluations=tuple(one for one in evaluations if not one.sampled),
        cases=_cases(path / "evaluations" / "cases.jsonl"),
        samples=tuple(_samples(path)),
        sampled=tuple(one for one in evaluations if one.sampled),
        rollouts=tuple(map(_read_rollouts, _spread(_rollout_files(path), MOST_ROLLOUTS))),
    )


def _is_sampled(folder: Path) -> bool:
    """By the settings of the evaluation; where there are none, by its name (step-000100.sampled)."""
    settings = _optional_json(folder / "evaluation.json")
    params = settings.get("params")
    return float(params["temperature"]) > 0 if isinstance(params, Mapping) else "." in folder.name


def _parse_toml(text: str, path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"not TOML ({error})", where=path, mend="Mend the recipe, or take it out.") from error


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
    """The evaluations of a run in the order of their steps; ranked lists answer another question and are left out."""
    folders = [file.parent for file in (run / "evaluations").glob("*/answers.jsonl")]
    loaded = [load_evaluation(folder, name) for folder in folders if not (folder / RANKED).is_file()]
    return sorted(loaded, key=lambda evaluation: (evaluation.step, evaluation.path.name))


def load_evaluation(folder: Path, run: str) -> Evaluation:
    """One evaluation folder; verdicts and behaviours may be missing."""
    answers = tuple(read_jsonl(folder / "answers.jsonl", Answer))
    if not answers:
        raise InputError("holds no answers", where=folder / "answers.jsonl")
    deciding = _verdicts(folder / "verdicts.jsonl")
    others = {
        judge: said for file in sorted(folder.glob("verdicts.*.jsonl")) for judge, said in _verdicts(file).items()
    }
    behaviours = _optional_records(folder / "behaviours.jsonl", Behaviour)
    return Evaluation(
        run=run,
        step=answers[0].step,
        path=folder,
        answers=answers,
        verdicts=others | deciding,
        behaviours={(row.case_id, row.sample): row for row in behaviours},
        judge=next(iter(deciding), None),
        sampled=_is_sampled(folder),
    )


def _verdicts(path: Path) -> dict[str, dict[Key, Verdict]]:
    by_judge: defaultdict[str, dict[Key, Verdict]] = defaultdict(dict)
    for verdict in _optional_records(path, Verdict):
        by_judge[verdict.judge][verdict.case_id, verdict.sample] = verdict
    return dict(by_judge)


def _optional_records(path: Path, kind: type[T]) -> list[T]:
    return list(read_jsonl(path, kind)) if path.is_file() else []


def _rollout_files(run: Path) -> list[Path]:
    return sorted((run / "rollouts").glob("step-*.parquet"))


def _spread(files: Sequence[Path], most: int) -> list[Path]:
    """At most so many, evenly spread, the first and the last among them."""
    if len(files) <= most:
        return list(files)
    return [files[round(i * (len(files) - 1) / (most - 1))] for i in range(most)]


def _read_rollouts(file: Path) -> Rollouts:
    columns = ["step", "case_id", "faults", "part_accuracy", "part_format"]
    names = set(pq.read_schema(file).names)
    table = pq.read_table(file, columns=[name for name in columns if name in names]).to_pydict()
    count = len(table["step"])
    return Rollouts(
        step=table["step"][0] if count else 0,
        cases=tuple(table["case_id"]),
        faults=tuple(map(tuple, table["faults"])),
        accuracy=tuple(table.get("part_accuracy", [0.0] * count)),
        format=tuple(table.get("part_format", [0.0] * count)),
    )


def _samples(run: Path) -> list[Sample]:
    rows = [row for file in _spread(_rollout_files(run), SAMPLED_STEPS) for row in _ends_of_groups(file)]
    truths = _truths(run / "data" / "cases.jsonl", {str(row["case_id"]) for row in rows})
    return [_sample(row, truths.get(str(row["case_id"]), "")) for row in rows]


def _ends_of_groups(file: Path) -> list[Mapping[str, Any]]:
    """The best and the worst completion of the first groups of a step."""
    groups: defaultdict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for row in pq.read_table(file).to_pylist():
        groups[row["case_id"]].append(row)
    found: list[Mapping[str, Any]] = []
    for rows in list(groups.values())[:SAMPLED_GROUPS]:
        ranked = sorted(rows, key=lambda row: -row["score"])
        found += [ranked[0], ranked[-1]] if len(ranked) > 1 else ranked
    return found


def _sample(row: Mapping[str, Any], truth: str) -> Sample:
    parts = {key.removeprefix("part_"): value for key, value in row.items() if key.startswith("part_")}
    names = ("step", "case_id", "text", "answer", "score", "advantage", "tokens")
    return Sample(truth=truth, parts=parts, **{name: row[name] for name in names})


def _truths(path: Path, wanted: set[str]) -> dict[str, str]:
    """Accepted names of the training cases, where the run keeps its data."""
    if not path.is_file() or not wanted:
        return {}
    return {row["id"]: "; ".join(row["names"]) for _, row in read_rows(path) if row.get("id") in wanted}
