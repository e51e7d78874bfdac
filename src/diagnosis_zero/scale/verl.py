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
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from diagnosis_zero import prompts, records
from diagnosis_zero.config import Recipe
from diagnosis_zero.errors import InputError
from diagnosis_zero.report.build import build
from diagnosis_zero.rewards.adapters import compute_score
from diagnosis_zero.scale import options, preflight, process, run_folder
from diagnosis_zero.scale.options import Options, Place
from diagnosis_zero.scale.process import Running
from diagnosis_zero.scale.run_folder import Translation
from diagnosis_zero.train import checkpoint, guard, metrics, start
from diagnosis_zero.train.loop import RewardFor, open_folder
from diagnosis_zero.train.metrics import MetricsLog
from diagnosis_zero.train.view import View
from diagnosis_zero.types import Case, RewardFn

LOOK_EVERY = 1.0
"""Seconds between two looks at what verl has written."""


def dry_run(recipe: Recipe) -> str:
    """The command that ``train`` would start, judged by verl where it is installed. Nothing is written or started."""
    chosen = options.options(recipe, _place(recipe, None, _tokenizer(recipe)))
    try:
        preflight.need_verl()
    except InputError:
        return _shown(chosen)
    composed = preflight.composed(chosen)
    preflight.validate(composed)
    preflight.divides(composed)
    return _shown(chosen)


def train(
    recipe: Recipe, reward_for: RewardFor, *, resume: bool = False, force: bool = False, view: View | None = None
) -> Path:
    """Run a recipe to its end on verl (or to Ctrl-C or SIGTERM, after which ``resume`` goes on); its report.

    ``reward_for`` gives what the recipe asks for: verl's workers build their own from the same settings.

    Raises:
        InputError: anything found wrong before Ray starts, or the reason why verl stopped.
    """
    view = view or View()
    preflight.need_verl()
    for what, mend in options.unmapped(recipe):
        raise InputError(f"verl cannot do this recipe: {what}", mend=mend)
    folder = recipe.run.folder.resolve()
    source = folder / "verl"
    if not resume and run_folder.saved_step(source) is not None:
        mend = "Go on with it by --resume, or give another name: --set run.name=..."
        raise InputError("a run of this name exists", where=folder, mend=mend)
    open_folder(recipe, folder, resume, force)
    splits = start.splits(recipe, folder)
    view.say(f"cases: {len(splits.train)} to train, {len(splits.val)} to validate, {len(splits.test)} to test")
    tokenizer = _tokenizer(recipe)
    reward = reward_for(_opens_thinking(tokenizer))
    every = [*splits.train, *splits.val]
    saved = _go_back(recipe, folder, source, every, reward, tokenizer, view) if resume else None
    if saved is None:
        shutil.rmtree(source, ignore_errors=True)
    place = _place(recipe, saved, tokenizer)
    _check_data(recipe, place)
    chosen = options.options(recipe, place)
    composed = preflight.check(chosen)
    _check_shards(source, saved, composed.trainer.nnodes * composed.trainer.n_gpus_per_node)
    if saved is None:
        records.write_json(folder / "manifest.json", _manifest(recipe, splits, chosen))
    with MetricsLog(folder, recipe.run.sinks) as log:
        state = _translation(recipe, folder, source, saved or 0, every, reward, tokenizer, log)
        _run(recipe, state, chosen, len(splits.train), view)
    return build([folder], folder / "report.html")


# --- before the start


def _place(recipe: Recipe, saved: int | None, tokenizer: Any) -> Place:
    folder = recipe.run.folder.resolve()
    data = folder / "data" if recipe.data.folder is None else Path(recipe.data.folder).resolve()
    train, val = (_files(data, split) for split in ("train", "val"))
    return Place(
        model=_model(recipe),
        train_files=train,
        val_files=val,
        folder=folder / "verl",
        think_opened=_opens_thinking(tokenizer),
        resume_from=saved,
        validate_first=saved is None or _owes_validation(recipe, folder, saved),
    )


def _owes_validation(recipe: Recipe, folder: Path, saved: int) -> bool:
    """verl validates a step after it has saved it, and may have been killed in between."""
    known = any(row["kind"] == "val" and row["step"] == saved for row in metrics.read(folder / metrics.FILE))
    return saved % recipe.eval.every == 0 and not known


def _files(data: Path, split: str) -> tuple[str, ...]:
    """The Parquet of a split, in one file or in shards; of vignettes that are still to be made, where it will be."""
    return tuple(map(str, sorted(data.glob(f"{split}*.parquet")))) or (str(data / f"{split}.parquet"),)


