"""Ask a model about cases, and keep every answer as it comes.

``answers.jsonl`` is appended to and synced batch by batch. A later line about the same (case, sample)
stands for an earlier one, so a failed answer is mended by asking again; a line cut short by a kill is
dropped. Once everything has been asked the file is rewritten in the order of the cases.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from diagnosis_zero import records
from diagnosis_zero.errors import InputError
from diagnosis_zero.evaluate.replies import Reply, Streaming, replies
from diagnosis_zero.parsing import parse
from diagnosis_zero.prompts import build_chat
from diagnosis_zero.types import Answer, Case, Generator, SamplingParams

ROWS_AT_ONCE = 256
"""Samples asked of a local model between two saves."""

Key = tuple[str, int]
Progress = Callable[[int, int], None]
"""Called with (answers at hand, answers wanted)."""


@dataclass(frozen=True, slots=True)
class Question:
    """How the cases are put to the model. Two calls on one folder must agree in this (``evaluation.json``).

    ``weights`` tells the weights of one run's step from those of another's, where that is known.
    """

    model: str
    step: int
    template: str
    params: SamplingParams
    think_opened: bool = False
    weights: str = ""


def collect(
    generator: Generator | Streaming,
    cases: Sequence[Case],
    out: Path,
    question: Question,
    *,
    n: int = 1,
    progress: Progress | None = None,
) -> list[Answer]:
    """``n`` answers to each case, in the order of the cases; asks only for what is missing or failed in
    ``out``.

    Raises:
        InputError: ``out`` holds an evaluation of another model, template, sampling or set of cases.
    """
    _agree(out, question, cases)
    path = out / "answers.jsonl"
    kept = load(path)
    wanted = {(case.id, sample) for case in cases for sample in range(n)}
    good = sum(key in wanted and answer.error is None for key, answer in kept.items())
    for batch in _batches(cases, n, streaming=isinstance(generator, Streaming)):
        for asked, samples in _missing(batch, n, kept):
            seed = _seed(question.params.seed, batch[0].id, samples if len(samples) < n else ())
            seeded = replace(question, params=replace(question.params, seed=seed))
            for answers in _ask(generator, asked, samples, seeded):
                _append(path, answers)
                kept |= {(answer.case_id, answer.sample): answer for answer in answers}
                good += sum(answer.error is None for answer in answers)
                if progress:
                    progress(good, len(wanted))
    place = {case.id: number for number, case in enumerate(cases)}
    records.write_jsonl(path, (kept[key] for key in sorted(kept, key=lambda key: (place[key[0]], key[1]))))
    return [kept[case.id, sample] for case in cases for sample in range(n)]


def _agree(out: Path, question: Question, cases: Sequence[Case]) -> None:
    """Write the settings on the first call; hold later calls to them."""
    if not cases:
        raise InputError("no cases to evaluate", mend="Is the split empty, or --limit 0?")
    if len({case.id for case in cases}) < len(cases):
        raise InputError("two cases have the same id", mend="Give each case its own id.")
    path = out / "evaluation.json"
    settings = {
        "model": question.model,
        "step": question.step,
        "template_sha256": _digest(question.template),
        "params": records.as_dict(question.params),
        "think_opened": question.think_opened,
        **({"weights": question.weights} if question.weights else {}),
        "cases_sha256": _digest("\n".join(records.to_line(case) for case in cases)),
        "cases": len(cases),
    }
    if not path.is_file():
        records.write_json(path, settings | {"template": question.template})
        return
    before = records.read_json(path)
    changed = [name for name, value in settings.items() if before.get(name) != value]
    if changed:
        raise InputError(
            f"this evaluation was begun with another {changed[0].removesuffix('_sha256')}",
            where=path,
            mend="Choose another --out, or delete the folder to begin again.",
        )


def load(path: Path) -> dict[Key, Answer]:
    """Answers at hand, the last line about each; a last line without its newline is cut away."""
    if not path.is_file():
        return {}
    with path.open("rb+") as handle:
        whole = handle.read().rfind(b"\n") + 1
        handle.truncate(whole)
    return {(answer.case_id, answer.sample): answer for answer in records.read_jsonl(path, Answer)}


def _batches(cases: Sequence[Case], n: int, *, streaming: bool) -> Iterator[Sequence[Case]]:
    """The same pieces in every call, so that a resumed run draws the same random numbers."""
    size = len(cases) if streaming else max(1, ROWS_AT_ONCE // n)
    for start in range(0, len(cases), size):
        yield cases[start : start + size]


def _missing(batch: Sequence[Case], n: int, kept: Mapping[Key, Answer]) -> Iterator[tuple[list[Case], list[int]]]:
    """Cases that lack the same samples, with the numbers of these."""
    lacking: dict[tuple[int, ...], list[Case]] = {}
    for case in batch:
        samples = tuple(k for k in range(n) if (case.id, k) not in kept or kept[case.id, k].error is not None)
        if samples:
            lacking.setdefault(samples, []).append(case)
    yield from ((cases, list(samples)) for samples, cases in lacking.items())


def _ask(
    generator: Generator | Streaming, cases: list[Case], samples: list[int], question: Question
) -> Iterator[list[Answer]]:
    """Answers in the pieces that are to be saved: one by one from a server, all at once from the engine."""
    chats = [build_chat(case, question.template) for case in cases]
    came = (
        _answer(cases[reply.prompt], samples[reply.sample], reply, question)
        for reply in replies(generator, chats, len(samples), question.params)
    )
    if isinstance(generator, Streaming):
        yield from ([answer] for answer in came)
    else:
        yield list(came)


def _answer(case: Case, sample: int, reply: Reply, question: Question) -> Answer:
    text, finish = (reply.completion.text, reply.completion.finish) if reply.completion else ("", "stop")
    parsed = parse(text, think_opened=question.think_opened, truncated=finish == "length")
    return Answer(
        case_id=case.id,
        model=question.model,
        step=question.step,
        sample=sample,
        text=text,
        think=parsed.think,
        answer=parsed.answer,
        faults=parsed.faults,
        finish=finish,
        tokens=reply.tokens,
        references=case.names,
        reference_ids=case.ids,
        leaks=case.leaks,
        source_id=case.source_id,
        error=reply.error,
    )


def _append(path: Path, answers: Sequence[Answer]) -> None:
    """Add whole lines and sync them: what has been answered survives a kill and a power cut."""
    lines = "".join(records.to_line(answer) + "\n" for answer in answers)
    with path.open("ab") as handle:
        handle.write(lines.encode("utf-8"))
        handle.flush()
        os.fsync(handle.fileno())


def _seed(seed: int, first_case: str, some: Sequence[int]) -> int:
    """A seed of its own for each batch, and for each set of samples asked for by themselves: the generator counts
    prompts and samples from 0 in every call, and neither two batches nor two samples of a case may draw the same
    numbers."""
    later = f"/{','.join(map(str, some))}" if some else ""
    return int.from_bytes(hashlib.sha256(f"{seed}/{first_case}{later}".encode()).digest()[:4], "big") >> 1


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
