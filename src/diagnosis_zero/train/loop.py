"""The training loop: rollout, update, look, keep. Read this first.

    cases of the step -> rollout -> reward -> advantages -> update -> metrics, rollouts, validation -> checkpoint

A step is a function of the recipe, the step's number and the state of the checkpoint before it: the order of the cases
and every random draw are counted, not carried. A resumed run therefore gives the same numbers (on the CPU with the same
number of threads, to the last bit).
"""

from __future__ import annotations

import math
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from diagnosis_zero import config
from diagnosis_zero.engine.model import Policy
from diagnosis_zero.errors import InputError
from diagnosis_zero.recipe import Recipe
from diagnosis_zero.train import checkpoint, curriculum, guard, observe, opening, rewinds, start
from diagnosis_zero.train.batch import Credit
from diagnosis_zero.train.loss import LossSettings
from diagnosis_zero.train.metrics import MetricsLog, best_step, series
from diagnosis_zero.train.opening import RewardFor, Run
from diagnosis_zero.train.resample import replace_silent
from diagnosis_zero.train.rollout import cases_of_step, rollout
from diagnosis_zero.train.step import UpdateSettings, step_kl, update
from diagnosis_zero.train.view import View
from diagnosis_zero.types import Case, Group, SamplingParams

STEP_SEEDS = 1_000_003
"""Sampling seeds of different runs' steps do not meet: seed = run.seed * STEP_SEEDS + step."""

CLOSELY, LATER = 20, 4
"""``policy/step_kl`` is measured at each step of the warm-up and twenty after, then at every fourth: a learning rate
that is too high shows at once, and the forward pass is 3 % of a short step."""

ORDER_SEEDS = 7_919
"""After a rewind the cases come in another order: that of a seed so much higher."""
SPARE_SEEDS = 104_729
"""Cases that take the place of silent groups come from a stream of their own, so that the order of the others stays."""

Evaluate = Callable[[Policy, int, list[Case]], None]
"""Called with the policy before the first and after the last step, and the test cases."""


def train(
    recipe: Recipe,
    reward_for: RewardFor,
    evaluate: Evaluate,
    *,
    judge_for: RewardFor | None = None,
    resume: bool = False,
    force: bool = False,
    view: View | None = None,
) -> Path:
    """Run a recipe to its end (or to Ctrl-C, which finishes the step and saves); the run's folder.

    ``judge_for`` gives a second opinion on the validation answers, whose part ``accuracy`` becomes ``val/judge``.

    Raises:
        InputError: the folder is taken, there is nothing to resume, or the recipe is no longer the run's.
    """
    view = view or View()
    folder = recipe.run.folder
    opening.open_folder(recipe, folder, resume, force)
    cases = start.splits(recipe, folder)
    view.say(f"cases: {len(cases.train)} to train, {len(cases.val)} to validate, {len(cases.test)} to test")
    rewinds.finish(folder, recipe.run.sinks)
    latest = checkpoint.latest(folder, view.say) if resume else None
    done = 0 if latest is None else _step_of(latest)
    checkpoint.cut_after(folder, done if latest else -1)
    with MetricsLog(folder, recipe.run.sinks) as log:
        run = opening.begin(recipe, folder, cases, latest, reward_for, judge_for, log, view)
        if done == 0:
            if not series(log.rows, "val/accuracy"):
                _look(run, 0)
            evaluate(run.policy, 0, run.splits.test)
        try:
            final = _steps(run, done, config.total_steps(recipe, len(run.splits.train)))
        finally:
            run.log.close()  # after a rewind it is not the one that was opened above
        if final is not None:
            evaluate(run.policy, final, run.splits.test)
    return folder


def _steps(run: Run, done: int, total: int) -> int | None:
    """Every step after ``done``; the last one done, or None where a signal or the guard stopped the run."""
    settings = _update_settings(run.recipe)
    run.view.begin(done)
    step = done
    try:
        with _stop_requested() as stop:
            while step < total:
                step += 1
                settings = _step(run, step, total, settings)
                last = step == total
                stopping = stop()  # asked once: a signal that comes after this stops the run after the next step
                keeping = last or step % run.recipe.checkpoint.every == 0
                if keeping or step % run.recipe.eval.every == 0:
                    _look(run, step)  # what is kept has a score, so that the best of it can be told
                decision, why = _watch(run, step)
                if decision != "go on" and best_step(run.log.rows) == step:
                    _save(run, step)  # the score stands at its best, whatever else the alarm is about
                if decision == "rewind":
                    step = _rewind(run, step, why)
                    continue
                if decision == "stop":
                    run.view.say(f"stopped by the guard after step {step}: {why}")
                    return None
                if keeping or stopping:
                    _save(run, step)
                if stopping and not last:
                    run.view.say(f"stopped after step {step}, saved: go on with --resume")
                    return None
    finally:
        run.view.end()
    return step


