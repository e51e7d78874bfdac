"""Open a run: its folder, and everything that lives as long as the run, fresh or from a checkpoint."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from diagnosis_zero import config, prompts, records
from diagnosis_zero.engine import lora
from diagnosis_zero.engine import model as models
from diagnosis_zero.engine.model import Policy
from diagnosis_zero.errors import InputError
from diagnosis_zero.recipe import Recipe
from diagnosis_zero.train import checkpoint, start
from diagnosis_zero.train.curriculum import PassRates, pass_rates
from diagnosis_zero.train.metrics import MetricsLog
from diagnosis_zero.train.optimizer import MasterAdamW
from diagnosis_zero.train.view import View
from diagnosis_zero.types import RewardFn

RewardFor = Callable[[bool], RewardFn]
"""The reward, given whether the model's chat template opens <think> itself: a completion then lacks the tag."""


@dataclass(slots=True)
class Run:
    """Everything that lives as long as the run."""

    recipe: Recipe
    folder: Path
    splits: start.Splits
    policy: Policy
    reference: Any
    optimizer: MasterAdamW
    reward: RewardFn
    judge: RewardFn | None
    template: str
    think_opened: bool
    pass_rates: PassRates
    log: MetricsLog
    view: View


def open_folder(recipe: Recipe, folder: Path, resume: bool, force: bool) -> None:
    """Make the folder of a run that starts; for one that goes on, check that it is the same experiment."""
    written = folder / "config.toml"
    if resume:
        if not written.is_file():
            raise InputError("no run to resume", where=folder, mend="Leave out --resume to start it.")
        _refuse_another_experiment(config.load(written), recipe, folder, force)
    elif checkpoint.steps(folder):
        mend = "Go on with it by --resume, or give another name: --set run.name=..."
        raise InputError("a run of this name exists", where=folder, mend=mend)
    elif written.is_file():
        # A start that came to nothing before its first checkpoint, perhaps by a fault in the recipe that is now mended.
        shutil.rmtree(folder / "data", ignore_errors=True)
    elif folder.exists() and any(folder.iterdir()):
        what = "there is something else of that name, which is never replaced"
        raise InputError(what, where=folder, mend="Give another name: --set run.name=...")
    folder.mkdir(parents=True, exist_ok=True)
    with records.atomic_write(written) as handle:
        handle.write(config.dump(recipe))


def _refuse_another_experiment(old: Recipe, new: Recipe, folder: Path, force: bool) -> None:
    """Other keys or other files; where it is insisted on, the run goes on with them from here."""
    changed = config.differences(old, new)
    fixed = [key for key in changed if any(key == f or key.startswith(f"{f}.") for f in config.FIXED_ON_RESUME)]
    manifest = records.read_json(folder / "manifest.json") if (folder / "manifest.json").is_file() else {}
    began_with, now = manifest.get("files", {}), _files(new)
    told = [f"{key} (was {changed[key][0]!r}, now {changed[key][1]!r})" for key in fixed]
    told += [
        f"the file of {key} has changed" for key in began_with if key not in fixed and now.get(key) != began_with[key]
    ]
    if told and not force:
        mend = "Start a new run, or insist with --force."
        raise InputError(f"this would be another experiment: {', '.join(told)}", where=folder, mend=mend)
    if told and manifest:
        records.write_json(folder / "manifest.json", {**manifest, "files": now})
    if any(key.startswith("data.") for key in fixed):
        shutil.rmtree(folder / "data", ignore_errors=True)  # the vignettes of the old keys


def _files(recipe: Recipe) -> dict[str, str]:
    """Hashes of what the recipe only names, by its key: another content is another experiment."""
    template = prompts.load_template(recipe.prompt.template).encode()
    named = {"data.folder": recipe.data.folder and Path(recipe.data.folder) / "cases.jsonl"}
    named["reward.catalogue"] = Path(recipe.reward.catalogue)
    files = {key: records.sha256(path) for key, path in named.items() if path and path.is_file()}
    return {"prompt.template": hashlib.sha256(template).hexdigest(), **files}


