"""``dz analyse``: the features of every completion of a run, written as ``behaviours.jsonl`` beside the answers.

Cases and answers are read side by side, one case at a time with its answers at every step: memory does not grow with
the run, and what a case's text says is found once. That rests on what ``dz evaluate`` writes, answers in the order of
the cases; answers that stand otherwise are held in memory until the end, and come out the same.
"""

from __future__ import annotations

import multiprocessing
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import groupby, islice
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
"""Cases of one batch of work."""
AHEAD = 3
"""Batches under way for each process."""
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
    total = sum(_count_lines(folder / "answers.jsonl") for folder in folders)
    files = {folder: folder / "behaviours.jsonl" for folder in folders}
    done = 0
    with ExitStack() as stack:
        handles = {folder: stack.enter_context(records.atomic_write(file)) for folder, file in files.items()}
        for measured in _measure_all(_tasks(folders, reward), workers if total >= PARALLEL_FROM else 1):
            for folder, behaviour in measured:
                handles[folder].write(records.to_line(behaviour) + "\n")
            done += len(measured)
            if progress:
                progress(done, total)
    return list(files.values())


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


def _iter_cases(folder: Path) -> Iterator[Case]:
    """The cases that stand beside the evaluations in ``folder``; none where there is no such file."""
    path = folder / "cases.jsonl"
    return records.read_jsonl(path, Case) if path.is_file() else iter(())


def _fresh(folder: Path) -> bool:
    written = folder / "behaviours.jsonl"
    return written.is_file() and written.stat().st_mtime >= (folder / "answers.jsonl").stat().st_mtime


def _count_lines(file: Path) -> int:
    with file.open("rb") as handle:
        return sum(piece.count(b"\n") for piece in iter(lambda: handle.read(1 << 20), b""))


@dataclass(frozen=True, slots=True)
class _Task:
    """All completions of one case under one prompt, at every step."""

    prompt: Prompt
    case: Case | None
    reward: RewardFn | None
    answers: list[tuple[Path, Answer]]


Measured = list[tuple[Path, Behaviour]]


def _tasks(folders: Sequence[Path], reward: RewardFn | None) -> Iterator[_Task]:
    """The completions of all folders, those of one case together. Evaluations of one parent share its cases."""
    for parent in dict.fromkeys(folder.parent for folder in folders):
        own = {folder: _Answers(folder) for folder in folders if folder.parent == parent}
        prompts = {folder: read_prompt(folder) for folder in own}
        for case in _iter_cases(parent):
            found = {folder: answers.of(case.id) for folder, answers in own.items()}
            yield from _of_case(case, found, prompts, reward)
        rest: defaultdict[str, dict[Path, list[Answer]]] = defaultdict(dict)
        for folder, answers in own.items():
            for answer in answers.rest():
                rest[answer.case_id].setdefault(folder, []).append(answer)
        known = {case.id: case for case in _iter_cases(parent) if case.id in rest} if rest else {}
        for case_id, left in rest.items():
            yield from _of_case(known.get(case_id), left, prompts, reward)


class _Answers:
    """The answers of one folder, read case by case."""

    def __init__(self, folder: Path) -> None:
        answers = records.read_jsonl(folder / "answers.jsonl", Answer)
        self._groups = groupby(answers, key=lambda answer: answer.case_id)
        self._next()

    def of(self, case_id: str) -> list[Answer]:
        """The answers to this case where they come next in the file; none where others do."""
        if not self._head or self._head[0].case_id != case_id:
            return []
        found = self._head
        self._next()
        return found

    def rest(self) -> Iterator[Answer]:
        """All that was not asked for."""
        while self._head:
            yield from self._head
            self._next()

    def _next(self) -> None:
        self._head = list(next(self._groups, (None, ()))[1])


def _of_case(
    case: Case | None,
    found: Mapping[Path, Sequence[Answer]],
    prompts: Mapping[Path, Prompt],
    reward: RewardFn | None,
) -> Iterator[_Task]:
    """One piece of work for each prompt that the case was asked with."""
    by_prompt: defaultdict[Prompt, list[tuple[Path, Answer]]] = defaultdict(list)
    for folder, answers in found.items():
        by_prompt[prompts[folder]] += [(folder, answer) for answer in answers]
    return (_Task(prompt, case, reward, answers) for prompt, answers in by_prompt.items() if answers)


def _batches(tasks: Iterable[_Task]) -> Iterator[list[_Task]]:
    tasks = iter(tasks)
    while batch := list(islice(tasks, CASES_AT_ONCE)):
        yield batch


def _measure_all(tasks: Iterable[_Task], workers: int) -> Iterator[Measured]:
    """In the order of the tasks; a few batches ahead are under way, never all."""
    if workers == 1:
        yield from map(_measure, _batches(tasks))
        return
    with ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn")) as pool:
        waiting: deque[Future[Measured]] = deque()
        for batch in _batches(tasks):
            waiting.append(pool.submit(_measure, batch))
            if len(waiting) > AHEAD * workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def _measure(tasks: Sequence[_Task]) -> Measured:
    return [
        (folder, Behaviour(answer.case_id, answer.sample, answer.step, measured))
        for task in tasks
        for folder, answer in task.answers
        for measured in [features(answer, task.case, task.prompt, task.reward)]
    ]
