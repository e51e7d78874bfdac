"""What verl writes, as the files of a run folder: so that evaluation, analysis and report do not know who trained.

    RUN/verl/metrics-from-N.jsonl  ->  RUN/metrics.jsonl
    RUN/verl/rollouts/N.jsonl      ->  RUN/rollouts/step-N.parquet
    RUN/verl/validation/N.jsonl    ->  rows of kind "val"
    RUN/verl/checkpoints/          ->  RUN/checkpoints/step-N (merged to Hugging Face's format, bfloat16, by verl)

verl dumps a completion with its score alone. The parts of the reward come from scoring it once more, by the same
function, and the two scores must agree; its tokens are counted by encoding its text, which may differ from what was
sampled by a token or two.
"""

from __future__ import annotations

import json
import math
import shutil
import subprocess
import sys
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean
from typing import Any

from diagnosis_zero.cases.export import verl_row
from diagnosis_zero.errors import InputError
from diagnosis_zero.prompts import PLACEHOLDER
from diagnosis_zero.train import checkpoint
from diagnosis_zero.train.advantage import advantages
from diagnosis_zero.train.metrics import MetricsLog, Row
from diagnosis_zero.train.observe import rollout_metrics, validation_metrics, write_rollouts
from diagnosis_zero.types import Case, Completion, Group, RewardFn

METRICS = {
    "actor/loss": "policy/loss",
    "actor/grad_norm": "policy/grad_norm",
    "actor/lr": "policy/lr",
    "actor/entropy": "policy/entropy",
    "actor/kl_loss": "policy/kl",
    "actor/pg_clipfrac": "policy/clip_fraction",
    "rollout_corr/k3_kl": "policy/mismatch_kl",
    "timing_s/gen": "time/rollout",
    "timing_s/update_actor": "time/update",
    "timing_s/step": "time/step",
}
"""Metrics of verl that mean what ours mean (docs/metrics.md). All of verl's stay in ``RUN/verl``."""
SAME_SCORE = 1e-4
"""Scores travel through verl as float32."""


@dataclass(slots=True)
class Translation:
    """One start of verl being followed. ``seen`` bytes of its metrics file are translated; lines of ``waiting`` are
    read and wait for their rollouts to be whole."""

    folder: Path
    source: Path
    metrics: Path
    log: MetricsLog
    cases: Mapping[str, Sequence[Case]]
    """By the ground truth as the Parquet has it."""
    reward: RewardFn
    encode: Callable[[str], Sequence[int]]
    end: int
    """The token that ends a completion; verl's text lacks it."""
    prompt: Callable[[Case], str]
    completions: int
    """Of a step."""
    max_tokens: int
    normalise: str
    think_opened: bool
    scores_plain: bool = True
    """Whether verl's score is the reward's (and not with a penalty taken off)."""
    seen: int = 0
    waiting: list[Row] = field(default_factory=list)


def by_truth(cases: Sequence[Case]) -> dict[str, list[Case]]:
    """Cases by their ground truth, the only mark of a case that verl dumps."""
    found: dict[str, list[Case]] = defaultdict(list)
    for case in cases:
        found[verl_row(case, 0, PLACEHOLDER)["reward_model"]["ground_truth"]].append(case)
    return found


def translate(state: Translation, *, ended: bool) -> list[int]:
    """Take over what is whole; the training steps that were. ``ended``: verl writes no more."""
    state.waiting += _new_lines(state)
    done = []
    while state.waiting:
        step = state.waiting[0]["step"]
        trained = "training/global_step" in state.waiting[0]["data"]
        if not (ended or len(state.waiting) > 1 or (trained and _whole(_dump(state, "rollouts", step), state))):
            break
        line = state.waiting.pop(0)
        if trained and not known(state, "train", step):
            _train_row(state, step, line["data"])
            done.append(step)
        _val_row(state, step)
    return done


def _new_lines(state: Translation) -> Iterator[Row]:
    """Whole lines that verl wrote since the last look."""
    if not state.metrics.is_file():
        return
    with state.metrics.open("rb") as file:
        file.seek(state.seen)
        for line in file:
            if not line.endswith(b"\n"):
                return
            state.seen += len(line)
            yield json.loads(line)


def _dump(state: Translation, kind: str, step: int) -> Path:
    return state.source / kind / f"{step}.jsonl"


def _whole(path: Path, state: Translation) -> bool:
    """verl writes the file while it goes on; a step has so many completions."""
    return path.is_file() and path.read_bytes().count(b"\n") >= state.completions


def _train_row(state: Translation, step: int, theirs: Mapping[str, Any]) -> None:
    groups, scores = _groups(state, _dump(state, "rollouts", step), step)
    metrics = {ours: float(theirs[name]) for name, ours in METRICS.items() if name in theirs}
    metrics["policy/skipped"] = float(not math.isfinite(metrics.get("policy/grad_norm", 0.0)))
    if groups:
        credit = [advantages(scores_G, normalise=state.normalise).tolist() for scores_G in scores]
        write_rollouts(state.folder / "rollouts" / f"step-{step:06d}.parquet", step, groups, credit, state.think_opened)
        metrics = {**rollout_metrics(groups, state.think_opened), **metrics}
    state.log.write(step, "train", metrics)


def _val_row(state: Translation, step: int) -> None:
    if known(state, "val", step):
        return
    groups, _ = _groups(state, _dump(state, "validation", step), step)
    if groups:
        state.log.write(step, "val", validation_metrics(groups, [], state.think_opened))


def known(state: Translation, kind: str, step: int) -> bool:
    """Whether this row stands in ``metrics.jsonl``."""
    return any(row["kind"] == kind and row["step"] == step for row in state.log.rows)


