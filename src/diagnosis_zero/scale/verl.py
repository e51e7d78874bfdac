"""Train a recipe on verl: check, start, follow, and leave the run folder that the local engine would leave.

recipe -> options -> preflight -> verl on Ray -> (followed) metrics, rollouts, checkpoints -> report
"""

from __future__ import annotations

import shlex
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from diagnosis_zero import prompts, records
from diagnosis_zero.errors import InputError
from diagnosis_zero.recipe import Recipe
from diagnosis_zero.report.build import build
from diagnosis_zero.scale import options, place, preflight, process, run_folder
from diagnosis_zero.scale.options import Options
from diagnosis_zero.scale.process import Running
from diagnosis_zero.scale.run_folder import Translation
from diagnosis_zero.train import checkpoint, guard, start
from diagnosis_zero.train.metrics import MetricsLog
from diagnosis_zero.train.opening import RewardFor, open_folder
from diagnosis_zero.train.view import View
from diagnosis_zero.types import RewardFn

LOOK_EVERY = 1.0
"""Seconds between two looks at what verl has written."""


@dataclass(frozen=True, slots=True)
class _Run:
    """Everything that lives as long as the run. ``source`` is verl's own folder in the run's."""

    recipe: Recipe
    folder: Path
    source: Path
    splits: start.Splits
    tokenizer: Any
    reward: RewardFn
    view: View


def dry_run(recipe: Recipe) -> str:
    """The command that ``train`` would start, judged by verl where it is installed. Nothing is written or started."""
    options.check_mapped(recipe)  # before a tokenizer is asked for
    chosen = options.options(recipe, place.find(recipe, None, place.tokenizer_of(recipe)))
    if preflight.has_verl():
        composed = preflight.composed(chosen)
        preflight.validate(composed)
        preflight.divides(composed)
    return shlex.join(options.command("python", chosen))


def train(
    recipe: Recipe, reward_for: RewardFor, *, resume: bool = False, force: bool = False, view: View | None = None
) -> Path:
    """Run a recipe to its end on verl (or to Ctrl-C or SIGTERM, after which ``resume`` goes on); its report.

    ``reward_for`` gives what the recipe asks for: verl's workers build their own from the same settings.

    Raises:
        InputError: anything found wrong before Ray starts, or the reason why verl stopped.
    """
    preflight.need_verl()
    options.check_mapped(recipe)
    run = _open(recipe, reward_for, resume, force, view or View())
    saved = _go_back(run) if resume else None
    if saved is None:
        shutil.rmtree(run.source, ignore_errors=True)
    found = place.find(recipe, saved, run.tokenizer)
    place.check_data(recipe, found)
    chosen = options.options(recipe, found)
    composed = preflight.check(chosen)
    place.check_shards(run.source, saved, composed.trainer.nnodes * composed.trainer.n_gpus_per_node)
    if saved is None:
        records.write_json(run.folder / "manifest.json", _manifest(run, chosen))
    with MetricsLog(run.folder, recipe.run.sinks) as log:
        _train(run, _translation(run, saved or 0, log), chosen)
    return build([run.folder], run.folder / "report.html")


# --- opening a run


def _open(recipe: Recipe, reward_for: RewardFor, resume: bool, force: bool, view: View) -> _Run:
    folder = recipe.run.folder.resolve()
    if not resume and run_folder.saved_step(folder / "verl") is not None:
        mend = "Go on with it by --resume, or give another name: --set run.name=..."
        raise InputError("a run of this name exists", where=folder, mend=mend)
    open_folder(recipe, folder, resume, force)
    splits = start.splits(recipe, folder)
    view.say(f"cases: {len(splits.train)} to train, {len(splits.val)} to validate, {len(splits.test)} to test")
    tokenizer = place.tokenizer_of(recipe)
    reward = reward_for(place.opens_thinking(tokenizer))
    return _Run(recipe, folder, folder / "verl", splits, tokenizer, reward, view)


def _manifest(run: _Run, chosen: Options) -> dict[str, Any]:
    splits = run.splits
    return {
        "name": run.recipe.run.name,
        "model": run.recipe.model.id,
        "engine": "verl",
        "seed": run.recipe.run.seed,
        "cases": {"train": len(splits.train), "val": len(splits.val), "test": len(splits.test)},
        **records.provenance(),
        "verl": {key: options.written(value) for key, value in chosen.items()},
    }