def _step(run: Run, step: int, total: int, settings: UpdateSettings) -> UpdateSettings:
    """One step; the settings to go on with, which differ where the device ran out of memory."""
    recipe = run.recipe
    gone_back = rewinds.count(run.folder)
    seed = recipe.run.seed + gone_back * ORDER_SEEDS
    cases = _cases(run, step, seed)
    began = time.perf_counter()

    def draw(cases: Sequence[Case]) -> list[Group]:
        return rollout(run.policy, cases, run.template, run.reward, recipe.rollout.group, _sampling(recipe, step))

    def spare(number: int) -> list[Case]:
        turn = (step - 1) * recipe.rollout.resample + number
        return cases_of_step(run.splits.train, turn, recipe.rollout.prompts, seed + SPARE_SEEDS)

    first = draw(cases)
    groups, unused = replace_silent(first, settings.credit, recipe.rollout.resample, draw, spare)
    written = time.perf_counter()
    lr = learning_rate(step, recipe.train.lr, recipe.train.warmup) * recipe.guard.lr_factor**gone_back
    updated = update(run.policy.model, run.optimizer, groups, lr, settings, run.reference)
    ended = time.perf_counter()
    path = run.folder / "rollouts" / f"step-{step:06d}.parquet"
    silence = [[0.0] * len(group.completions) for group in unused]
    observe.write_rollouts(path, step, [*groups, *unused], [*updated.advantages_BG, *silence], run.think_opened)
    if recipe.rollout.curriculum:
        run.pass_rates |= curriculum.of_step(path)
    times = {"time/rollout": written - began, "time/update": ended - written}
    drawn = observe.resampling_metrics(groups, unused, settings.credit) if recipe.rollout.resample else {}
    seen = {**observe.rollout_metrics(first, run.think_opened, settings.credit), **drawn}
    metrics = {**seen, **updated.metrics, "policy/lr": lr, **times}
    if watches_distance(step, recipe.train.warmup):
        metrics["policy/step_kl"] = step_kl(run.policy.model, run.optimizer, groups, updated, settings)
    metrics["time/step"] = time.perf_counter() - began
    run.log.write(step, "train", metrics)
    if updated.metrics["policy/skipped"]:
        run.log.event(step, "not_finite", "the gradient was not finite: weights left as they were")
    if updated.token_budget < settings.token_budget:
        what = f"the device ran out of memory: rows of the update now hold {updated.token_budget} tokens"
        run.log.event(step, "out_of_memory", what)
        run.view.say(what)
    run.view.step(step, total, metrics)
    if recipe.run.show_completion:
        run.view.completion(step, first[0])
    return replace(settings, token_budget=updated.token_budget)


def _cases(run: Run, step: int, seed: int) -> list[Case]:
    cases, prompts = run.splits.train, run.recipe.rollout.prompts
    if run.recipe.rollout.curriculum:
        return curriculum.cases_of_step(cases, run.pass_rates, step, prompts, seed)
    return cases_of_step(cases, step, prompts, seed)


def _step_of(folder: Path) -> int:
    return int(folder.name.removeprefix("step-"))


def learning_rate(step: int, lr: float, warmup: int) -> float:
    """Linear warm-up over ``warmup`` steps, constant after; ``step`` counts from 1."""
    return lr * min(1.0, step / (warmup + 1))


def watches_distance(step: int, warmup: int) -> bool:
    """Whether ``policy/step_kl`` is measured at this step: at each while the learning rate is new, then at some."""
    return step <= warmup + CLOSELY or step % LATER == 0


def _look(run: Run, step: int) -> None:
    """Score the validation cases: greedy, and sampled where the recipe asks."""
    recipe = run.recipe
    cases = run.splits.val[: recipe.eval.cases]
    if not cases:
        return
    params = _sampling(recipe, 0)
    greedy = rollout(run.policy, cases, run.template, run.reward, 1, replace(params, temperature=0.0))
    sampled = (
        rollout(run.policy, cases, run.template, run.reward, recipe.eval.samples, params) if recipe.eval.samples else []
    )
    metrics = observe.validation_metrics(greedy, sampled, run.think_opened, run.judge)
    run.log.write(step, "val", metrics)
    shown = "  ".join(f"{name.removeprefix('val/').replace('_', ' ')} {value:.3g}" for name, value in metrics.items())
    run.view.say(f"validation after step {step}: {shown}")