def _groups(state: Translation, dump: Path, step: int) -> tuple[list[Group], list[list[float]]]:
    """Groups of a dump with their reward parts, and verl's own scores."""
    members: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    if dump.is_file():
        for line in dump.read_bytes().splitlines(keepends=True):
            if line.endswith(b"\n"):  # a kill may have torn the last one
                row = json.loads(line)
                members[row["uid"].rsplit("_", 2)[0]].append(row)
    groups = [_group(state, rows) for rows in members.values()]
    scores = [[float(row["score"]) for row in rows] for rows in members.values()]
    if state.scores_plain:
        _compare(state, step, groups, scores)
    return groups, scores


def _group(state: Translation, rows: Sequence[Mapping[str, Any]]) -> Group:
    case = _case(state, rows[0])
    written = tuple(_completion(state, row["output"]) for row in rows)
    return Group(case, (), written, tuple(state.reward(one.text, case) for one in written))


def _case(state: Translation, row: Mapping[str, Any]) -> Case:
    """The case with this ground truth whose prompt stands in the input; tokenizers normalise Unicode."""
    candidates = state.cases.get(row["gts"], ())
    if not candidates:
        what = f"no case of the run has the ground truth {row['gts']!r:.200}"
        raise InputError(what, where=state.source, mend="Was the data folder changed under the run?")
    shown = unicodedata.normalize("NFC", row["input"])
    found = (case for case in candidates if unicodedata.normalize("NFC", state.prompt(case)).strip() in shown)
    return next(found, candidates[0])


def _completion(state: Translation, text: str) -> Completion:
    tokens = tuple(state.encode(text))
    if len(tokens) >= state.max_tokens:
        return Completion(text, "length", tokens)
    return Completion(text, "stop", (*tokens, state.end))


def _compare(state: Translation, step: int, groups: Sequence[Group], scores: Sequence[Sequence[float]]) -> None:
    pairs = [
        (reward.score, score)
        for group, scores_G in zip(groups, scores, strict=True)
        for reward, score in zip(group.rewards, scores_G, strict=True)
    ]
    wrong = [abs(ours - theirs) for ours, theirs in pairs if abs(ours - theirs) > SAME_SCORE]
    if wrong:
        message = f"{len(wrong)} of {len(pairs)} scores of verl's workers differ from ours, by {fmean(wrong):.3g}"
        state.log.event(step, "reward_differs", message)


# --- checkpoints


def newest_start(source: Path) -> int:
    """The step that verl's last start went on from."""
    return max((int(path.stem.rpartition("-")[2]) for path in source.glob("metrics-from-*.jsonl")), default=0)


def saved_step(source: Path) -> int | None:
    """The step of the newest checkpoint that verl finished; None: none yet."""
    mark = source / "checkpoints" / "latest_checkpointed_iteration.txt"
    text = mark.read_text(encoding="utf-8").strip() if mark.is_file() else ""
    return int(text) if text.isdigit() else None


def merge(run: Path, source: Path, step: int) -> Path:
    """verl's shards of a step as ``RUN/checkpoints/step-N``: weights, configuration, tokenizer.

    Raises:
        InputError: the shards cannot be merged, or there is no space; verl's checkpoint is left as it is.
    """
    shards = source / "checkpoints" / f"global_step_{step}" / "actor"
    aside = source / f".merged-{step}"
    arguments = ["merge", "--backend", "fsdp", "--local_dir", str(shards), "--target_dir", str(aside)]
    done = subprocess.run(  # noqa: S603 - the command is ours
        [sys.executable, "-m", "verl.model_merger", *arguments], capture_output=True, text=True, check=False
    )
    try:
        if done.returncode:
            last = (done.stderr.strip() or done.stdout.strip()).splitlines()[-1:]
            what = f"verl could not merge the checkpoint of step {step}: {' '.join(last)}"
            raise InputError(
                what, where=shards, mend="Free space or mend the folder, then --resume: it is merged then."
            )
        _put_in_adapter(aside)
        return checkpoint.save(run, step, lambda place: _move(aside, place), {"engine": "verl"})
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _put_in_adapter(folder: Path) -> None:
    """Of LoRA, verl's merger writes the weights that training began with, and the adapter beside them."""
    adapter = folder / "lora_adapter"
    if not adapter.is_dir():
        return
    from transformers import AutoModelForCausalLM

    from diagnosis_zero.engine import lora

    model = AutoModelForCausalLM.from_pretrained(folder, dtype="auto", use_safetensors=True, trust_remote_code=False)
    lora.restore(model, adapter)
    lora.merge(model)
    model.save_pretrained(folder / "merged")
    for path in (folder / "merged").iterdir():  # not written over: the model may still be mapped from the old files
        path.replace(folder / path.name)
    (folder / "merged").rmdir()
    shutil.rmtree(adapter)


def _move(source: Path, place: Path) -> None:
    for path in source.iterdir():
        shutil.move(path, place / path.name)


def unmerged(run: Path, source: Path) -> list[int]:
    """Steps that verl has saved and that have no checkpoint of ours yet, ascending."""
    newest = saved_step(source)
    folders = (source / "checkpoints").glob("global_step_*")
    steps = sorted(int(path.name.removeprefix("global_step_")) for path in folders)
    merged = set(checkpoint.steps(run))
    return [step for step in steps if newest is not None and step <= newest and step not in merged]


def cut_after(source: Path, step: int) -> None:
    """Take away verl's dumps of later steps, which a resume writes again."""
    for kind in ("rollouts", "validation"):
        for path in (source / kind).glob("*.jsonl"):
            if int(path.stem) > step:
                path.unlink()
