"""The reward on answers whose worth is known: the gold answer, other diseases, and texts that should earn less."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from random import Random

from rapidfuzz import process

from diagnosis_zero.config import Recipe
from diagnosis_zero.doctor.notes import Note, error, ok, warning
from diagnosis_zero.doctor.template import THOUGHT, as_generated, completion
from diagnosis_zero.engine.model import Policy
from diagnosis_zero.rewards import DEFAULT_WEIGHTS
from diagnosis_zero.types import Case, Reward, RewardFn

CASES = 200
"""Cases whose answers are tried."""
GOOD = ("accuracy", "format", "one_answer", "language", "reasoning", "nothing_after")
"""Parts that the full form with the true disease earns."""
CONSOLATION = 0.5
"""Share of the full reward above which an answer that names no disease earns too much."""
SLOW_SECONDS = 5.0
"""Seconds of a step that scoring may take."""
ALSO_FULL = {
    "no reasoning": "<answer>{name}</answer>",
    "empty reasoning": "<think></think><answer>{name}</answer>",
    "five diseases in one answer": "<think>{thought}</think><answer>{name}; {others}</answer>",
    "text after the answer": "<think>{thought}</think><answer>{name}</answer> And so on, and so on.",
    "another script in the reasoning": "<think>{thought} Таковы признаки.</think><answer>{name}</answer>",
}
"""What a policy may drift into where it costs nothing."""
GUARDED = {"another script in the reasoning"}
"""Of these, what the guard takes for a collapse even where it costs nothing."""
NOTHING = {
    "an empty text": "",
    "no disease in the full form": "<think>{thought}</think><answer>A rare disease</answer>",
    "empty tags": "<think></think><answer></answer>",
    "the answer inside the reasoning": "<think>{thought} {name}",
}
"""What must earn little."""


def full_reward(weights: dict[str, float]) -> float:
    """What the true disease in the full form is to earn."""
    return math.fsum((DEFAULT_WEIGHTS | weights)[part] for part in GOOD)


def examine_reward(
    policy: Policy, reward: RewardFn, recipe: Recipe, cases: Sequence[Case], opened: bool
) -> Iterator[Note]:
    """Every check of this module."""
    weights, guarded = dict(recipe.reward.weights), recipe.guard.on_collapse != "warn"
    full = full_reward(weights)
    if full <= 0 or (DEFAULT_WEIGHTS | weights)["accuracy"] <= 0:
        what = f"the true disease in the full form would earn {full:g}, accuracy weighs {weights.get('accuracy'):g}"
        yield error("reward.weights", what, "Give accuracy a weight above 0 in reward.weights.")
        return
    cases = _spread(cases)
    began = time.perf_counter()
    yield from _gold(policy, reward, full, cases, opened)
    seconds = (time.perf_counter() - began) / len(cases)
    yield from _wrong(policy, reward, cases, opened)
    yield from _drift(policy, reward, full, cases, opened, guarded)
    yield from scoring_time(seconds, recipe.rollout.prompts * recipe.rollout.group)


def _spread(cases: Sequence[Case]) -> Sequence[Case]:
    return cases[:: math.ceil(len(cases) / CASES)]


def _gold(policy: Policy, reward: RewardFn, full: float, cases: Sequence[Case], opened: bool) -> Iterator[Note]:
    failed = [
        (case, earned)
        for case in cases
        if (earned := _earned(policy, reward, completion(case.names[0], opened), case)).score < full - 1e-9
    ]
    if not failed:
        yield ok("reward.gold", f"the true disease earns the full {full:g} in all of {len(cases)} cases")
        return
    case, earned = failed[0]
    why = {**{name: f"{value:g}" for name, value in earned.parts.items() if name in GOOD and value < 1}, **earned.notes}
    what = (
        f"the true disease does not earn the full {full:g} in {len(failed)} of {len(cases)} cases; case {case.id!r}, "
        f"{case.names[0]!r}: {earned.score:g} ({', '.join(f'{k} {v}' for k, v in why.items() if v)})"
    )
    mend = "Mend the names of these cases (the first of them is what the model is to say), or take another catalogue."
    if len(failed) == len(cases):
        mend = "The prompt's template or the reward's settings do not fit this model: see the notes above."
        yield error("reward.gold", what, mend)
    else:
        yield warning("reward.gold", what, mend)


def _wrong(policy: Policy, reward: RewardFn, cases: Sequence[Case], opened: bool) -> Iterator[Note]:
    """Another case's disease, at random and the one spelled most alike, must not be taken for the true one."""
    others = {case.id: [o for o in cases if not _same(case, o)] for case in cases}
    pairs = [(case, others[case.id]) for case in cases if others[case.id]]
    if not pairs:
        yield warning("reward.wrong", "all cases have one and the same answer", "Prepare cases of several diseases.")
        return
    draw = Random(0)

    def taken(case: Case, name: str) -> bool:
        return _earned(policy, reward, completion(name, opened), case).parts["accuracy"] > 0

    random = sum(taken(case, draw.choice(o).names[0]) for case, o in pairs)
    alike = [(case, process.extractOne(case.names[0], [o.names[0] for o in found])[0]) for case, found in pairs]
    mistaken = [(case, name) for case, name in alike if taken(case, name)]
    if random > 0.05 * len(pairs):
        what = f"another patient's disease is taken for the true one in {random} of {len(pairs)} cases"
        yield error("reward.wrong", what, "The reward does not tell diseases apart: check reward.method and catalogue.")
    elif mistaken:
        case, name = mistaken[0]
        what = (
            f"the most like-sounding other disease is taken for the true one in {len(mistaken)} of {len(pairs)} cases: "
            f"{name!r} for {case.names[0]!r}"
        )
        mend = 'Set reward.method = "ontology"; if it is, see whether the two are one disease: dz catalogue find NAME.'
        yield warning("reward.wrong", what, mend)
    else:
        yield ok(
            "reward.wrong", f"no other disease is taken for the true one ({len(pairs)} random, {len(pairs)} alike)"
        )


