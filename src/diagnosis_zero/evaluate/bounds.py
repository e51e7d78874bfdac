"""What can be reached on generated patients: the best that any reader can do, chance, and a simple rule.

The generator knows the probability of every patient under every disease, so ``cases.vignettes`` puts the answer of
the Bayes-optimal reader, its posterior probability, and the answer of the overlap rule beside each patient
(``Case.extra``). Here they become figures; other cases have none.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from diagnosis_zero.evaluate import stats
from diagnosis_zero.evaluate.stats import Estimate
from diagnosis_zero.types import Case


def bounds(cases: Sequence[Case]) -> dict[str, Estimate]:
    """Accuracies on these very cases; empty unless all of them are generated.

    ``oracle`` the most probable disease, ``oracle_expected`` its mean posterior (the same with less noise),
    ``overlap`` the disease that lists most of the findings, ``chance`` one of the diseases here at random.
    """
    if not cases or not all("oracle" in case.extra for case in cases):
        return {}
    chance = 1 / len({case.names[0] for case in cases})
    return {
        "oracle": stats.estimate([float(case.extra["oracle"] in case.names) for case in cases]),
        "oracle_expected": stats.estimate([float(case.extra["oracle_posterior"]) for case in cases]),
        "overlap": stats.estimate([float(case.extra["overlap"] in case.names) for case in cases]),
        "chance": Estimate(chance, chance, chance, len(cases), len(cases)),
    }


def learnt(accuracy: float, found: Mapping[str, Estimate]) -> float | None:
    """How far from chance (0) to the oracle (1) an accuracy is; None where there is no oracle above chance."""
    if not found or found["oracle"].value <= found["chance"].value:
        return None
    return (accuracy - found["chance"].value) / (found["oracle"].value - found["chance"].value)
