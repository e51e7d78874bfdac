"""The reward on answers whose worth is known: the gold answer, other diseases, and texts that should earn less."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from random import Random

from rapidfuzz import process

from diagnosis_zero.doctor.notes import Note, error, ok, warning
from diagnosis_zero.doctor.template import THOUGHT, as_generated, completion
from diagnosis_zero.engine.model import Policy
from diagnosis_zero.recipe import Recipe
from diagnosis_zero.rewards import DEFAULT_WEIGHTS
from diagnosis_zero.types import Case, Reward, RewardFn

Earn = Callable[[str, Case], Reward]
"""What a text in the full form earns for a case."""
ROUNDING = 1e-9

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
    """Every check of this module. ``opened``: the chat template writes <think> itself."""
    weights = dict(recipe.reward.weights)
    full, accuracy = full_reward(weights), (DEFAULT_WEIGHTS | weights)["accuracy"]
    if full <= 0 or accuracy <= 0:
        what = f"the true disease in the full form would earn {full:g}, accuracy weighs {accuracy:g}"
        yield error(
            "reward.weights", what, "In reward.weights give accuracy more than 0, and more than others take off."
        )
        return
    earn = partial(_earn, policy, reward, opened)
    cases = cases[:: math.ceil(len(cases) / CASES)]
    began = time.perf_counter()
    tried = [(case, earn(completion(case.names[0]), case)) for case in cases]
    seconds = (time.perf_counter() - began) / len(cases)
    failed = [(case, earned) for case, earned in tried if earned.score < full - ROUNDING]
    yield from _gold(failed, len(cases), full)
    yield from _wrong(earn, cases)
    if len(failed) < len(cases):
        example = next(case for case, earned in tried if earned.score >= full - ROUNDING)
        others = [case.names[0] for case in cases if not _same(case, example)]
        yield from _drift(partial(earn, case=example), full, example.names[0], others, recipe.guard.on_collapse)
    yield from scoring_time(seconds, recipe.rollout.prompts * recipe.rollout.group)


def _earn(policy: Policy, reward: RewardFn, opened: bool, text: str, case: Case) -> Reward:
    """What a text in the form earns, less the tag that the template writes, as it would come from the engine."""
    return reward(as_generated(policy, text.removeprefix("<think>") if opened else text), case)


def _gold(failed: Sequence[tuple[Case, Reward]], tried: int, full: float) -> Iterator[Note]:
    if not failed:
        yield ok("reward.gold", f"the true disease earns the full {full:g} in all of {tried} cases")
        return
    case, earned = failed[0]
    short = {part: f"{value:g}" for part, value in earned.parts.items() if part in GOOD and value < 1}
    why = ", ".join(f"{name} {word}" for name, word in (short | dict(earned.notes)).items() if word)
    what = (
        f"the true disease does not earn the full {full:g} in {len(failed)} of {tried} cases; case {case.id!r}, "
        f"{case.names[0]!r}: {earned.score:g} ({why})"
    )
    if len(failed) == tried:
        mend = "The prompt's template or the reward's settings do not fit this model: see the notes above."
        yield error("reward.gold", what, mend)
    else:
        mend = "Mend these cases' names (the first is what the model is to say), or take another catalogue."
        yield warning("reward.gold", what, mend)


def _wrong(earn: Earn, cases: Sequence[Case]) -> Iterator[Note]:
    """Another case's disease, at random and the one spelled most alike, must not be taken for the true one."""
    others = [(case, [other.names[0] for other in cases if not _same(case, other)]) for case in cases]
    pairs = [(case, names) for case, names in others if names]
    if not pairs:
        yield warning("reward.wrong", "all cases have one and the same answer", "Prepare cases of several diseases.")
        return
    draw = Random(0)

    def taken(case: Case, name: str) -> bool:
        return earn(completion(name), case).parts["accuracy"] > 0

    random = sum(taken(case, draw.choice(names)) for case, names in pairs)
    alike = [(case, process.extractOne(case.names[0], names)[0]) for case, names in pairs]
    mistaken = [(case, name) for case, name in alike if taken(case, name)]
    if random > 0.05 * len(pairs):
        what = f"another patient's disease is taken for the true one in {random} of {len(pairs)} cases"
        yield error("reward.wrong", what, "The reward does not tell diseases apart: check reward.method and catalogue.")
    elif mistaken:
        case, name = mistaken[0]
        what = (
            f"the other disease that is spelled most alike is taken for the true one in {len(mistaken)} of "
            f"{len(pairs)} cases: {name!r} for {case.names[0]!r}"
        )
        mend = 'Set reward.method = "ontology"; if it is, see whether the two are one disease: dz catalogue find NAME.'
        yield warning("reward.wrong", what, mend)
    else:
        what = f"no other disease is taken for the true one ({len(pairs)} at random, {len(pairs)} spelled alike)"
        yield ok("reward.wrong", what)


def _same(one: Case, other: Case) -> bool:
    return bool({n.casefold() for n in one.names} & {n.casefold() for n in other.names} or {*one.ids} & {*other.ids})


def _drift(
    earn: Callable[[str], Reward], full: float, name: str, others: Sequence[str], on_collapse: str
) -> Iterator[Note]:
    def earned(text: str) -> float:
        return earn(text.format(name=name, others="; ".join(sorted(set(others))[:4]), thought=THOUGHT)).score

    watched = GUARDED if on_collapse != "warn" else set()
    free = [what for what, text in ALSO_FULL.items() if what not in watched and earned(text) >= full - ROUNDING]
    rich = [f"{what} ({score:g})" for what, text in NOTHING.items() if (score := earned(text)) > CONSOLATION * full]
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
