"""A language model as judge, through the same seam as any other generation.

Each distinct prompt is paid for once (``verdict_cache``); what comes is kept at once. A reply that cannot
be read, a refusal or a failed call leaves its answer *unscored*, with the reason. A budget is never
overdrawn: calls go out in slices whose worst cost still fits, and what no longer fits is unscored too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import get_args

from diagnosis_zero.evaluate.judge import Judge, Named, verdict
from diagnosis_zero.evaluate.judge_prompt import build, flag, parse_grades
from diagnosis_zero.evaluate.protocol import Sets
from diagnosis_zero.evaluate.replies import Reply, Streaming, replies
from diagnosis_zero.evaluate.verdict_cache import VerdictCache, key_of
from diagnosis_zero.nomenclature.match import ANOTHER, TOO_BROAD
from diagnosis_zero.types import Chat, Generator, Label, SamplingParams, Verdict

SLICE = 256
"""Calls between two looks at the budget."""
CHARS_A_TOKEN = 3.0
"""Few, so that a forecast is rather too high than too low."""
TOKENS_A_GRADE = 8
READINGS = 2
"""How often an unreadable reply is asked for, in all."""

Grades = tuple[Label, ...] | str
"""One grade for each name, or why there are none."""


@dataclass(slots=True)
class Bill:
    """What judging costs: ``price_in`` and ``price_out`` per million tokens, in the currency of ``budget``."""

    price_in: float = 0.0
    price_out: float = 0.0
    budget: float | None = None
    calls: int = 0
    cached: int = 0
    prompt_tokens: int = 0
    tokens: int = 0
    forecast: float = 0.0

    @property
    def cost(self) -> float:
        return self.price(self.prompt_tokens, self.tokens)

    def price(self, prompt_tokens: float, tokens: float) -> float:
        return (prompt_tokens * self.price_in + tokens * self.price_out) / 1e6

    def fits(self, cost: float) -> bool:
        return self.budget is None or self.cost + cost <= self.budget

    def add(self, reply: Reply, asked: int) -> None:
        """``asked`` prompt tokens are taken where the server does not count them."""
        self.calls += reply.attempts
        self.prompt_tokens += reply.prompt_tokens or asked
        self.tokens += reply.tokens


@dataclass(frozen=True, slots=True)
class _Call:
    """One prompt to be paid for, and how its reply is read."""

    key: str
    chat: Chat
    count: int
    allowed: frozenset[int]

    @property
    def text(self) -> str:
        return "".join(message["content"] for message in self.chat)


@dataclass(frozen=True, slots=True)
class LLMJudge:
    """``Judge`` by a language model. ``announce`` is told the forecast before the first call; ``attempts`` is how
    often the generator may ask, and be billed, for one reply."""

    model: str
    generator: Generator | Streaming
    sets: Sets
    cache: VerdictCache
    params: SamplingParams
    template: str | None = None
    bill: Bill = field(default_factory=Bill)
    announce: Callable[[str], None] = lambda _: None
    progress: Callable[[int, int], None] = lambda done, of: None
    attempts: int = 1

    def __call__(self, named: Sequence[Named]) -> list[tuple[Verdict, ...]]:
        calls = [self._call(item) for item in named]
        distinct = {call.key: call for call in calls}
        found: dict[str, Grades] = {}
        for key in distinct:
            if (labels := self.cache.get(key)) is not None:
                found[key] = labels
        self.bill.cached += len(found)
        self._ask([call for key, call in distinct.items() if key not in found], found)
        return [self._verdicts(item, found[call.key]) for item, call in zip(named, calls, strict=True)]

    def _call(self, item: Named) -> _Call:
        sets = self.sets(item.answer)
        chat = build(item.names, sets, self.template)
        key = key_of(self.model, self.params.temperature, chat)
        return _Call(key, chat, len(item.names), sets.grades)

    def _ask(self, missing: Sequence[_Call], found: dict[str, Grades]) -> None:
        """Ask until each is read, has failed ``READINGS`` times, or the budget ends."""
        if not missing:
            return
        self._forecast(missing)
        done = 0
        for _ in range(READINGS):
            asked = [call for call in missing if isinstance(found.get(call.key, ""), str)]
            for calls in self._slices(asked):
                for reply in replies(self.generator, [call.chat for call in calls], 1, self.params):
                    call = calls[reply.prompt]
                    found[call.key] = self._read(call, reply)
                    done += not isinstance(found[call.key], str)
                    self.progress(done, len(missing))
        for call in missing:
            found.setdefault(call.key, "budget spent")

    def _slices(self, calls: Sequence[_Call]) -> Iterator[list[_Call]]:
        """Calls in pieces whose worst cost fits what is left of the budget."""
        waiting = list(calls)
        while waiting:
            worst = accumulate(map(self._worst, waiting[:SLICE]))
            fitting = sum(map(self.bill.fits, worst))
            if not fitting:
                return
            yield waiting[:fitting]
            waiting = waiting[fitting:]

    def _worst(self, call: _Call) -> float:
        """A byte a token and the reply at its limit, each time that it may be asked for: nothing costs more."""
        return self.attempts * self.bill.price(len(call.text.encode()), self.params.max_tokens)

    def _read(self, call: _Call, reply: Reply) -> Grades:
        self.bill.add(reply, round(len(call.text) / CHARS_A_TOKEN))
        if reply.completion is None:
            return reply.error or "no reply"
        if reply.completion.finish == "length":
            return f"the reply was cut at {self.params.max_tokens} tokens"
        grades = parse_grades(reply.completion.text, call.count, call.allowed)
        if not isinstance(grades, str):
            self.cache.put(
                call.key,
                grades,
                model=self.model,
                temperature=self.params.temperature,
                prompt=call.text,
                reply=reply.completion.text,
                billed=(reply.prompt_tokens, reply.tokens),
            )
        return grades

    def _forecast(self, calls: Sequence[_Call]) -> None:
        prompt = sum(len(call.text) for call in calls) / CHARS_A_TOKEN
        written = sum(TOKENS_A_GRADE * call.count for call in calls)
        self.bill.forecast += self.bill.price(prompt, written)
        money = f", about {self.bill.forecast:.2f} in money" if self.bill.price_in or self.bill.price_out else ""
        self.announce(f"{self.model} judges {len(calls)} prompts: about {prompt + written:,.0f} tokens{money}")

    def _verdicts(self, item: Named, grades: Grades) -> tuple[Verdict, ...]:
        if isinstance(grades, str):
            return tuple(self._verdict(item, name, None, "unscored", grades) for name in item.names)
        return tuple(
            self._verdict(item, name, label, "llm", "") for name, label in zip(item.names, grades, strict=True)
        )

    def _verdict(self, item: Named, name: str, label: Label | None, rule: str, reason: str) -> Verdict:
        said = "; ".join(filter(None, (flag(name), reason)))
        return verdict(item.answer, self.model, label, rule, reason=said)


def first_then(label: str, cheap: Judge, dear: Judge) -> Judge:
    """Ask ``dear`` only about answers that ``cheap`` leaves open.

    Settled is a name found to be the accepted disease or an accepted hypernym of it, or found in the
    catalogue as another disease. An answer with one open name goes to ``dear`` whole, since its list is
    judged in one call.
    """

    def judge(named: Sequence[Named]) -> list[tuple[Verdict, ...]]:
        settled = cheap(named)
        open_at = [place for place, verdicts in enumerate(settled) if not all(map(_settles, verdicts))]
        asked = dict(zip(open_at, dear([named[place] for place in open_at]), strict=True))
        return [_as_judge(label, asked.get(place, verdicts)) for place, verdicts in enumerate(settled)]

    return judge


def majority(label: str, judges: Mapping[str, Judge]) -> Judge:
    """The label that more than half of all judges give; unscored where there is none."""

    def judge(named: Sequence[Named]) -> list[tuple[Verdict, ...]]:
        each = {name: one(named) for name, one in judges.items()}
        return [
            tuple(
                _vote(label, {name: verdicts[place][rank] for name, verdicts in each.items()})
                for rank in range(len(item.names))
            )
            for place, item in enumerate(named)
        ]

    return judge


def _vote(label: str, votes: Mapping[str, Verdict]) -> Verdict:
    labels = [vote.label for vote in votes.values()]
    winners: list[Label] = [one for one in get_args(Label) if 2 * labels.count(one) > len(labels)]
    said = ", ".join(f"{name}: {'unscored' if v.label is None else v.label}" for name, v in votes.items())
    flags = sorted({vote.reason.partition(";")[0] for vote in votes.values() if vote.reason.startswith("flagged")})
    first = next(iter(votes.values()))
    chosen = winners[0] if winners else None
    return Verdict(
        first.case_id,
        first.sample,
        first.step,
        label,
        chosen,
        (chosen or 0) / 2,
        "majority" if winners else "no_majority",
        "; ".join([*flags, said]),
    )


def _settles(found: Verdict) -> bool:
    """A name found but left undecided (it means several diseases, or the truth is in no catalogue) is open."""
    return found.label in (1, 2) or found.rule in (ANOTHER, TOO_BROAD)


def _as_judge(label: str, verdicts: Sequence[Verdict]) -> tuple[Verdict, ...]:
    """The same verdicts under the joint judge's name; the rule still says who decided."""
    return tuple(
        Verdict(v.case_id, v.sample, v.step, label, v.label, v.score, v.rule, v.reason, v.matched_id) for v in verdicts
    )