def _same(one: Case, other: Case) -> bool:
    return bool({n.casefold() for n in one.names} & {n.casefold() for n in other.names} or {*one.ids} & {*other.ids})


def _drift(
    policy: Policy, reward: RewardFn, full: float, cases: Sequence[Case], opened: bool, guarded: bool
) -> Iterator[Note]:
    case = cases[0]
    others = "; ".join(sorted({o.names[0] for o in cases if not _same(case, o)})[:4])

    def earned(text: str) -> float:
        text = text.format(name=case.names[0], others=others, thought=THOUGHT)
        return _earned(policy, reward, text.removeprefix("<think>") if opened else text, case).score

    free = [
        name for name, text in ALSO_FULL.items() if earned(text) >= full - 1e-9 and not (guarded and name in GUARDED)
    ]
    rich = [f"{name} ({score:g})" for name, text in NOTHING.items() if (score := earned(text)) > CONSOLATION * full]
    if rich:
        mend = "Lower reward.weights of all parts but accuracy."
        yield error("reward.hack", f"of the full {full:g} is earned without a diagnosis: {', '.join(rich)}", mend)
    if free:
        mend = f"Where this matters give a weight to one of {', '.join(GOOD[1:])} in reward.weights."
        yield warning("reward.drift", f"these cost nothing, so training may drift there: {', '.join(free)}", mend)
    if not rich and not free:
        yield ok("reward.drift", f"{', '.join(ALSO_FULL)}: each costs some of the reward, or is watched by the guard")


def scoring_time(seconds: float, completions: int) -> Iterator[Note]:
    """``seconds``: of one completion; ``completions``: of one step."""
    step = seconds * completions
    what = f"scoring takes {1000 * seconds:.1f} ms a completion, {step:.1f} s a step"
    if step > SLOW_SECONDS:
        yield warning("reward.time", what, "Take a smaller catalogue, or a reward that asks no service.")
    else:
        yield ok("reward.time", what)


def _earned(policy: Policy, reward: RewardFn, text: str, case: Case) -> Reward:
    return reward(as_generated(policy, text), case)
