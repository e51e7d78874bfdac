"""Which faults of the form a completion has: the parser's taxonomy as flags."""

from __future__ import annotations

from collections.abc import Mapping

from diagnosis_zero.types import Answer


def features(answer: Answer) -> Mapping[str, float]:
    """``format/well_formed`` 0 or 1, and ``format/<fault>`` 1 for every fault the parser named (see
    ``parsing.FAULT_MEANINGS``). A fault that is absent has no entry."""
    return {"format/well_formed": float(not answer.faults)} | {f"format/{fault}": 1.0 for fault in answer.faults}
