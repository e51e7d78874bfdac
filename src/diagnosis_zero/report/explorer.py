"""The data behind the case explorer: a small index for the filters, and blocks of texts unpacked when looked at.

Texts of one case at all checkpoints stand together, so that the same case compresses against itself.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from diagnosis_zero.report.load import Evaluation, Run
from diagnosis_zero.types import Answer, Case, Verdict

CASES_PER_BLOCK = 40
MOST_FLAGS = 31
"""Flags travel as the bits of one JavaScript integer."""


@dataclass(frozen=True, slots=True)
class Explorer:
    """``index`` is unpacked at once; ``blocks[i]`` holds the texts of cases 40 i to 40 i + 39."""

    index: dict[str, Any]
    blocks: tuple[list[Any], ...]


@dataclass(frozen=True, slots=True)
class _Checkpoint:
    """An evaluation with its answers by case, samples in order."""

    evaluation: Evaluation
    by_case: Mapping[str, list[Answer]]


def explore(runs: Sequence[Run], judge: str | None, *, redact: bool = False) -> Explorer:
    """All answers of all evaluations, by case; ``judge`` decides the outcome that is filtered by.

    ``redact`` keeps outcomes, diseases and measures, and leaves out all that was written by or about a
    patient: texts, answers, findings, the cases' own identifiers.
    """
    checkpoints = [_checkpoint(evaluation) for run in runs for evaluation in run.evaluations]
    ids = list(dict.fromkeys(id_ for checkpoint in checkpoints for id_ in checkpoint.by_case))
    cases = {id_: case for run in reversed(runs) for id_, case in run.cases.items()}
    judges = sorted({name for checkpoint in checkpoints for name in checkpoint.evaluation.verdicts})
    flags, numbers = _feature_names(checkpoints)
    index = {
        "checkpoints": [{"run": c.evaluation.run, "step": c.evaluation.step} for c in checkpoints],
        "judge": judge,
        "judges": judges,
        "flags": flags,
        "numbers": numbers,
        "redacted": redact,
        "ids": [f"case-{i:05d}" for i in range(1, len(ids) + 1)] if redact else ids,
        "diseases": [_disease(id_, cases, checkpoints) for id_ in ids],
        "outcomes": ["".join(_outcome(c, id_, judge) for id_ in ids) for c in checkpoints],
        "flagged": [[_flag_bits(c, id_, flags) for id_ in ids] for c in checkpoints],
        "answers": [] if redact else [[_first_answer(c, id_) for id_ in ids] for c in checkpoints],
        "block": CASES_PER_BLOCK,
    }
    rows = [
        [
            _case(cases.get(id_), redact),
            [[_cell(c, answer, judges, numbers, redact) for answer in c.by_case.get(id_, ())] for c in checkpoints],
        ]
        for id_ in ids
    ]
    return Explorer(index, tuple(rows[i : i + CASES_PER_BLOCK] for i in range(0, len(rows), CASES_PER_BLOCK)))


def _checkpoint(evaluation: Evaluation) -> _Checkpoint:
    by_case: defaultdict[str, list[Answer]] = defaultdict(list)
    for answer in sorted(evaluation.answers, key=lambda answer: answer.sample):
        by_case[answer.case_id].append(answer)
    return _Checkpoint(evaluation, by_case)


def _feature_names(checkpoints: Sequence[_Checkpoint]) -> tuple[list[str], list[str]]:
    """Flags (only 0 and 1 seen, 1 at least once, commonest first) and the other numbers."""
    seen: defaultdict[str, int] = defaultdict(int)
    numeric: set[str] = set()
    for checkpoint in checkpoints:
        for behaviour in checkpoint.evaluation.behaviours.values():
            for name, value in behaviour.features.items():
                if value not in (0, 1):
                    numeric.add(name)
                elif value:
                    seen[name] += 1
        for answers in checkpoint.by_case.values():
            for fault in (fault for answer in answers for fault in answer.faults):
                seen.setdefault(f"format/{fault}", 1)
    flags = sorted(set(seen) - numeric, key=lambda name: (-seen[name], name))
    return flags[:MOST_FLAGS], sorted(numeric)


def _flag_bits(checkpoint: _Checkpoint, id_: str, flags: Sequence[str]) -> int:
    answers = checkpoint.by_case.get(id_)
    if not answers:
        return 0
    behaviour = checkpoint.evaluation.behaviours.get((id_, answers[0].sample))
    held = {f"format/{fault}" for fault in answers[0].faults}
    held |= {name for name, value in behaviour.features.items() if value == 1} if behaviour else set()
    return sum(1 << bit for bit, flag in enumerate(flags) if flag in held)


def _outcome(checkpoint: _Checkpoint, id_: str, judge: str | None) -> str:
    """One character: the label, ``u`` for unscored, ``-`` for not asked."""
    answers = checkpoint.by_case.get(id_)
    if not answers:
        return "-"
    verdict = checkpoint.evaluation.verdicts.get(judge or "", {}).get((id_, answers[0].sample))
    return "u" if verdict is None or verdict.label is None else str(verdict.label)


def _first_answer(checkpoint: _Checkpoint, id_: str) -> str | None:
    answers = checkpoint.by_case.get(id_)
    return answers[0].answer if answers else None


def _disease(id_: str, cases: Mapping[str, Case], checkpoints: Sequence[_Checkpoint]) -> str:
    names = cases[id_].names if id_ in cases else ()
    asked = (c.by_case[id_][0].references for c in checkpoints if id_ in c.by_case)
    return next(iter(names or next(asked, ())), "")


def _case(case: Case | None, redact: bool) -> dict[str, Any]:
    if case is None:
        return {}
    open_ = {"names": case.names, "ids": case.ids, "source": case.source}
    if redact:
        return open_
    findings = [[finding.id, finding.label, int(finding.excluded)] for finding in case.findings]
    about = {"age": case.age, "sex": case.sex, "date": case.date}
    return {**open_, **about, "text": case.text, "findings": findings, "leaks": case.leaks}


def _cell(
    checkpoint: _Checkpoint, answer: Answer, judges: Sequence[str], numbers: Sequence[str], redact: bool
) -> list[Any]:
    """[sample, tokens, finish, verdicts by judge, numbers, text, error]; None for a text left out."""
    key = (answer.case_id, answer.sample)
    evaluation = checkpoint.evaluation
    verdicts = [_verdict(evaluation.verdicts.get(judge, {}).get(key), redact) for judge in judges]
    behaviour = evaluation.behaviours.get(key)
    features = behaviour.features if behaviour else {}
    measured = [_short(features.get(name)) for name in numbers]
    text, error = (None, None) if redact else (answer.text, answer.error)
    return [answer.sample, answer.tokens, answer.finish, verdicts, measured, text, error]


def _verdict(verdict: Verdict | None, redact: bool) -> list[Any] | None:
    if verdict is None:
        return None
    reason = "" if redact else verdict.reason
    return [verdict.label, _short(verdict.score), verdict.rule, reason, verdict.matched_id]


def _short(value: float | None) -> float | None:
    return None if value is None else round(value, 4)