def _model(recipe: Recipe) -> str:
    """What verl loads: a folder by its absolute path, since its workers start in folders of their own."""
    if recipe.model.id == "smollm2":
        from diagnosis_zero.engine.model import smollm2

        return str(smollm2())
    return str(Path(recipe.model.id).resolve()) if Path(recipe.model.id).is_dir() else recipe.model.id


def _tokenizer(recipe: Recipe) -> Any:
    """The tokenizer as verl loads it."""
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(_model(recipe), trust_remote_code=recipe.model.trust_remote_code)
    except (OSError, ValueError) as error:
        said = str(error).splitlines()[0]
        mend = "Give a Hugging Face id or a folder with its tokenizer."
        raise InputError(f"cannot load the tokenizer of {recipe.model.id!r}: {said}", mend=mend) from error


def _opens_thinking(tokenizer: Any) -> bool:
    opening = tokenizer.apply_chat_template(
        [{"role": "user", "content": "?"}], add_generation_prompt=True, tokenize=False
    )
    return bool(opening.rstrip().endswith("<think>"))


def _check_data(recipe: Recipe, place: Place) -> None:
    """Rows enough, the recipe's template in them, and a reward that can score the first of them."""
    for split, files, least in (("train", place.train_files, recipe.rollout.prompts), ("val", place.val_files, 1)):
        rows = sum(_rows(file) for file in files)
        if rows < least:
            raise InputError(f"{rows} cases in the {split} split, {least} are needed", where=files[0])
    row = next(pq.ParquetFile(place.train_files[0]).iter_batches(1)).to_pylist()[0]
    wanted = prompts.fill(prompts.load_template(recipe.prompt.template), row["extra_info"]["text"])
    if row["prompt"][-1]["content"] != wanted:
        mend = "Prepare the data with this template (dz prepare --template), or name theirs as prompt.template."
        raise InputError("its prompts are not of the recipe's template", where=place.train_files[0], mend=mend)
    settings = options.reward_settings(recipe, place.think_opened)
    compute_score(row["data_source"], "", row["reward_model"]["ground_truth"], row["extra_info"], **settings)


def _rows(file: str) -> int:
    if not Path(file).is_file():
        raise InputError("no such file", where=file, mend="Prepare the cases again (dz prepare).")
    return int(pq.ParquetFile(file).metadata.num_rows)


def _check_shards(source: Path, saved: int | None, gpus: int) -> None:
    if saved is None:
        return
    shards = source / "checkpoints" / f"global_step_{saved}" / "actor"
    if not (shards / f"model_world_size_{gpus}_rank_0.pt").is_file():
        there = next(shards.glob("model_world_size_*_rank_0.pt"), None)
        was = "another number of" if there is None else there.name.split("_")[3]
        mend = f"Resume on {was} GPUs, or start a new run with model.id = one of the run's checkpoints."
        raise InputError(f"the checkpoint was saved by {was} GPUs, and there are {gpus}", where=shards, mend=mend)


def _manifest(recipe: Recipe, splits: start.Splits, chosen: Options) -> dict[str, Any]:
    return {
        "name": recipe.run.name,
        "model": recipe.model.id,
        "engine": "verl",
        "seed": recipe.run.seed,
        "cases": {"train": len(splits.train), "val": len(splits.val), "test": len(splits.test)},
        **records.provenance(),
        "verl": {key: options.written(value) for key, value in chosen.items()},
    }


# --- going on


def _go_back(
    recipe: Recipe, folder: Path, source: Path, cases: list[Case], reward: RewardFn, tokenizer: Any, view: View
) -> int | None:
    """Bring the run folder to the step of verl's newest checkpoint; that step, or None to begin anew."""
    manifest = folder / "manifest.json"
    if manifest.is_file() and records.read_json(manifest).get("engine") != "verl":
        raise InputError("this run is of the local engine", where=folder, mend="Resume it without --engine verl.")
    saved = run_folder.saved_step(source)
    if saved is not None:
        with MetricsLog(folder) as log:
            newest = max((int(path.stem.rpartition("-")[2]) for path in source.glob("metrics-from-*.jsonl")), default=0)
            state = _translation(recipe, folder, source, newest, cases, reward, tokenizer, log)
            run_folder.translate(state, ended=True)
            if not any(row["kind"] == "train" and row["step"] == saved for row in log.rows):
                log.event(saved, "lost", "verl was killed after it saved this step and before it wrote its metrics")
            _merge(state, None, view)
        run_folder.cut_after(source, saved)
        view.say(f"resuming from step {saved}")
    checkpoint.cut_after(folder, -1 if saved is None else saved)
    return saved


