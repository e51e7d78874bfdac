"""lm-evaluation-harness: the log-likelihood form of the multiple-choice benchmarks, with its own prompts.

Offline, its task files are told to read local JSON with the columns that the hub's data set has. Its answers are
written in our evaluation format, so that before and after are compared like everything else.
"""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from diagnosis_zero import records
from diagnosis_zero.errors import InputError
from diagnosis_zero.evaluate.questions import Question, read_questions
from diagnosis_zero.evaluate.run import keep_cases
from diagnosis_zero.evaluate.summary import Judged, Summary, summarise
from diagnosis_zero.types import Answer, Case, Label, Verdict

JUDGE = "log-likelihood"
LETTERS = "ABCD"
TASKS = {
    "medqa": ("medqa_4options", "medqa/medqa.yaml"),
    "mmlu_college_medicine": ("mmlu_college_medicine", "mmlu/default/mmlu_college_medicine.yaml"),
    "medmcqa": ("medmcqa", "medmcqa/medmcqa.yaml"),
}
"""Our name of a task, the harness's, and the harness's own task file."""


def evaluate_choices(
    model: str, task: str, out: Path, *, step: int, name: str, data: Path | None, limit: int | None, batch: int = 8
) -> Summary:
    """One task by log-likelihood, 0-shot, into the evaluation folder ``out``; nothing is done twice.

    Args:
        model: what ``engine.model.load`` takes.
        data: folder of local files; None fetches the harness's own data from the hub.

    Raises:
        InputError: the harness is not installed, or fewer options than four.
    """
    done = out / "summary.json"
    _agree(out / "benchmark.json", {"model": model, "data": data and str(data), "limit": limit})
    questions = read_questions(task, data, limit) if data else None
    if not done.is_file():
        with TemporaryDirectory() as scratch:
            spec = TASKS[task][0] if questions is None else _local_task(task, questions, Path(scratch))
            samples = _run(model, spec, Path(scratch), limit, batch)
        _write(samples, task, out, step=step, name=name)
    answers = list(records.read_jsonl(out / "answers.jsonl", Answer))
    verdicts = list(records.read_jsonl(out / "verdicts.jsonl", Verdict))
    judged = [Judged(answer, (verdict,)) for answer, verdict in zip(answers, verdicts, strict=True)]
    summary = summarise(judged, samples=1, top=1, judge=JUDGE)
    records.write_json(done, records.as_dict(summary))
    return summary


def _agree(path: Path, asked: dict[str, Any]) -> None:
    """Write what was asked for on the first call; hold later calls to it."""
    if not path.is_file():
        records.write_json(path, asked)
        return
    before = records.read_json(path)
    changed = [name for name, value in asked.items() if before.get(name) != value]
    if changed:
        what = f"this benchmark was run with another {changed[0]} ({before.get(changed[0])})"
        raise InputError(what, where=path, mend="Give another --out, or remove the folder.")


def _run(model: str, task: str, include: Path, limit: int | None, batch: int) -> list[dict[str, Any]]:
    """The harness's own record of each question."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    if not sys.stderr.isatty():
        os.environ.setdefault("TQDM_DISABLE", "1")
    try:
        from lm_eval.evaluator import simple_evaluate
        from lm_eval.models.huggingface import HFLM
        from lm_eval.tasks import TaskManager
    except ImportError as error:
        raise InputError("lm-eval is not installed", mend="pip install 'diagnosis-zero[eval]'.") from error
    from diagnosis_zero.engine.model import load

    logging.getLogger("lm_eval").setLevel(logging.ERROR)
    policy = load(model)
    policy.model.set_attn_implementation("sdpa")  # the harness does not speak to the engine's own attention
    policy.model.eval()
    result = simple_evaluate(
        model=HFLM(pretrained=policy.model, tokenizer=policy.tokenizer, batch_size=batch),
        tasks=[task],
        num_fewshot=0,
        limit=limit,
        task_manager=TaskManager(include_path=str(include)),
        bootstrap_iters=0,
        log_samples=True,
    )
    assert result is not None
    samples: list[dict[str, Any]] = result["samples"][task]
    return sorted(samples, key=lambda sample: int(sample["doc_id"]))


def _local_task(task: str, questions: Sequence[Question], folder: Path) -> str:
    """A task file that is the harness's own but for where the questions come from; its name."""
    import lm_eval

    for question in questions:
        if tuple(question.options) != tuple(LETTERS):
            raise InputError(f"question {question.id!r} of {task} has not the options A to D")
    data = folder / f"{task}.json"
    records.write_json(data, [COLUMNS[task](question) for question in questions])
    own = Path(lm_eval.__file__).parent / "tasks" / TASKS[task][1]
    name = f"{TASKS[task][0]}_local"
    config = {
        "include": str(own),
        "task": name,
        "dataset_path": "json",
        "dataset_name": None,
        "dataset_kwargs": {"data_files": {"test": str(data)}},
        "training_split": None,
        "validation_split": None,
        "fewshot_split": None,
        "test_split": "test",
    }
    records.write_json(folder / f"{name}.yaml", config)  # JSON is YAML
    return name


def _usmle(question: Question) -> dict[str, Any]:
    endings = {f"ending{place}": question.options[letter] for place, letter in enumerate(LETTERS)}
    return {"id": question.id, "sent1": question.text, **endings, "label": LETTERS.index(question.right)}


def _mmlu(question: Question) -> dict[str, Any]:
    choices = [question.options[letter] for letter in LETTERS]
    return {"id": question.id, "question": question.text, "choices": choices, "answer": LETTERS.index(question.right)}


def _medmcqa(question: Question) -> dict[str, Any]:
    options = {f"op{letter.lower()}": question.options[letter] for letter in LETTERS}
    return {"id": question.id, "question": question.text, **options, "cop": LETTERS.index(question.right)}


COLUMNS: Mapping[str, Callable[[Question], dict[str, Any]]] = {
    "medqa": _usmle,
    "mmlu_college_medicine": _mmlu,
    "medmcqa": _medmcqa,
}
"""A question in the columns of the hub's data set."""


def _write(samples: Sequence[Mapping[str, Any]], task: str, out: Path, *, step: int, name: str) -> None:
    """The harness's samples as answers and verdicts; the most probable letter is the answer."""
    answers, verdicts, cases = [], [], []
    for sample in samples:
        id_ = str(sample["doc"].get("id", f"{task}-{sample['doc_id']}"))
        likelihoods = [float(found[0]) for found in sample["filtered_resps"]]
        letter = LETTERS[likelihoods.index(max(likelihoods))]
        right = LETTERS[int(sample["target"])]
        label: Label = 2 if letter == right else 0
        answers.append(Answer(id_, name, step, 0, letter, None, letter, (), "stop", 1, (right,), source_id=id_))
        verdicts.append(Verdict(id_, 0, step, JUDGE, label, label / 2, "log-likelihood", json.dumps(likelihoods)))
        cases.append(Case(id_, task, id_, json.dumps(sample["doc"], ensure_ascii=False), (right,)))
    keep_cases(out.parent / "cases.jsonl", cases)
    records.write_jsonl(out / "verdicts.jsonl", verdicts)
    records.write_jsonl(out / "answers.jsonl", answers)
