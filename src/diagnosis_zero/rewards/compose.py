"""One reward from its parts: ``score`` is the weighted sum of ``parts``, nothing else."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Literal

from diagnosis_zero.errors import InputError, nearest
from diagnosis_zero.parsing import parse, ranked
from diagnosis_zero.rewards.accuracy import METHODS, Grade, GradeFn, refused
from diagnosis_zero.rewards.answer_slot import MAX_CHARS
from diagnosis_zero.rewards.components import COMPONENTS
from diagnosis_zero.types import Case, Parsed, Reward, RewardFn

DEFAULT_WEIGHTS: dict[str, float] = {
    "accuracy": 1.0,
    "hypernym": 0.1,
    "format": 0.1,
    "extracted": 0.0,
    "one_answer": 0.0,
    "language": 0.0,
    "reasoning": 0.0,
    "nothing_after": 0.0,
}
"""Every part, and what it weighs unless told otherwise. Parts are in [0, 1]:

accuracy       the answer is the true disease (ranked task: 1/rank of the first that is)
hypernym       the answer is an accepted hypernym of it (ranked task: 1/rank), where nothing is accurate
extracted      there is an answer, and it earned no accuracy (the original's consolation of 0.1)
one_answer     the answer block commits to one diagnosis (ranked task: each item does, at most five)
format, language, reasoning, nothing_after: see ``components``
"""


def build_reward(
    *,
    method: str = "ontology",
    catalogue: Path | str | None = "default",
    weights: Mapping[str, float] | None = None,
    think_opened: bool = False,
    top: Literal[1, 5] = 1,
) -> RewardFn:
    """A reward function of (completion, case).

    Args:
        method: "ontology", or "sequence" for the original's formula.
        catalogue: a file made by ``dz catalogue build``, "default" (HPO's diseases, built once in the user's
            cache folder), or None to judge by the words of the names alone. Opened for "ontology" only.
        weights: of parts, by name; those not named keep ``DEFAULT_WEIGHTS``.
        think_opened: the chat template ends the prompt with ``<think>``.
        top: 5 for the ranked task (a list in the answer block).

    Raises:
        InputError: an unknown method or part, a weight that is no finite number, a catalogue that cannot be
            read. The function returned raises it for a case without names, never for a completion.
    """
    if method not in METHODS:
        raise InputError(f"unknown reward method {method!r}", mend=nearest(method, list(METHODS)))
    return partial(_reward, METHODS[method](catalogue), _all_weights(weights or {}), think_opened, top)


def _all_weights(given: Mapping[str, float]) -> dict[str, float]:
    for name, weight in given.items():
        if name not in DEFAULT_WEIGHTS:
            raise InputError(f"unknown reward part {name!r}", mend=nearest(name, list(DEFAULT_WEIGHTS)))
        if isinstance(weight, bool) or not isinstance(weight, int | float) or not math.isfinite(weight):
            raise InputError(f"the weight of reward part {name!r} is {weight!r}", mend="Give a finite number.")
    return DEFAULT_WEIGHTS | {name: float(weight) for name, weight in given.items()}


def _reward(
    grade: GradeFn, weights: Mapping[str, float], think_opened: bool, top: int, completion: str, case: Case
) -> Reward:
    if not case.names or not all(name.strip() for name in case.names):
        raise InputError(f"case {case.id!r} has no accepted name, or an empty one", mend="Mend the case file.")
    parsed = parse(completion, think_opened=think_opened)
    parts, notes = _judge(grade, parsed, case, top)
    parts |= {name: component(parsed, completion, case.text) for name, component in COMPONENTS.items()}
    score = math.fsum(weights[name] * value for name, value in parts.items())
    return Reward(score, parts, notes | {"faults": " ".join(parsed.faults)})


def _judge(grade: GradeFn, parsed: Parsed, case: Case, top: int) -> tuple[dict[str, float], dict[str, str]]:
    """The parts that depend on the truth, and the words for them."""
    if not parsed.answer:
        grades = [refused("no answer")]
    elif top == 1:
        grades = [grade(parsed.answer, case)]
    else:
        grades = _grade_list(grade, parsed.answer, case, top)
    accuracy, hypernym = (_reciprocal_rank(grades, label) for label in (2, 1))
    parts = {
        "accuracy": accuracy,
        "hypernym": 0.0 if accuracy else hypernym,
        "extracted": float(bool(parsed.answer) and not accuracy),
        "one_answer": float(not any(one.refusal for one in grades)),
    }
    best = max(grades, key=lambda one: (one.match.label, one.match.score))
    return parts, _notes(best)


def _grade_list(grade: GradeFn, answer: str, case: Case, top: int) -> list[Grade]:
    if len(answer) > top * MAX_CHARS:
        return [refused("too long")]
    items = ranked(answer)
    return [grade(item, case) for item in items] if 0 < len(items) <= top else [refused("not one to five items")]


def _reciprocal_rank(grades: list[Grade], label: int) -> float:
    """1 / rank of the first answer with this label; 0 where there is none. One answer: 1 or 0."""
    return next((1 / rank for rank, one in enumerate(grades, start=1) if one.match.label == label), 0.0)


def _notes(grade: Grade) -> dict[str, str]:
    notes = {"rule": grade.match.rule, "matched": grade.match.matched_name or grade.match.matched_id or ""}
    return notes | {"refusal": grade.refusal}