def begin(
    recipe: Recipe,
    folder: Path,
    cases: start.Splits,
    latest: Path | None,
    reward_for: RewardFor,
    judge_for: RewardFor | None,
    log: MetricsLog,
    view: View,
) -> Run:
    """The run as it is before its first step, or as the checkpoint ``latest`` left it."""
    template = prompts.load_template(recipe.prompt.template)
    if latest is None:
        batches = recipe.warmstart.batches if recipe.warmstart else 1
        policy = start.fresh_policy(recipe, cases.train, view.say, view.batches(batches))
        dtype = str(policy.model.dtype).removeprefix("torch.")
        cases = start.short_enough(cases, policy, template, recipe.data.max_prompt_tokens, view.say)
        records.write_json(folder / "manifest.json", _manifest(recipe, policy, dtype, cases))
        optimizer = _optimizer(recipe, policy)
        # The reference is read from the checkpoint of step 0, and so is every resumed run: write it before anything.
        write_checkpoint(folder, 0, policy, optimizer)
    else:
        dtype = records.read_json(folder / "manifest.json")["dtype"]
        if recipe.lora or recipe.train.kl_coefficient:
            _check_initial(checkpoint.folder(folder, 0))
        # With LoRA the weights are those of step 0 for ever; the adapter comes from the optimizer's state.
        policy = models.load(str(checkpoint.folder(folder, 0) if recipe.lora else latest), dtype=dtype)
        cases = start.short_enough(cases, policy, template, recipe.data.max_prompt_tokens, view.say)
        optimizer = _optimizer(recipe, policy)
        optimizer.load_state(checkpoint.load_state(latest)["optimizer"])
        view.say(f"resumed from {latest}")
    if recipe.model.gradient_checkpointing:
        models.enable_checkpointing(policy.model)
    reference = start.reference_of(recipe.train.kl_coefficient, policy, checkpoint.folder(folder, 0), dtype)
    opened = start.opens_thinking(policy)
    reward, judge = reward_for(opened), judge_for and judge_for(opened)
    rates = pass_rates(folder / "rollouts") if recipe.rollout.curriculum else {}
    return Run(recipe, folder, cases, policy, reference, optimizer, reward, judge, template, opened, rates, log, view)


def _check_initial(initial: Path) -> None:
    """The base of an adapter and the reference of the KL term are read from it all the run long."""
    wrong = checkpoint.fault(initial)
    if wrong is not None:
        what = f"{wrong}, and the run rests on it (the base of its adapter, or the reference of its KL term)"
        raise InputError(what, where=initial, mend="Put the folder back from a copy, or start a new run.")


def _optimizer(recipe: Recipe, policy: Policy) -> MasterAdamW:
    """Of all weights, or of the adapter that is put beside them here."""
    if recipe.lora is not None:
        chosen = recipe.lora
        lora.adapt(policy.model, rank=chosen.rank, alpha=chosen.alpha, targets=chosen.targets, seed=recipe.run.seed)
    wanted = recipe.train
    return MasterAdamW(
        policy.model,
        betas=wanted.betas,
        weight_decay=wanted.weight_decay,
        kind=wanted.optimizer,
        offload=wanted.offload,
    )


def write_checkpoint(run_dir: Path, step: int, policy: Policy, optimizer: MasterAdamW) -> None:
    """Keep the policy and the optimizer as they are after ``step``. With LoRA that of step 0 has the model's weights,
    the others the adapter."""
    adapted = lora.is_adapted(policy.model)

    def save_model(folder: Path) -> None:
        if adapted and step:
            lora.save(policy.model, folder, f"../{checkpoint.folder(run_dir, 0).name}")
            return
        state = lora.base_state(policy.model) if adapted else None
        policy.model.save_pretrained(folder, state_dict=state)
        policy.tokenizer.save_pretrained(folder)

    checkpoint.save(run_dir, step, save_model, {"optimizer": optimizer.state()})


def _manifest(recipe: Recipe, policy: Policy, dtype: str, cases: start.Splits) -> dict[str, Any]:
    return {
        "name": recipe.run.name,
        "model": recipe.model.id,
        "parameters": sum(p.numel() for p in policy.model.parameters()),
        "dtype": dtype,
        "threads": torch.get_num_threads(),
        "seed": recipe.run.seed,
        "files": _files(recipe),
        "cases": {"train": len(cases.train), "val": len(cases.val), "test": len(cases.test)},
        **records.provenance(),
    }
