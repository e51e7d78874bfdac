"""The figures of one evaluation, from its answers and verdicts. Written as ``summary.json``.

Each figure is an object ``{"value", "low", "high", "n", "clusters"}``: a share of cases with its 95 %
interval (Wilson's, or on the logit scale where an article gave several cases: ``stats.estimate``) or null where no case
counts.

    model, step, judge      what was asked and who judged
    samples                 answers asked of each case
    cases, answers          how many there are
    failed, unscored        answers that never came; answers without a verdict: counted here and nowhere else
    flagged                 answers that address the judge, or are too long for a name (LLM judge only)
    accuracy                first answer is the same disease (label 2)
    total                   first answer is the same disease or an accepted broader one (label 2 or 1)
    headline                ``accuracy`` on the cases whose text does not name the answer
    mean_at_n               expected share right over all samples
    pass_at                 {k: chance that one of k samples is right}, for k = 1, 2, 4, ... n: where training only
                            sharpens, mean_at_n rises and pass@n does not
    majority                the most frequent answer is right (first among equals)
    confidence              calibration and abstention from agreeing samples (``confidence.Confidence``)
    top5, top5_total        best of the five ranked diagnoses; null unless a list was asked for
    grades                  {"top1", "top5": shares of the cases with grade 0, 1, 2}, as RareArena tables them
    bounds                  accuracies of the oracle, the overlap rule and chance, for generated patients (``bounds``)
    well_formed, truncated  shares of the answers that came
    faults                  {fault: share of the answers that came}
    mean_tokens             mean length of the answers that came
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from diagnosis_zero.evaluate import protocol, stats
from diagnosis_zero.evaluate.bounds import bounds
from diagnosis_zero.evaluate.confidence import Confidence, agreement_of, confidence
from diagnosis_zero.evaluate.stats import Estimate
from diagnosis_zero.nomenclature.normalise import normalise
from diagnosis_zero.types import Answer, Case, Verdict


@dataclass(frozen=True, slots=True)
class Summary:
    """See the module's docstring."""

    model: str
    step: int
    judge: str
    samples: int
    cases: int
    answers: int
    failed: int
    unscored: int
    flagged: int
    accuracy: Estimate | None
    total: Estimate | None
    headline: Estimate | None
    mean_at_n: Estimate | None
    pass_at: Mapping[int, Estimate]
    majority: Estimate | None
    confidence: Confidence | None
    top5: Estimate | None
    top5_total: Estimate | None
    grades: Mapping[str, tuple[float, float, float]]
    bounds: Mapping[str, Estimate]
    well_formed: float
    truncated: float
    faults: Mapping[str, float]
    mean_tokens: float


@dataclass(frozen=True, slots=True)
class Judged:
    """An answer with the verdicts on the diagnoses it names, the most likely first."""

    answer: Answer
    verdicts: tuple[Verdict, ...]

    @property
    def first(self) -> Verdict:
        return self.verdicts[0]

    @property
    def scored(self) -> bool:
        return self.first.label is not None

    @property
    def right(self) -> float:
        return float(self.first.label == 2)


