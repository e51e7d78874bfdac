"""``dz analyse``: the features of every completion of a run, written as ``behaviours.jsonl`` beside the answers."""

from __future__ import annotations

import multiprocessing
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
from diagnosis_zero.types import Answer, Behaviour, Case, RewardFn

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


def features(answer: Answer, case: Case | None, prompt: Prompt, reward: RewardFn | None = None) -> dict[str, float]:
    """Every measure of one completion: ``format/``, ``length/``, ``thought/``, ``language/``, ``answer/example`` (the
    prompt's example given as answer) and, where a reward is at hand, its parts as ``reward/``. Flags have an entry
    where set; a failed answer has none at all."""
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
    if reward and case:
        found |= {f"reward/{name}": value for name, value in reward(answer.text, case).parts.items()}
    return {name: round(value, 4) for name, value in found.items()}


def analyse(
    run: Path,
    *,
    reward: RewardFn | None = None,
    only_stale: bool = False,
    workers: int = 1,
    progress: Progress | None = None,
) -> list[Path]:
    """Analyse every evaluation of a run folder (or the one evaluation folder given); the files written.

    Args:
        reward: the reward of the run, to keep its parts too.
        only_stale: leave alone what was analysed after its answers were written.
        workers: processes for a large run. Each is a fresh interpreter, so a script that asks for several needs the
            usual ``if __name__ == "__main__":``.

    Raises:
        InputError: there is no evaluation, or a file of one is broken.
    """
    folders = [folder for folder in evaluation_folders(run) if not (only_stale and _fresh(folder))]
    answers = {folder: list(records.read_jsonl(folder / "answers.jsonl", Answer)) for folder in folders}
    found = _all_features(_tasks(folders, answers, reward), workers, progress)
    return [_write(folder, answers[folder], found) for folder in folders]


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
    """The cases that stand beside the evaluations in ``folder``; empty where there are none."""
    path = folder / "cases.jsonl"
    return {case.id: case for case in records.read_jsonl(path, Case)} if path.is_file() else {}


def _fresh(folder: Path) -> bool:
    written = folder / "behaviours.jsonl"
    return written.is_file() and written.stat().st_mtime >= (folder / "answers.jsonl").stat().st_mtime


Key = tuple[Path, str, int]
"""(evaluation folder, case id, sample)."""


@dataclass(frozen=True, slots=True)
class _Task:
    """All completions of one case under one prompt, at every step: its findings are read once."""

    prompt: Prompt
    case: Case | None
    reward: RewardFn | None
    answers: list[tuple[Path, Answer]]


Measured = list[tuple[Key, dict[str, float]]]


def _all_features(tasks: Sequence[_Task], workers: int, progress: Progress | None) -> Mapping[Key, Mapping[str, float]]:
    total = sum(len(task.answers) for task in tasks)
    found: dict[Key, dict[str, float]] = {}
    for measured in _measure_all(tasks, workers if total >= PARALLEL_FROM else 1):
        found |= measured
        if progress:
            progress(len(found), total)
    return found


def _tasks(folders: Sequence[Path], answers: Mapping[Path, Sequence[Answer]], reward: RewardFn | None) -> list[_Task]:
    tasks: dict[tuple[str, Prompt], _Task] = {}
    cases = {parent: read_cases(parent) for parent in {folder.parent for folder in folders}}
    for folder in folders:
        prompt = read_prompt(folder)
        for answer in answers[folder]:
            case = cases[folder.parent].get(answer.case_id)
            task = tasks.setdefault((answer.case_id, prompt), _Task(prompt, case, reward, []))
            task.answers.append((folder, answer))
    return list(tasks.values())


def _measure_all(tasks: Sequence[_Task], workers: int) -> Iterator[Measured]:
    batches = [tasks[start : start + CASES_AT_ONCE] for start in range(0, len(tasks), CASES_AT_ONCE)]
    if workers == 1:
        yield from map(_measure, batches)
        return
    with ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn")) as pool:
        yield from pool.map(_measure, batches)


def _measure(tasks: Sequence[_Task]) -> Measured:
    return [
        ((folder, answer.case_id, answer.sample), features(answer, task.case, task.prompt, task.reward))
        for task in tasks
        for folder, answer in task.answers
    ]


def _write(folder: Path, answers: Sequence[Answer], found: Mapping[Key, Mapping[str, float]]) -> Path:
    path = folder / "behaviours.jsonl"
    rows = (
        Behaviour(answer.case_id, answer.sample, answer.step, found[folder, answer.case_id, answer.sample])
        for answer in answers
    )
    records.write_jsonl(path, rows)
    return path
