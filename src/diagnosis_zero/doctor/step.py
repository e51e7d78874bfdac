"""Steps taken for real: one of the whole run on the dummy model, and a look at what the real one writes."""

from __future__ import annotations

import io
import math
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from statistics import fmean

from rich.console import Console

from diagnosis_zero import prompts
from diagnosis_zero.cases import export
from diagnosis_zero.doctor.notes import Note, error, ok, warning
from diagnosis_zero.engine.model import Policy
from diagnosis_zero.recipe import Recipe
from diagnosis_zero.train import metrics, observe
from diagnosis_zero.train.loop import train
from diagnosis_zero.train.rollout import rollout
from diagnosis_zero.train.view import View
from diagnosis_zero.types import Case, Group, Reward, RewardFn, SamplingParams

TOKENS = 16
"""Tokens that each completion of the dummy's step has at most."""
GAP = 0.01
"""KL between sampler and trainer above which the importance ratio is biased (docs/metrics.md)."""
TRIAL_PROMPTS, TRIAL_GROUP, TRIAL_TOKENS = 4, 4, 256
"""Size of the look at the real model; on a GPU its completions may be as long as the recipe says."""

RewardFor = Callable[[bool], RewardFn]


def examine_step(
    recipe: Recipe, dummy: Policy, reward_for: RewardFor, cases: Sequence[Case], scratch: Path
) -> Iterator[Note]:
    """Train the dummy for a step by the recipe's objective, save it, resume it for another."""
    small = _small_run(recipe, dummy, cases, scratch)
    quiet = View(Console(file=io.StringIO()))
    for steps, resume in ((1, False), (2, True)):
        small = small.model_copy(update={"train": small.train.model_copy(update={"steps": steps})})
        train(small, partial(_told_apart, reward_for), lambda *_: None, resume=resume, view=quiet)
    rows = [row for row in metrics.read(small.run.folder / metrics.FILE) if row["kind"] == "train"]
    yield from judge_step(rows[0])
    if [row["step"] for row in rows] == [1, 2]:
        yield ok("step.resume", "saved as a Hugging Face folder, loaded again, and gone on from")
    else:
        what = f"a resume after step 1 gave the steps {[row['step'] for row in rows]}"
        yield error("step.resume", what, "Please report this, with the recipe.")


def judge_step(row: Mapping[str, float]) -> Iterator[Note]:
    """What the metrics of one training step say. A number that is not finite is a failure."""
    wrong = [name for name, value in row.items() if isinstance(value, float) and not math.isfinite(value)]
    norm, gap = row["policy/grad_norm"], row["policy/mismatch_kl"]
    if wrong or row["policy/skipped"]:
        what = f"not finite after one step: {', '.join(wrong) or 'the gradient'}"
        yield error("step", what, "Set model.dtype = float32; if it stays, the recipe's numbers overflow.")
    elif norm == 0:
        yield error("step", "one step gave no gradient at all", "No reward differs within a group: mend the reward.")
    else:
        what = f"one step of two layers: gradient norm {norm:.2g}, loss {row['policy/loss']:.2g}"
        yield ok("step", f"{what} (a loss near 0 is usual in GRPO and says nothing: watch reward and val/accuracy)")
    if gap > GAP:
        what = f"sampler and trainer disagree on what was written (KL {gap:.2g} nats a token)"
        yield warning("step.gap", what, "Set model.dtype = float32, or train.sampler_ratio_cap = 2.0.")


