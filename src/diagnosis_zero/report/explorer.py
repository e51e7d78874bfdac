"""The data behind the case explorer: a small index for the filters, and blocks of texts unpacked when looked at.

Texts of one case at all checkpoints stand together, so that the same case compresses against itself.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from diagnosis_zero.behaviour.language import detect
from diagnosis_zero.report.behaviours import FLAGS, MEASURES
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


Kept = tuple[Evaluation, Answer]
"""An answer with the evaluation that judged it."""


@dataclass(frozen=True, slots=True)
class _Checkpoint:
    """All answers of one run at one step, by case: the greedy one, then the samples in order."""

    run: str
    step: int
    by_case: Mapping[str, list[Kept]]

    def first(self, case_id: str) -> Kept | None:
        return next(iter(self.by_case.get(case_id, ())), None)


def explore(runs: Sequence[Run], judge: str | None, *, redact: bool = False) -> Explorer:
    """All answers of all evaluations, by case; ``judge`` decides the outcome that is filtered by.

    ``redact`` keeps outcomes, diseases and measures, and leaves out all that was written by or about a
    patient: texts, answers, findings, the cases' own identifiers.
    """
    checkpoints = [checkpoint for run in runs for checkpoint in _checkpoints(run)]
    ids = list(dict.fromkeys(id_ for checkpoint in checkpoints for id_ in checkpoint.by_case))
    cases = {id_: case for run in reversed(runs) for id_, case in run.cases.items()}
    judges = sorted({name for run in runs for one in (*run.evaluations, *run.sampled) for name in one.verdicts})
    flags, numbers = _feature_names(checkpoints)
    index = {
        "checkpoints": [{"run": one.run, "step": one.step} for one in checkpoints],
        "judge": judge,
        "judges": judges,
        "flags": [[flag, label_of(flag)] for flag in flags],
        "numbers": [[number, label_of(number)] for number in numbers],
        "redacted": redact,
        "ids": [f"case-{i:05d}" for i in range(1, len(ids) + 1)] if redact else ids,
        "diseases": [_disease(id_, cases, checkpoints) for id_ in ids],
        "outcomes": ["".join(_outcome(one, id_, judge) for id_ in ids) for one in checkpoints],
        "flagged": [[_flag_bits(one.first(id_), flags) for id_ in ids] for one in checkpoints],
        "answers": [] if redact else [[_first_answer(one, id_) for id_ in ids] for one in checkpoints],
        "block": CASES_PER_BLOCK,
    }
    rows = [
        [
            _case(cases.get(id_), redact),
            [[_cell(kept, judges, numbers, redact) for kept in one.by_case.get(id_, ())] for one in checkpoints],
        ]
        for id_ in ids
    ]
    return Explorer(index, tuple(rows[i : i + CASES_PER_BLOCK] for i in range(0, len(rows), CASES_PER_BLOCK)))


def label_of(feature: str) -> str:
    """A feature in words."""
    known = FLAGS.get(feature) or MEASURES.get(feature)
    return known or feature.removeprefix("format/").replace("/", ": ").replace("_", " ")


def _checkpoints(run: Run) -> list[_Checkpoint]:
    by_step: defaultdict[int, defaultdict[str, list[Kept]]] = defaultdict(lambda: defaultdict(list))
    for evaluation in (*run.evaluations, *run.sampled):
        for answer in sorted(evaluation.answers, key=lambda answer: answer.sample):
            by_step[evaluation.step][answer.case_id].append((evaluation, answer))
    return [_Checkpoint(run.name, step, by_case) for step, by_case in sorted(by_step.items())]


def _features(kept: Kept) -> Mapping[str, float]:
    """The measures of a completion; where they are missing, the faults that the parser named."""
    evaluation, answer = kept
    behaviour = evaluation.behaviours.get((answer.case_id, answer.sample))
    return behaviour.features if behaviour else {f"format/{fault}": 1.0 for fault in answer.faults}


def _feature_names(checkpoints: Sequence[_Checkpoint]) -> tuple[list[str], list[str]]:
    """Flags (of the form, or only 1 seen, or 0 and 1), commonest first, and the other numbers."""
    seen: Counter[str] = Counter()
    numeric: set[str] = set()
    for features in (_features(kept) for one in checkpoints for every in one.by_case.values() for kept in every):
        for name, value in features.items():
            if value == 1 and not name.startswith(NUMBERS):
                seen[name] += 1
            elif value != 0 or name.startswith(NUMBERS):
                numeric.add(name)
    flags = sorted(set(seen) - numeric, key=lambda name: (-seen[name], name))
    return flags[:MOST_FLAGS], sorted(numeric)


NUMBERS = ("reward/", "length/tokens", "length/words", "thought/words", "thought/hypotheses", "thought/changes",
           "thought/corrections", "thought/cited", "thought/invented", "thought/copied", "language/share")  # fmt: skip
"""Features that are numbers even where only 0 and 1 were seen."""


def _flag_bits(kept: Kept | None, flags: Sequence[str]) -> int:
    features = _features(kept) if kept else {}
    return sum(1 << bit for bit, flag in enumerate(flags) if features.get(flag) == 1)


def _outcome(checkpoint: _Checkpoint, id_: str, judge: str | None) -> str:
    """One character: the label of the first answer, ``u`` for unscored, ``-`` for not asked."""
    kept = checkpoint.first(id_)
    if kept is None:
        return "-"
    evaluation, answer = kept
    verdict = evaluation.verdicts.get(judge or "", {}).get((id_, answer.sample))
    return "u" if verdict is None or verdict.label is None else str(verdict.label)


def _first_answer(checkpoint: _Checkpoint, id_: str) -> str | None:
    kept = checkpoint.first(id_)
    return kept[1].answer if kept else None


def _disease(id_: str, cases: Mapping[str, Case], checkpoints: Sequence[_Checkpoint]) -> str:
    names = cases[id_].names if id_ in cases else ()
    asked = (kept[1].references for one in checkpoints if (kept := one.first(id_)))
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


def _cell(kept: Kept, judges: Sequence[str], numbers: Sequence[str], redact: bool) -> list[Any]:
    """[label of the sample, tokens, finish, verdicts by judge, numbers, text, error, spans of another language]; None
    for what is left out."""
    evaluation, answer = kept
    verdicts = [
        _verdict(evaluation.verdicts.get(name, {}).get((answer.case_id, answer.sample)), redact) for name in judges
    ]
    features = _features(kept)
    measured = [_short(features.get(name)) for name in numbers]
    name = f"sample {answer.sample + 1}" if evaluation.sampled else "greedy"
    known = [name, answer.tokens, answer.finish, verdicts, measured]
    if redact:
        return [*known, None, None, []]
    return [*known, answer.text, answer.error, _foreign(answer.text) if features.get("language/mixed") else []]


def _foreign(text: str) -> list[list[int]]:
    """Spans of another language in the units that JavaScript counts in (UTF-16)."""
    return [[_utf16(text[: span.start]), _utf16(text[: span.end])] for span in detect(text).spans]


def _utf16(text: str) -> int:
    return len(text) + sum(char > "\uffff" for char in text)


def _verdict(verdict: Verdict | None, redact: bool) -> list[Any] | None:
    if verdict is None:
        return None
    reason = "" if redact else verdict.reason
    return [verdict.label, _short(verdict.score), verdict.rule, reason, verdict.matched_id]


def _short(value: float | None) -> float | None:
    return None if value is None else round(value, 4)