def summarise(judged: Sequence[Judged], *, samples: int, top: int, judge: str, cases: Sequence[Case] = ()) -> Summary:
    """All figures of one evaluation. ``judged`` holds every answer, in any order; not empty."""
    by_case = _by_case(judged)
    first = [answers[0] for answers in by_case if answers[0].answer.sample == 0 and answers[0].scored]
    whole = [answers for answers in by_case if len(answers) == samples and all(one.scored for one in answers)]
    several = whole if samples > 1 else []
    listed = [one for one in first if all(verdict.label is not None for verdict in one.verdicts)] if top > 1 else []
    came = [one.answer for one in judged if one.answer.error is None]
    return Summary(
        model=judged[0].answer.model,
        step=judged[0].answer.step,
        judge=judge,
        samples=samples,
        cases=len(by_case),
        answers=len(came),
        failed=len(judged) - len(came),
        unscored=sum(not one.scored and one.answer.error is None for one in judged),
        flagged=sum(any(verdict.reason.startswith("flagged") for verdict in one.verdicts) for one in judged),
        accuracy=_share(first, lambda one: one.right),
        total=_share(first, lambda one: float((one.first.label or 0) >= 1)),
        headline=_share([one for one in first if not one.answer.leaks], lambda one: one.right),
        mean_at_n=_share_of_cases(several, lambda answers: sum(one.right for one in answers) / len(answers)),
        pass_at=_pass_at(several, samples),
        majority=_share_of_cases(several, majority_right),
        confidence=_confidence(several),
        top5=_share(listed, lambda one: float(best_label(one) == 2)),
        top5_total=_share(listed, lambda one: float(best_label(one) >= 1)),
        grades=_grades({"top1": [one.first.label or 0 for one in first], "top5": [best_label(one) for one in listed]}),
        bounds=bounds(cases),
        well_formed=_mean([not answer.faults for answer in came]),
        truncated=_mean([answer.finish == "length" for answer in came]),
        faults=_fault_shares(came),
        mean_tokens=_mean([answer.tokens for answer in came]),
    )


def majority_right(answers: Sequence[Judged]) -> float:
    """Whether the diagnosis given most often, the earliest among equals, is the right one."""
    votes = Counter(vote(one) for one in answers)
    chosen = max(answers, key=lambda one: votes[vote(one)])
    return chosen.right


def vote(one: Judged) -> str:
    """What counts as the same diagnosis among samples: the catalogue's entry, else the normalised name."""
    return one.first.matched_id or normalise(one.answer.answer or "")


def best_label(one: Judged) -> int:
    """RareArena's top-5 score: the best of the first five."""
    return max(verdict.label or 0 for verdict in one.verdicts[:5])


def _pass_at(several: Sequence[Sequence[Judged]], samples: int) -> dict[int, Estimate]:
    sizes = sorted({2**power for power in range(samples.bit_length())} | {samples})
    found = {k: _share_of_cases(several, partial(_pass_chance, k)) for k in sizes}
    return {k: chance for k, chance in found.items() if chance is not None}


def _pass_chance(k: int, answers: Sequence[Judged]) -> float:
    return stats.pass_at_k(int(sum(one.right for one in answers)), len(answers), k)


def _confidence(several: Sequence[Sequence[Judged]]) -> Confidence | None:
    if not several:
        return None
    shares = [agreement_of([vote(one) for one in answers]) for answers in several]
    return confidence(shares, [majority_right(answers) for answers in several])


def _by_case(judged: Sequence[Judged]) -> list[list[Judged]]:
    cases: dict[str, list[Judged]] = defaultdict(list)
    for one in sorted(judged, key=lambda one: one.answer.sample):
        cases[one.answer.case_id].append(one)
    return list(cases.values())


def _share(judged: Sequence[Judged], value: Callable[[Judged], float]) -> Estimate | None:
    return _share_of_cases([[one] for one in judged], lambda answers: value(answers[0]))


def _share_of_cases(cases: Sequence[Sequence[Judged]], value: Callable[[Sequence[Judged]], float]) -> Estimate | None:
    if not cases:
        return None
    articles = [answers[0].answer.source_id or answers[0].answer.case_id for answers in cases]
    return stats.estimate([value(answers) for answers in cases], articles)


def _grades(labels: Mapping[str, Sequence[int]]) -> dict[str, tuple[float, float, float]]:
    return {top: protocol.shares(found) for top, found in labels.items() if found}


def _fault_shares(came: Sequence[Answer]) -> dict[str, float]:
    counts = Counter(fault for answer in came for fault in set(answer.faults))
    return {fault: count / len(came) for fault, count in counts.most_common()}


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else 0.0
