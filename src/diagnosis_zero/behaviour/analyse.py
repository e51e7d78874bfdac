"""``dz analyse``: the features of every completion of a run, written as ``behaviours.jsonl`` beside the answers."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from diagnosis_zero import records
from diagnosis_zero.behaviour import format as form
from diagnosis_zero.behaviour import language, length, thought
from diagnosis_zero.errors import InputError
from diagnosis_zero.nomenclature.normalise import normalise
from diagnosis_zero.parsing import parse
from diagnosis_zero.prompts import DIAGNOSIS, PLACEHOLDER
from diagnosis_zero.types import Answer, Behaviour, Case

CASES_AT_ONCE = 200
"""Cases of one piece of work; their findings are read once for all their completions."""
PARALLEL_FROM = 2_000
"""Completions from which a second process pays for reading the word lists again."""

Progress = Callable[[int, int], None]
"""Called with (completions analysed, completions in all)."""


@dataclass(frozen=True, slots=True)
class Prompt:
    """The template behind the answers: its own words, the example's answer, whether it opens the reasoning."""

    words: str
    example: str
    think_opened: bool = False

    @classmethod
    def of(cls, template: str, *, think_opened: bool = False) -> Prompt:
        """The example is what the template itself answers, where it shows one in full form."""
        shown = template.replace(PLACEHOLDER, "")
        start = shown.rfind("<think>")
        example = parse(shown[start:]).answer if start >= 0 else None
        return cls(shown, normalise((example or "").split("\n")[0]), think_opened)


def features(answer: Answer, case: Case | None, prompt: Prompt) -> dict[str, float]:
    """Every measure of one completion: ``format/``, ``length/``, ``thought/``, ``language/`` and ``answer/example``
    (the prompt's example given as answer). Flags have an entry where set; a failed answer has none at all."""
    if answer.error is not None:
        return {}
    found = {
        **form.features(answer),
        **length.features(answer),
        **thought.features(answer, case, prompt.words),
        **language.features(answer.text, think_opened=prompt.think_opened),
    }
    if prompt.example and answer.answer is not None and normalise(answer.answer) == prompt.example:
        found["answer/example"] = 1.0
    return {name: round(value, 4) for name, value in found.items()}


def analyse(run: Path, *, workers: int | None = None, progress: Progress | None = None) -> list[Path]:
    """Analyse every evaluation of a run folder (or the one evaluation folder given); the files written.

    Raises:
        InputError: there is no evaluation, or a file of one is broken.
    """
    folders = evaluation_folders(run)
    answers = {folder: list(records.read_jsonl(folder / "answers.jsonl", Answer)) for folder in folders}
    found = _all_features(folders, answers, workers or os.cpu_count() or 1, progress)
    return [_write(folder, answers[folder], found[folder]) for folder in folders]


def evaluation_folders(run: Path) -> list[Path]:
    """The folders that hold answers: those of a run, or the folder itself."""
    if not run.is_dir():
        raise InputError("no such folder", where=run)
    own = [run] if (run / "answers.jsonl").is_file() else []
    folders = own or sorted(file.parent for file in (run / "evaluations").glob("*/answers.jsonl"))
    if not folders:
        raise InputError("holds no evaluation", where=run, mend="Run dz evaluate first.")
    return folders


def read_prompt(folder: Path) -> Prompt:
    """What the answers in this folder were asked with; the usual template where it is not noted."""
    settings = folder / "evaluation.json"
    noted = records.read_json(settings) if settings.is_file() else {}
    return Prompt.of(str(noted.get("template") or DIAGNOSIS), think_opened=bool(noted.get("think_opened")))


def read_cases(folder: Path) -> dict[str, Case]:
    """The cases beside an evaluation folder; empty where there are none."""
    path = folder.parent / "cases.jsonl"
    return {case.id: case for case in records.read_jsonl(path, Case)} if path.is_file() else {}


Key = tuple[str, int]
Task = tuple[Prompt, Case | None, Sequence[tuple[Path, Answer]]]
Measured = list[tuple[Path, Key, dict[str, float]]]


def _all_features(
    folders: Sequence[Path], answers: Mapping[Path, Sequence[Answer]], workers: int, progress: Progress | None
) -> Mapping[Path, Mapping[Key, dict[str, float]]]:
    tasks = _tasks(folders, answers)
    total = sum(map(len, answers.values()))
    found: dict[Path, dict[Key, dict[str, float]]] = {folder: {} for folder in folders}
    done = 0
    for measured in _measure_all(tasks, workers if total >= PARALLEL_FROM else 1):
        for folder, key, values in measured:
            found[folder][key] = values
        done += len(measured)
        if progress:
            progress(done, total)
    return found


def _tasks(folders: Sequence[Path], answers: Mapping[Path, Sequence[Answer]]) -> list[Task]:
    """One task a case and prompt: all its completions, of every step."""
    tasks: dict[tuple[str, Prompt], tuple[Case | None, list[tuple[Path, Answer]]]] = {}
    cases = {parent: read_cases(parent / "_") for parent in {folder.parent for folder in folders}}
    for folder in folders:
        prompt = read_prompt(folder)
        for answer in answers[folder]:
            case = cases[folder.parent].get(answer.case_id)
            tasks.setdefault((answer.case_id, prompt), (case, []))[1].append((folder, answer))
    return [(prompt, case, pairs) for (_, prompt), (case, pairs) in tasks.items()]


def _measure_all(tasks: Sequence[Task], workers: int) -> Iterator[Measured]:
    batches = [tasks[start : start + CASES_AT_ONCE] for start in range(0, len(tasks), CASES_AT_ONCE)]
    if workers == 1:
        yield from map(_measure, batches)
        return
    with ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn")) as pool:
        yield from pool.map(_measure, batches)


def _measure(tasks: Sequence[Task]) -> Measured:
    return [
        (folder, (answer.case_id, answer.sample), features(answer, case, prompt))
        for prompt, case, pairs in tasks
        for folder, answer in pairs
    ]


def _write(folder: Path, answers: Sequence[Answer], found: Mapping[Key, dict[str, float]]) -> Path:
    path = folder / "behaviours.jsonl"
    records.write_jsonl(
        path,
        (
            Behaviour(answer.case_id, answer.sample, answer.step, found[answer.case_id, answer.sample])
            for answer in answers
        ),
    )
    return path