def _small_run(recipe: Recipe, dummy: Policy, cases: Sequence[Case], scratch: Path) -> Recipe:
    """The recipe on the dummy, a few short cases and short completions, in a folder of its own."""
    model, data, count = scratch / "model", scratch / "data", max(2, recipe.train.minibatches)
    dummy.model.save_pretrained(model)
    dummy.tokenizer.save_pretrained(model)
    shortest = sorted(cases, key=lambda case: len(case.text))
    chosen = [replace(shortest[i % len(shortest)], id=f"doctor-{i}", split="train") for i in range(count)]
    chosen.append(replace(shortest[0], id="doctor-val", split="val"))
    export.write_cases(data, chosen, prompts.load_template(recipe.prompt.template))
    tokens, group = min(TOKENS, recipe.rollout.max_tokens), min(4, recipe.rollout.group)
    return recipe.model_copy(
        update={
            "model": recipe.model.model_copy(update={"id": str(model)}),
            "data": recipe.data.model_copy(update={"folder": str(data), "vignettes": None}),
            "rollout": recipe.rollout.model_copy(update={"prompts": count, "group": group, "max_tokens": tokens}),
            "train": recipe.train.model_copy(update={"epochs": None, "warmup": 0, "overlong_buffer": None}),
            "warmstart": None,
            "eval": recipe.eval.model_copy(update={"every": 1, "cases": 1, "samples": 0}),
            "checkpoint": recipe.checkpoint.model_copy(update={"every": 1, "keep": 1}),
            "guard": recipe.guard.model_copy(update={"on_collapse": "warn"}),
            "run": recipe.run.model_copy(update={"name": "doctor", "dir": str(scratch), "sinks": ()}),
        }
    )


def _told_apart(reward_for: RewardFor, opened: bool) -> RewardFn:
    """The reward, its score replaced by a number of the text: a dummy earns nothing, and equal scores teach nothing."""
    reward = reward_for(opened)

    def scored(text: str, case: Case) -> Reward:
        return replace(reward(text, case), score=zlib.crc32(text.encode()) / 2**32)

    return scored


def examine_trial(
    recipe: Recipe, policy: Policy, reward: RewardFn, cases: Sequence[Case], opened: bool
) -> Iterator[Note]:
    """Let the real model write to a few prompts, and say what its first steps will look like."""
    limit = recipe.rollout.max_tokens
    tokens = limit if policy.device.type == "cuda" else min(limit, TRIAL_TOKENS)
    params = SamplingParams(tokens, recipe.rollout.temperature, seed=recipe.run.seed)
    template, group = prompts.load_template(recipe.prompt.template), min(TRIAL_GROUP, recipe.rollout.group)
    groups = rollout(policy, cases[:TRIAL_PROMPTS], template, reward, group, params)
    yield from judge_trial(groups, tokens, limit, opened)


def judge_trial(groups: Sequence[Group], tokens: int, limit: int, opened: bool) -> Iterator[Note]:
    """``tokens``: what the completions were allowed here; ``limit``: what the recipe allows them."""
    found = observe.rollout_metrics(groups, opened)
    written = [completion for group in groups for completion in group.completions]
    cut, silent = found["length/truncated"], found["groups/zero_variance"]
    what = f"{len(written)} completions of the model: {cut:.0%} not ended after {tokens} tokens"
    if cut > 0.1 and tokens == limit:
        yield warning("trial.truncated", what, "Raise rollout.max_tokens: what is cut earns nothing.")
    else:
        yield ok("trial.truncated", what)
    faults = {name.removeprefix("format/"): share for name, share in found.items() if name.startswith("format/")}
    form = faults.pop("well_formed")
    common = ", ".join(f"{name} {share:.0%}" for name, share in sorted(faults.items(), key=lambda item: -item[1])[:3])
    if form < 0.1:
        mend = "Add a [warmstart], take an instruct model, or a prompt template that shows the form."
        yield warning("trial.form", f"{form:.0%} of them are in the full form ({common})", mend)
    else:
        yield ok("trial.form", f"{form:.0%} of them are in the full form")
    mean = fmean(reward.score for group in groups for reward in group.rewards)
    what = f"their mean reward is {mean:.2g}; {silent:.0%} of the groups have no variance"
    if silent > 0.9:
        mend = "Nothing would be learnt: the task is too hard (or easy) for this model; warm it up, or mend the form."
        yield warning("trial.silent", what, mend)
    else:
        yield ok("trial.silent", what)