def _go_back(run: _Run) -> int | None:
    """Bring the run folder to the step of verl's newest checkpoint; that step, or None to begin anew."""
    saved = run_folder.saved_step(run.source)
    if saved is not None:
        with MetricsLog(run.folder) as log:
            state = _translation(run, run_folder.newest_start(run.source), log)
            run_folder.translate(state, ended=True)
            if not run_folder.known(state, "train", saved):
                log.event(saved, "lost", "verl was killed after it saved this step and before it wrote its metrics")
            _merge(run, state)
        run_folder.cut_after(run.source, saved)
        run.view.say(f"resuming from step {saved}")
    checkpoint.cut_after(run.folder, -1 if saved is None else saved)
    return saved


def _translation(run: _Run, first: int, log: MetricsLog) -> Translation:
    """What follows the start of verl that went on from step ``first``."""
    recipe, tokenizer = run.recipe, run.tokenizer
    template = prompts.load_template(recipe.prompt.template)
    return Translation(
        folder=run.folder,
        source=run.source,
        metrics=options.metrics_file(run.source, first),
        log=log,
        cases=run_folder.by_truth([*run.splits.train, *run.splits.val]),
        reward=run.reward,
        encode=lambda text: tokenizer.encode(text, add_special_tokens=False),
        end=tokenizer.eos_token_id,
        prompt=lambda case: prompts.fill(template, case.text),
        completions=recipe.rollout.prompts * recipe.rollout.group,
        max_tokens=recipe.rollout.max_tokens,
        normalise=recipe.train.normalise,
        think_opened=place.opens_thinking(tokenizer),
        scores_plain=recipe.train.overlong != "penalise",
    )


# --- while it runs


def _train(run: _Run, state: Translation, chosen: Options) -> None:
    command = options.command(sys.executable, chosen)
    log = state.metrics.with_name(state.metrics.name.replace("metrics", "output")).with_suffix(".log")
    with records.atomic_write(run.source / "command.txt") as file:
        file.write(shlex.join(command) + "\n")
    run.view.say(f"verl is starting; its output is in {log}")
    running = process.start(command, log, {"HYDRA_FULL_ERROR": "1"})
    try:
        with _sigterm_interrupts():
            why = _follow(run, state, running, log)
    except KeyboardInterrupt:
        why = "stopped"
    finally:
        run.view.end()
        process.stop(running)
    run_folder.translate(state, ended=True)
    _merge(run, state)
    if why:
        run.view.say(f"{why}; go on with --engine verl --resume")
    elif running.process.returncode:
        what = f"verl ended with status {running.process.returncode}: {process.reason(log)}"
        raise InputError(what, where=log, mend="Mend it and go on with --engine verl --resume.")


def _follow(run: _Run, state: Translation, running: Running, log: Path) -> str:
    """Until verl ends or must be stopped; why it must, or nothing."""
    run.view.begin(sum(row["kind"] == "train" for row in state.log.rows))
    while True:
        ended = running.look() is not None
        steps = run_folder.translate(state, ended=ended)
        for step in steps:
            _show(run, state, step)
            if why := _watch(run, state, step):
                return why
        if ended:
            return ""
        if steps:
            _merge(run, state, up_to=steps[-1])
        if raised := process.ours(log):
            mend = "The log has the whole of it; mend the data or the reward, then --resume."
            raise InputError(f"the reward failed in verl's workers: {raised}", where=log, mend=mend)
        time.sleep(LOOK_EVERY)


def _show(run: _Run, state: Translation, step: int) -> None:
    row = next(row for row in reversed(state.log.rows) if row["kind"] == "train" and row["step"] == step)
    run.view.step(step, _total(run), row)


def _total(run: _Run) -> int:
    """verl drops the cases of an epoch that do not fill a batch."""
    wanted = run.recipe.train
    if wanted.steps is not None:
        return wanted.steps
    assert wanted.epochs is not None
    return wanted.epochs * (len(run.splits.train) // run.recipe.rollout.prompts)


def _watch(run: _Run, state: Translation, step: int) -> str:
    """Ask the guard, as the local loop does."""
    alarms = guard.check(state.log.rows)
    for alarm in alarms:
        state.log.event(step, f"guard/{alarm.detector}", alarm.message)
        run.view.say(f"guard ({alarm.level}) after step {step}: {alarm.detector}: {alarm.message}")
    go_on = guard.decide(alarms, run.recipe.guard.on_collapse, 0) == "go on"
    return "" if go_on else f"stopped by the guard after step {step}"


def _merge(run: _Run, state: Translation, up_to: int | None = None) -> None:
    """Merge what verl has saved, once the metrics of its step are on disk."""
    for step in run_folder.unmerged(run.folder, run.source):
        if up_to is None or step <= up_to:
            state.log.sync()
            run.view.say(f"checkpoint: {run_folder.merge(run.folder, run.source, step)}")


@contextmanager
def _sigterm_interrupts() -> Iterator[None]:
    """SIGTERM stops a run as Ctrl-C does."""

    def interrupt(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
