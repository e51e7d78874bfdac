"""From a recipe to verl's options: pure, and complete. A key of the recipe is mapped, done by ``verl.py`` itself
(``guard``, ``run.sinks``), or an error; nothing is dropped in silence. Option names are those of verl 0.9.

Traps of verl that the names below step around: the top-level ``custom_reward_function`` and ``reward_model`` compose
and are ignored; gradients are clipped to ``actor.optim.clip_grad`` while ``actor.grad_clip`` is ignored;
``ppo_mini_batch_size`` counts prompts; dual clipping is on unless its bound is out of reach.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from diagnosis_zero.errors import InputError
from diagnosis_zero.recipe import Lora, Recipe

Options = dict[str, Any]
"""verl's option by its dotted name; a leading ``+`` adds a key that verl's own configuration leaves open."""

REWARD = "pkg://diagnosis_zero.rewards.adapters"
ACTOR = "actor_rollout_ref.actor"
ROLLOUT = "actor_rollout_ref.rollout"
MODEL = "actor_rollout_ref.model"

KL_NAMES = {"k1": "kl", "k2": "mse", "k3": "low_var_kl"}
AGGREGATIONS = {
    "token-mean": "token-mean",
    "sequence-mean": "seq-mean-token-mean",
    "dr-grpo": "seq-mean-token-sum-norm",
}
LOSS_MODES = {"grpo": "vanilla", "dr-grpo": "vanilla", "dapo": "vanilla", "gspo": "gspo", "cispo": "cispo"}
OPTIMIZERS = {"adamw": ("torch.optim", "AdamW"), "adamw8bit": ("torchao.optim", "AdamW8bit")}
"""Module and class. (bitsandbytes has one too, which knows nothing of FSDP2's tensors.)"""
NO_DUAL_CLIP = 1e10
"""Above every ratio that verl can compute (it bounds their logarithm to 20)."""
FULL_PRECISION = {"param_dtype": "fp32", "reduce_dtype": "fp32", "buffer_dtype": "fp32"}

DEFAULTS: Options = {
    "trainer.nnodes": 1,
    "trainer.n_gpus_per_node": 1,
    f"{ACTOR}.strategy": "fsdp2",
    "actor_rollout_ref.ref.strategy": "fsdp2",
    f"{ROLLOUT}.name": "vllm",
    f"{ROLLOUT}.tensor_model_parallel_size": 1,
    f"{ROLLOUT}.gpu_memory_utilization": 0.6,
}
"""How a run is laid out on the machines. The recipe's ``[verl]`` table may say otherwise."""


@dataclass(frozen=True, slots=True)
class Place:
    """What the mapping needs to know besides the recipe. Paths are absolute, and the same on every node."""

    model: str
    """A Hugging Face id or a folder."""
    train_files: tuple[str, ...]
    val_files: tuple[str, ...]
    folder: Path
    """verl's own folder within the run."""
    think_opened: bool = False
    resume_from: int | None = None
    """The step of verl's checkpoint to go on from."""
    validate_first: bool = True
    """Whether the validation of the step that the run starts from is still to be made."""


def options(recipe: Recipe, place: Place) -> Options:
    """Every option that verl is given, in a fixed order.

    Raises:
        InputError: a key that verl has nothing for, or an option of ``[verl]`` that the recipe itself decides.
    """
    check_mapped(recipe)
    decided = {
        **_data(recipe, place),
        **_model(recipe, place),
        **_reward(recipe, place),
        **_rollout(recipe),
        **_actor(recipe),
        **_advantage(recipe),
        **_run(recipe, place),
    }
    return {**decided, **DEFAULTS, **_passed_through(recipe.verl, decided)}


def check_mapped(recipe: Recipe) -> None:
    """Raise an ``InputError`` for the first key that verl has nothing for."""
    for what, mend in unmapped(recipe):
        raise InputError(f"verl cannot do this recipe: {what}", mend=mend)


def unmapped(recipe: Recipe) -> Iterator[tuple[str, str]]:
    """(what, how to mend it) of every key that verl has nothing for."""
    train = recipe.train
    if recipe.model.id == "tiny":
        yield "model.id = 'tiny' is made by the local engine", "Give a Hugging Face id or a folder."
    if recipe.warmstart is not None:
        mend = "Warm-start with --engine local (train.steps=1), then name its checkpoint as model.id."
        yield "it has a warm start", mend
    if recipe.lora is not None and not recipe.lora.alpha.is_integer():
        yield f"lora.alpha = {recipe.lora.alpha} (verl's is a whole number)", "Round it."
    if train.overlong == "mask":
        yield "train.overlong = 'mask'", "Take 'score' or 'penalise'."
    if train.dual_clip is not None and train.objective in ("gspo", "cispo"):
        yield f"train.dual_clip with {train.objective!r}", "Leave it out: verl has it for token-wise clipping alone."
    if train.steps is not None and train.epochs is not None:
        yield "both train.steps and train.epochs", "Keep one: verl would not save where the epochs end first."
    if recipe.rollout.curriculum:
        yield "rollout.curriculum", "Set it to false: verl draws shuffled passes."
    if recipe.rollout.resample:
        mend = "Set it to 0; verl's own, without an end to its rounds, is verl.algorithm.filter_groups.enable = true."
        yield "rollout.resample", mend
    if recipe.eval.samples:
        yield "eval.samples (verl validates greedily)", "Set it to 0, and draw samples by dz evaluate --samples."
    if recipe.eval.test_cases is not None:
        yield "eval.test_cases (verl does not test)", "Leave it out, and test by dz evaluate RUN --limit."
    if recipe.run.show_completion:
        yield "run.show_completion", "Set it to false: the completions of every step are in the run's rollouts."
    if recipe.guard.on_collapse == "rewind":
        yield "guard.on_collapse = 'rewind'", "Take 'stop' or 'warn'."


def command(python: str, chosen: Options) -> list[str]:
    """The whole command that starts the training."""
    overrides = [f"{key}={written(value)}" for key, value in chosen.items()]
    return [python, "-m", "verl.trainer.main_ppo", *overrides]


_PLAIN = re.compile(r"[A-Za-z_/][\w./:@-]*")
_WORDS_OF_HYDRA = {"true", "false", "null", "nan", "inf"}


def written(value: Any) -> str:
    """A value in Hydra's grammar of overrides. The string "null" is Hydra's null, for which TOML has no word."""
    if value is None or value == "null":
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        plain = _PLAIN.fullmatch(value) and value.lower() not in _WORDS_OF_HYDRA
        return value if plain else "'" + _escaped(value) + "'"
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{key}:{written(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ",".join(map(written, value)) + "]"
    return repr(value)


def _escaped(text: str) -> str:
    """Within Hydra's quotes a quote is escaped, and so are backslashes right before one (or before the end)."""
    return re.sub(r"(\\*)('|$)", lambda found: found[1] * 2 + ("\\'" if found[2] else ""), text)


def flattened(table: Mapping[str, Any], prefix: str = "") -> Options:
    """A table of TOML as dotted names."""
    found: Options = {}
    for key, value in table.items():
        inner = isinstance(value, Mapping) and value
        found |= flattened(value, f"{prefix}{key}.") if inner else {f"{prefix}{key}": value}
    return found


# --- parts of the recipe


def _data(recipe: Recipe, place: Place) -> Options:
    return {
        "data.train_files": place.train_files,
        "data.val_files": place.val_files,
        "data.train_batch_size": recipe.rollout.prompts,
        "data.max_prompt_length": recipe.data.max_prompt_tokens,
        "data.max_response_length": recipe.rollout.max_tokens,
        "data.filter_overlong_prompts": True,
        "data.truncation": "error",
        "data.shuffle": True,
        "data.seed": recipe.run.seed,
        "data.val_max_samples": recipe.eval.cases,
        "data.trust_remote_code": recipe.model.trust_remote_code,
    }


def _model(recipe: Recipe, place: Place) -> Options:
    found: Options = {
        f"{MODEL}.path": place.model,
        f"{MODEL}.trust_remote_code": recipe.model.trust_remote_code,
        f"{MODEL}.enable_gradient_checkpointing": recipe.model.gradient_checkpointing,
    }
    found |= _lora(recipe.lora)
    if recipe.model.dtype == "float32":
        for part in (ACTOR, "actor_rollout_ref.ref"):
            found[f"+{part}.fsdp_config.mixed_precision"] = FULL_PRECISION
        found[f"{ROLLOUT}.dtype"] = "float32"
    return found


def _lora(lora: Lora | None) -> Options:
    """The rollout is sent the weights with the adapter in them, as the local engine's is."""
    if lora is None:
        return {f"{MODEL}.lora_rank": 0}
    return {
        f"{MODEL}.lora_rank": lora.rank,
        f"{MODEL}.lora_alpha": int(lora.alpha),
        f"{MODEL}.target_modules": lora.targets,
        f"{MODEL}.lora.merge": True,
    }


def _reward(recipe: Recipe, place: Place) -> Options:
    custom = "reward.custom_reward_function"
    settings = reward_settings(recipe, place.think_opened)
    return {
        f"{custom}.path": REWARD,
        f"{custom}.name": "compute_score",
        **{f"+{custom}.reward_kwargs.{name}": value for name, value in settings.items()},
        **_overlong(recipe),
    }


def reward_settings(recipe: Recipe, think_opened: bool) -> Options:
    """The keywords that the reward function is called with in verl's workers."""
    given = recipe.reward
    settings: Options = {"method": given.method, "catalogue": _catalogue(given.source)}
    settings |= {"weights": dict(given.weights)} if given.weights else {}
    return settings | ({"think_opened": True} if think_opened else {})


def _catalogue(source: str | None) -> str | None:
    """A file by its absolute path: the workers start in folders of their own."""
    return source if source in (None, "default") else str(Path(source).resolve())


def _overlong(recipe: Recipe) -> Options:
    if recipe.train.overlong != "penalise":
        return {}
    limit = recipe.rollout.max_tokens
    buffer = {"enable": True, "len": overlong_buffer(recipe), "penalty_factor": 1.0, "log": True}
    return {
        "reward.reward_manager.name": "dapo",
        "+reward.reward_kwargs.max_resp_len": limit,
        "+reward.reward_kwargs.overlong_buffer_cfg": buffer,
    }


def overlong_buffer(recipe: Recipe) -> int:
    """Tokens before the limit over which the penalty grows."""
    return recipe.train.overlong_buffer or math.ceil(recipe.rollout.max_tokens / 5)


def _rollout(recipe: Recipe) -> Options:
    return {
        f"{ROLLOUT}.n": recipe.rollout.group,
        f"{ROLLOUT}.temperature": recipe.rollout.temperature,
        f"{ROLLOUT}.top_p": 1.0,
        f"{ROLLOUT}.top_k": -1,
        f"{ROLLOUT}.do_sample": True,
        f"{ROLLOUT}.seed": recipe.run.seed,
        f"{ROLLOUT}.calculate_log_probs": True,
        f"{ROLLOUT}.val_kwargs.do_sample": False,
        f"{ROLLOUT}.val_kwargs.temperature": 0.0,
        f"{ROLLOUT}.val_kwargs.n": 1,
    }


def _actor(recipe: Recipe) -> Options:
    train = recipe.train
    in_loss = train.kl_coefficient > 0 and train.kl_place == "loss"
    found: Options = {
        f"{ACTOR}.optim.lr": train.lr,
        f"{ACTOR}.optim.optimizer_impl": OPTIMIZERS[train.optimizer][0],
        f"{ACTOR}.optim.optimizer": OPTIMIZERS[train.optimizer][1],
        f"{ACTOR}.fsdp_config.offload_policy": train.offload,
        f"{ACTOR}.optim.lr_warmup_steps": train.warmup + 1 if train.warmup else 0,
        f"{ACTOR}.optim.lr_scheduler_type": "constant",
        f"{ACTOR}.optim.weight_decay": train.weight_decay,
        f"{ACTOR}.optim.betas": train.betas,
        f"{ACTOR}.optim.clip_grad": train.max_grad_norm,
        f"{ACTOR}.ppo_mini_batch_size": recipe.rollout.prompts // train.minibatches,
        f"{ACTOR}.ppo_epochs": 1,
        f"{ACTOR}.use_dynamic_bsz": True,
        f"{ACTOR}.ppo_max_token_len_per_gpu": train.micro_batch_tokens,
        f"{ACTOR}.data_loader_seed": recipe.run.seed,
        f"{ACTOR}.policy_loss.loss_mode": LOSS_MODES[train.objective],
        f"{ACTOR}.clip_ratio_low": train.clip_low,
        f"{ACTOR}.clip_ratio_high": train.clip_high,
        f"{ACTOR}.clip_ratio_c": train.dual_clip or NO_DUAL_CLIP,
        f"{ACTOR}.loss_agg_mode": AGGREGATIONS[train.aggregation],
        f"{ACTOR}.entropy_coeff": train.entropy_coefficient,
        f"{ACTOR}.use_kl_loss": in_loss,
    }
    if train.aggregation == "dr-grpo":
        found[f"{ACTOR}.loss_scale_factor"] = recipe.rollout.max_tokens
    if in_loss:
        found[f"{ACTOR}.kl_loss_coef"] = train.kl_coefficient
        found[f"{ACTOR}.kl_loss_type"] = KL_NAMES[train.kl_estimator]
    return found


def _advantage(recipe: Recipe) -> Options:
    train = recipe.train
    in_reward = train.kl_coefficient > 0 and train.kl_place == "reward"
    found: Options = {
        "algorithm.adv_estimator": "grpo",
        "algorithm.norm_adv_by_std_in_grpo": train.normalise == "std",
        "algorithm.use_kl_in_reward": in_reward,
        "critic.enable": False,
    }
    if in_reward:
        found["algorithm.kl_ctrl.kl_coef"] = train.kl_coefficient
        found["algorithm.kl_penalty"] = KL_NAMES[train.kl_estimator]
    if train.sampler_ratio_cap is not None:
        found["algorithm.rollout_correction.rollout_is"] = "token"
        found["algorithm.rollout_correction.rollout_is_threshold"] = train.sampler_ratio_cap
    return found


def _run(recipe: Recipe, place: Place) -> Options:
    start = place.resume_from or 0
    length = (
        {"trainer.total_epochs": recipe.train.epochs, "trainer.total_training_steps": None}
        if recipe.train.steps is None
        else {"trainer.total_epochs": recipe.train.steps, "trainer.total_training_steps": recipe.train.steps}
    )
    resume = (
        {"trainer.resume_mode": "disable"}
        if place.resume_from is None
        else {
            "trainer.resume_mode": "resume_path",
            "trainer.resume_from_path": str(place.folder / "checkpoints" / f"global_step_{start}"),
        }
    )
    return {
        "trainer.project_name": "diagnosis-zero",
        "trainer.experiment_name": recipe.run.name,
        "trainer.logger": ("console", "file"),
        **length,
        **resume,
        "trainer.save_freq": recipe.checkpoint.every,
        "trainer.max_actor_ckpt_to_keep": recipe.checkpoint.keep,
        "trainer.test_freq": recipe.eval.every,
        "trainer.val_before_train": place.validate_first,
        "trainer.default_local_dir": str(place.folder / "checkpoints"),
        "trainer.rollout_data_dir": str(place.folder / "rollouts"),
        "trainer.validation_data_dir": str(place.folder / "validation"),
        "hydra.run.dir": str(place.folder / "hydra"),
        "+ray_kwargs.ray_init.runtime_env.env_vars.VERL_FILE_LOGGER_PATH": str(metrics_file(place.folder, start)),
    }


def metrics_file(folder: Path, start: int) -> Path:
    """verl opens the file anew at every start, so every start has its own."""
    return folder / f"metrics-from-{start:06d}.jsonl"


def _passed_through(table: Mapping[str, Any], decided: Options) -> Options:
    """The ``[verl]`` table; what the recipe itself decides may not be said twice."""
    given = flattened(table)
    known = {key.lstrip("+") for key in decided}
    for key in given:
        name = key.lstrip("+")
        if any(name == one or name.startswith(f"{one}.") or one.startswith(f"{name}.") for one in known):
            raise InputError(f"verl.{key} is decided by the recipe's own keys", mend=_own_key(name))
        if name.split(".")[0] in ("custom_reward_function", "reward_model"):
            raise InputError(f"verl.{key}: verl ignores it in silence", mend="Its place is under reward.*")
    return given


OWN_KEYS = {
    "data.": "data.* and rollout.* keys",
    f"{MODEL}.": "model.* keys",
    "reward.": "reward.* keys, train.overlong",
    f"{ROLLOUT}.": "rollout.* keys",
    f"{ACTOR}.": "train.* keys",
    "algorithm.": "train.* keys",
    "trainer.": "run.*, train.steps, checkpoint.* and eval.* keys",
}


def _own_key(name: str) -> str:
    keys = next((keys for prefix, keys in OWN_KEYS.items() if name.startswith(prefix)), "own keys")
    return f"Set it by the recipe's {keys} (docs/scale.md has the table)."
