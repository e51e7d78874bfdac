"""Multiple-choice questions as cases: has training cost the model what it knew? Generative, in our answer format."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from diagnosis_zero import records
from diagnosis_zero.errors import InputError, nearest
from diagnosis_zero.evaluate.judge import Named, verdict
from diagnosis_zero.types import Answer, Case, Verdict

JUDGE = "choice"
TEMPLATE = """\
Answer this multiple-choice question. First reason inside <think> and </think>. Then give the letter of the one right \
option inside <answer> and </answer>, and nothing else there.

{case}
"""

FILES = {
    "medqa": "medqa_usmle_4opt.jsonl",
    "mmlu_college_medicine": "mmlu_college_medicine.jsonl",
    "medmcqa": "medmcqa.jsonl",
}
_LETTER = re.compile(r"\(?([A-J])(?:[).:,]|$)")
_ANOTHER = re.compile(r"(?:^|[\s,;/&(])[A-J](?:[).:,;/]|\s|$)")


@dataclass(frozen=True, slots=True)
class Question:
    """One question; ``options`` by letter, ``right`` the letter of the right one."""

    id: str
    text: str
    options: dict[str, str]
    right: str


def read_questions(task: str, folder: Path, limit: int | None = None) -> list[Question]:
    """The first ``limit`` questions of a task from a local file (``FILES``): ``id``, ``question``, ``options``
    {letter: text} and ``answer_idx`` a line.

    Raises:
        InputError: no such task or file, or a row that is not of this form.
    """
    if task not in FILES:
        raise InputError(f"unknown task {task!r}", mend=nearest(task, list(FILES)))
    path = folder / FILES[task]
    found = [_question(row, (path, number)) for number, row in records.read_rows(path)]
    return found[:limit]


def as_case(question: Question, task: str) -> Case:
    """The question as a case: its text with the options, its right letter and option as accepted answers."""
    options = "\n".join(f"{letter}. {text}" for letter, text in question.options.items())
    text = f"{question.text.strip()}\n\n{options}"
    names = (question.right, question.options[question.right])
    return Case(
        question.id, task, question.id, text, names, extra={f"option_{k}": v for k, v in question.options.items()}
    )


def judge_choices(named: Sequence[Named]) -> list[tuple[Verdict, ...]]:
    """Right where the answer is the right letter or the right option's text, and no other."""
    return [tuple(_verdict(item.answer, name) for name in item.names) for item in named]


def chosen(answer: str) -> str | None:
    """The letter an answer begins with ("B", "(B)", "B. Hay fever"), None where it begins with none."""
    found = _LETTER.match(answer.replace("*", "").strip())
    return found[1] if found else None


def _verdict(answer: Answer, said: str) -> Verdict:
    letter, text = answer.references[0], answer.references[1]
    given = chosen(said)
    if given is None and _plain(said) == _plain(text):
        return verdict(answer, JUDGE, 2, "option text")
    if given is None:
        return verdict(answer, JUDGE, 0, "no letter", reason=said[:80])
    if given == letter and _more_letters(said, text):
        return verdict(answer, JUDGE, 0, "several letters", reason=said[:80])
    return verdict(answer, JUDGE, 2 if given == letter else 0, "letter", reason=given)


def _more_letters(said: str, text: str) -> bool:
    """Whether another letter follows the first ("A, B"), not counting the option's own text."""
    behind = _LETTER.sub("", said.replace("*", "").strip(), count=1)
    return _plain(behind) != _plain(text) and _ANOTHER.search(behind) is not None


def _plain(text: str) -> str:
    return " ".join(text.lower().strip(" .*").split())


def _question(row: dict[str, Any], where: tuple[Path, int]) -> Question:
    options = row.get("options")
    if not isinstance(row.get("question"), str) or not isinstance(options, dict) or len(options) < 2:
        raise InputError("a row needs 'question' and 'options'", where=where)
    right = row.get("answer_idx")
    if right not in options:
        raise InputError(f"answer_idx {right!r} is none of the options", where=where)
    texts = {str(letter): str(text) for letter, text in options.items()}
    return Question(str(row.get("id", where[1])), row["question"], texts, str(right))