def _translation(
    recipe: Recipe,
    folder: Path,
    source: Path,
    first: int,
    cases: list[Case],
    reward: RewardFn,
    tokenizer: Any,
    log: MetricsLog,
) -> Translation:
    template = prompts.load_template(recipe.prompt.template)
    return Translation(
        folder=folder,
        source=source,
        metrics=options.metrics_file(source, first),
        log=log,
        cases=run_folder.by_truth(cases),
        reward=reward,
        encode=lambda text: tokenizer.encode(text, add_special_tokens=False),
        end=tokenizer.eos_token_id,
        prompt=lambda case: prompts.fill(template, case.text),
        completions=recipe.rollout.prompts * recipe.rollout.group,
        max_tokens=recipe.rollout.max_tokens,
        normalise=recipe.train.normalise,
        think_opened=_opens_thinking(tokenizer),
        scores_plain=recipe.train.overlong != "penalise",
    )


# --- while it runs


def _run(recipe: Recipe, state: Translation, chosen: Options, cases: int, view: View) -> None:
    command = options.command(sys.executable, chosen)
    log = state.metrics.with_name(state.metrics.name.replace("metrics", "output")).with_suffix(".log")
    with records.atomic_write(state.source / "command.txt") as file:
        file.write(shlex.join(command) + "\n")
    view.say(f"verl is starting; its output is in {log}")
    running = process.start(command, log, {"HYDRA_FULL_ERROR": "1"})
    try:
        with _signals_interrupt():
            why = _follow(recipe, state, running, log, _total(recipe, cases), view)
    except KeyboardInterrupt:
        why = "stopped"
    finally:
        view.end()
        process.stop(running)
    run_folder.translate(state, ended=True)
    _merge(state, None, view)
    if why:
        view.say(f"{why}; go on with --engine verl --resume")
    elif running.process.returncode:
        what = f"verl ended with status {running.process.returncode}: {process.reason(log)}"
        raise InputError(what, where=log, mend="Mend it and go on with --engine verl --resume.")


def _follow(recipe: Recipe, state: Translation, running: Running, log: Path, total: int, view: View) -> str:
    """Until verl ends or must be stopped; why it must, or nothing."""
    view.begin(len([row for row in state.log.rows if row["kind"] == "train"]))
    while True:
        ended = running.look() is not None
        steps = run_folder.translate(state, ended=ended)
        for step in steps:
            row = next(r for r in reversed(state.log.rows) if r["kind"] == "train" and r["step"] == step)
            view.step(step, total, row)
            if why := _watch(recipe, state, step, view):
                return why
        if ended:
            return ""
        if steps:
            _merge(state, steps[-1], view)
        if raised := process.ours(log):
            raise InputError(f"the reward failed in verl's workers: {raised}", where=log)
        time.sleep(LOOK_EVERY)


def _watch(recipe: Recipe, state: Translation, step: int, view: View) -> str:
    """Ask the guard, as the local loop does."""
    alarms = guard.check(state.log.rows)
    for alarm in alarms:
        state.log.event(step, f"guard/{alarm.detector}", alarm.message)
        view.say(f"guard ({alarm.level}) after step {step}: {alarm.detector}: {alarm.message}")
    if guard.decide(alarms, recipe.guard.on_collapse, 0) == "go on":
        return ""
    return f"stopped by the guard after step {step}"


def _merge(state: Translation, up_to: int | None, view: View) -> None:
    """Merge what verl has saved, once the metrics of its step are on disk."""
    for step in run_folder.unmerged(state.folder, state.source):
        if up_to is None or step <= up_to:
            state.log.sync()
            view.say(f"checkpoint: {run_folder.merge(state.folder, state.source, step)}")


def _total(recipe: Recipe, cases: int) -> int:
    """verl drops the cases of an epoch that do not fill a batch."""
    if recipe.train.steps is not None:
        return recipe.train.steps
    assert recipe.train.epochs is not None
    return recipe.train.epochs * (cases // recipe.rollout.prompts)


@contextmanager
def _signals_interrupt() -> Iterator[None]:
    """SIGTERM stops a run as Ctrl-C does."""

    def interrupt(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _shown(chosen: Options) -> str:
    return shlex.join(options.command("python", chosen))