def _watch(run: Run, step: int) -> tuple[guard.Decision, str]:
    """Ask the guard about the history so far; what to do, and why."""
    alarms = guard.check(run.log.rows)
    for alarm in alarms:
        run.log.event(step, f"guard/{alarm.detector}", alarm.message)
        run.view.say(f"guard ({alarm.level}) after step {step}: {alarm.detector}: {alarm.message}")
    wanted = run.recipe.guard
    decision = guard.decide(alarms, wanted.on_collapse, wanted.rewinds - rewinds.count(run.folder))
    return decision, "; ".join(alarm.message for alarm in alarms if alarm.level == "collapse")


def _rewind(run: Run, step: int, why: str) -> int:
    """Go back to the last good checkpoint, with a lower learning rate and another order; the step gone back to."""
    target = _last_good(run)
    state = checkpoint.load_state(checkpoint.folder(run.folder, target))
    aside = rewinds.write_down(run.folder, step, target, why)
    run.log.close()
    run.log = rewinds.carry_out(run.folder, aside, run.recipe.run.sinks)
    if run.recipe.rollout.curriculum:
        run.pass_rates = curriculum.pass_rates(run.folder / "rollouts")
    run.optimizer.load_state(state["optimizer"])
    run.view.say(f"rewind from step {step} back to step {target}: {why}")
    return target


def _last_good(run: Run) -> int:
    """The step of the best checkpoint that is as it was written."""
    places = {step: checkpoint.folder(run.folder, step) for step in checkpoint.steps(run.folder)}
    left = [step for step, place in places.items() if checkpoint.is_whole(place)]
    while left:
        best = best_step(run.log.rows, among=left)
        target = left[-1] if best is None else best
        wrong = checkpoint.fault(places[target])
        if wrong is None:
            return target
        run.view.say(f"{places[target]}: {wrong}; not gone back to")
        left.remove(target)
    mend = "Start again under another run.name (or train from one of their weights: model.id=FOLDER)."
    raise InputError("no checkpoint to go back to", where=run.folder / "checkpoints", mend=mend)


def _save(run: Run, step: int) -> None:
    """Keep the step: the last act, so that a checkpoint has seen all that is on disk."""
    run.log.sync()
    opening.write_checkpoint(run.folder, step, run.policy, run.optimizer)
    best = best_step(run.log.rows, among=checkpoint.steps(run.folder))
    checkpoint.rotate(run.folder, run.recipe.checkpoint.keep, best)


# --- values from the recipe


def _sampling(recipe: Recipe, step: int) -> SamplingParams:
    return SamplingParams(
        max_tokens=recipe.rollout.max_tokens,
        temperature=recipe.rollout.temperature,
        seed=recipe.run.seed * STEP_SEEDS + step,
    )


def _update_settings(recipe: Recipe) -> UpdateSettings:
    wanted, limit = recipe.train, recipe.rollout.max_tokens
    in_loss = wanted.kl_coefficient if wanted.kl_place == "loss" else 0.0
    return UpdateSettings(
        loss=LossSettings(
            objective=wanted.objective,
            clip_low=wanted.clip_low,
            clip_high=wanted.clip_high,
            dual_clip=wanted.dual_clip,
            kl_coefficient=in_loss,
            kl_estimator=wanted.kl_estimator,
            entropy_coefficient=wanted.entropy_coefficient,
            sampler_ratio_cap=wanted.sampler_ratio_cap,
        ),
        credit=Credit(wanted.normalise, wanted.overlong, limit, wanted.overlong_buffer or math.ceil(limit / 5)),
        aggregation=wanted.aggregation,
        minibatches=wanted.minibatches,
        token_budget=wanted.micro_batch_tokens,
        max_grad_norm=wanted.max_grad_norm,
        kl_in_reward=wanted.kl_coefficient - in_loss,
        temperature=recipe.rollout.temperature,
    )


@contextmanager
def _stop_requested() -> Iterator[Callable[[], bool]]:
    """SIGTERM and SIGINT ask for a stop after the step; a second one stops at once."""
    asked = False

    def ask(number: int, frame: object) -> None:
        nonlocal asked
        if asked:
            raise KeyboardInterrupt
        asked = True

    before = {number: signal.signal(number, ask) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield lambda: asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
