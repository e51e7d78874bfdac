"""Which faults of the form a completion has: the parser's taxonomy as flags."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from diagnosis_zero.types import Answer


def features(answer: Answer) -> Mapping[str, float]:
    """``format/well_formed`` 0 or 1, and ``format/<fault>`` 1 for every fault the parser named (see
    ``parsing.FAULT_MEANINGS``). A fault that is absent has no entry."""
    return {"format/well_formed": float(not answer.faults)} | {f"format/{fault}": 1.0 for fault in answer.faults}


KINDS: Mapping[str, tuple[str, ...]] = {
    "flooded with tags": ("tags_flooded",),
    "cut by the limit": ("truncated",),
    "no answer": ("answer_missing", "answer_empty", "answer_unclosed"),
    "answer unclear": (
        "answer_repeated", "answer_nested", "answer_unopened", "answer_in_think", "answer_before_think",
        "think_in_answer",
    ),
    "no reasoning": ("think_missing", "think_empty"),
    "reasoning broken": ("think_unclosed", "think_unopened", "think_nested", "think_repeated"),
    "text outside": ("text_before", "text_between", "text_after"),
}  # fmt: skip
"""The faults in the order of their weight: a completion with several is counted under the first."""
COMPLETE = "complete form"


def kind(faults: Collection[str]) -> str:
    """The one word for the form of a completion, so that the shares of all kinds add up to one."""
    return next((name for name, members in KINDS.items() if not set(members).isdisjoint(faults)), COMPLETE)
