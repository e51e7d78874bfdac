"""From a recipe to verl's options, each by hand."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from diagnosis_zero import config
from diagnosis_zero.errors import InputError
from diagnosis_zero.recipe import Recipe
from diagnosis_zero.scale.options import Options, Place, command, flattened, options, unmapped, written

PLACE = Place("Qwen/Qwen2.5-7B-Instruct", ("/data/train.parquet",), ("/data/val.parquet",), Path("/runs/x/verl"))
ACTOR = "actor_rollout_ref.actor"


def seed(*overrides: str) -> Recipe:
    """The original's: its moments of 8 bits are for one GPU."""
    return config.load(config.shipped("seed-qwen2.5-7b"), ["train.optimizer=adamw", *overrides])


def mapped(*overrides: str, place: Place = PLACE) -> Options:
    return options(seed(*overrides), place)


def test_the_original_s_recipe_is_the_original_s_options() -> None:
    found = mapped()
    expected = {
        "algorithm.adv_estimator": "grpo",
        "data.train_batch_size": 8,
        "actor_rollout_ref.rollout.n": 16,
        "data.max_prompt_length": 1024,
        "data.max_response_length": 1024,
        "data.filter_overlong_prompts": True,
        f"{ACTOR}.optim.lr": 3e-7,
        f"{ACTOR}.optim.weight_decay": 0.01,
        f"{ACTOR}.optim.clip_grad": 1.0,
        f"{ACTOR}.ppo_mini_batch_size": 8,
        f"{ACTOR}.use_kl_loss": True,
        f"{ACTOR}.kl_loss_coef": 0.001,
        f"{ACTOR}.kl_loss_type": "low_var_kl",
        f"{ACTOR}.entropy_coeff": 0.0,
        f"{ACTOR}.loss_agg_mode": "token-mean",
        f"{ACTOR}.policy_loss.loss_mode": "vanilla",
        "algorithm.norm_adv_by_std_in_grpo": True,
        "algorithm.use_kl_in_reward": False,
        "actor_rollout_ref.model.path": "Qwen/Qwen2.5-7B-Instruct",
        "actor_rollout_ref.model.enable_gradient_checkpointing": True,
        "trainer.total_epochs": 5,
        "trainer.total_training_steps": None,
        "trainer.save_freq": 50,
        "trainer.test_freq": 10,
        "+reward.custom_reward_function.reward_kwargs.method": "sequence",
        "+reward.custom_reward_function.reward_kwargs.weights": dict(seed().reward.weights),
        "trainer.n_gpus_per_node": 8,
        f"{ACTOR}.fsdp_config.optimizer_offload": True,
    }
    assert {key: found[key] for key in expected} == expected


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        (["train.objective=gspo"], {"policy_loss.loss_mode": "gspo"}),
        (["train.objective=cispo"], {"policy_loss.loss_mode": "cispo"}),
        (["train.objective=dapo"], {"policy_loss.loss_mode": "vanilla"}),
        (["train.clip_low=0.1", "train.clip_high=0.3"], {"clip_ratio_low": 0.1, "clip_ratio_high": 0.3}),
        (["train.aggregation=sequence-mean"], {"loss_agg_mode": "seq-mean-token-mean"}),
        (["train.aggregation=dr-grpo"], {"loss_agg_mode": "seq-mean-token-sum-norm", "loss_scale_factor": 1024}),
        (["train.dual_clip=3.0"], {"clip_ratio_c": 3.0}),
        (["train.minibatches=4"], {"ppo_mini_batch_size": 2}),  # 8 prompts in 4 updates
        (["train.warmup=9"], {"optim.lr_warmup_steps": 10}),
        (["train.warmup=0"], {"optim.lr_warmup_steps": 0}),
        (["train.kl_estimator=k1"], {"kl_loss_type": "kl"}),
        (["train.kl_estimator=k2"], {"kl_loss_type": "mse"}),
        (["train.kl_coefficient=0.0"], {"use_kl_loss": False}),
        (["train.micro_batch_tokens=4096"], {"ppo_max_token_len_per_gpu": 4096, "use_dynamic_bsz": True}),
        (["train.betas=[0.9, 0.95]"], {"optim.betas": (0.9, 0.95)}),
        ([], {"optim.optimizer_impl": "torch.optim", "optim.optimizer": "AdamW", "fsdp_config.offload_policy": False}),
        (["train.optimizer=adamw8bit"], {"optim.optimizer_impl": "torchao.optim", "optim.optimizer": "AdamW8bit"}),
        (["train.offload=true"], {"fsdp_config.offload_policy": True}),
    ],
)
def test_the_update(overrides: list[str], expected: dict[str, Any]) -> None:
    found = mapped(*overrides)
    assert {key: found[f"{ACTOR}.{key}"] for key in expected} == expected


def test_dr_grpo_divides_by_no_deviation() -> None:
    assert mapped("train.normalise=mean")["algorithm.norm_adv_by_std_in_grpo"] is False


def test_a_ratio_without_dual_clip_is_bounded_by_nothing_that_verl_computes() -> None:
    """verl bounds the ratio to exp(20), about 4.9e8, and would clip at 3 if nothing were said."""
    assert mapped()[f"{ACTOR}.clip_ratio_c"] > 4.9e8


def test_kl_in_the_reward() -> None:
    found = mapped("train.kl_place=reward", "train.kl_coefficient=0.02", "train.kl_estimator=k1")
    assert found["algorithm.use_kl_in_reward"] is True
    assert (found["algorithm.kl_ctrl.kl_coef"], found["algorithm.kl_penalty"]) == (0.02, "kl")
    assert found[f"{ACTOR}.use_kl_loss"] is False


def test_the_correction_for_the_sampler() -> None:
    found = mapped("train.sampler_ratio_cap=2.0")
    correction = {key.rpartition(".")[2]: value for key, value in found.items() if ".rollout_correction." in key}
    assert correction == {"rollout_is": "token", "rollout_is_threshold": 2.0}
    assert not any(".rollout_correction." in key for key in mapped())


def test_the_penalty_on_long_completions() -> None:
    found = mapped("train.overlong=penalise", "rollout.max_tokens=100")
    assert found["reward.reward_manager.name"] == "dapo"
    assert found["+reward.reward_kwargs.max_resp_len"] == 100
    assert found["+reward.reward_kwargs.overlong_buffer_cfg"] == {
        "enable": True,
        "len": 20,
        "penalty_factor": 1.0,
        "log": True,
    }


def test_full_precision() -> None:
    found = mapped("model.dtype=float32")
    assert found["actor_rollout_ref.rollout.dtype"] == "float32"
    assert found[f"+{ACTOR}.fsdp_config.mixed_precision"]["param_dtype"] == "fp32"
    assert "actor_rollout_ref.rollout.dtype" not in mapped()


def test_thin_matrices() -> None:
    model = "actor_rollout_ref.model"
    expected = {"lora_rank": 8, "lora_alpha": 16, "target_modules": ("q_proj", "v_proj"), "lora.merge": True}
    found = mapped("lora.rank=8", "lora.alpha=16.0", 'lora.targets=["q_proj", "v_proj"]')
    assert {key: found[f"{model}.{key}"] for key in expected} == expected
    assert mapped()[f"{model}.lora_rank"] == 0
    with pytest.raises(InputError, match="decided by the recipe's own keys"):
        mapped("verl.actor_rollout_ref.model.lora_rank=8")


def test_the_reward_gets_its_catalogue_by_an_absolute_path_and_no_catalogue_as_null() -> None:
    key = "+reward.custom_reward_function.reward_kwargs.catalogue"
    assert mapped("reward.catalogue=some.sqlite")[key] == str(Path("some.sqlite").resolve())
    assert mapped("reward.catalogue=default")[key] == "default"
    assert mapped("reward.catalogue=none")[key] is None
    opened = mapped(place=replace(PLACE, think_opened=True))
    assert opened["+reward.custom_reward_function.reward_kwargs.think_opened"] is True


def test_the_old_reward_keys_that_verl_ignores_are_never_written() -> None:
    for name in ("seed-qwen2.5-1.5b", "seed-qwen2.5-3b", "seed-qwen2.5-7b", "grpo", "dapo", "gspo", "cispo", "dr-grpo"):
        keys = options(config.load(config.shipped(name), ["rollout.resample=0"]), PLACE)
        assert not [key for key in keys if key.lstrip("+").startswith(("custom_reward_function", "reward_model"))]
        assert f"{ACTOR}.grad_clip" not in keys  # ignored too


def test_every_start_logs_to_a_file_of_its_own_and_a_resume_names_its_checkpoint() -> None:
    fresh, resumed = mapped(), mapped(place=replace(PLACE, resume_from=50, validate_first=False))
    key = "+ray_kwargs.ray_init.runtime_env.env_vars.VERL_FILE_LOGGER_PATH"
    assert fresh[key] != resumed[key]
    assert (fresh["trainer.resume_mode"], fresh["trainer.val_before_train"]) == ("disable", True)
    assert (resumed["trainer.resume_mode"], resumed["trainer.val_before_train"]) == ("resume_path", False)
    assert resumed["trainer.resume_from_path"] == "/runs/x/verl/checkpoints/global_step_50"


@pytest.mark.parametrize(
    ("overrides", "what"),
    [
        (["train.overlong=mask"], "overlong = 'mask'"),
        (["model.id=tiny"], "tiny"),
        (["warmstart.batches=3"], "warm start"),
        (["lora.alpha=16.5"], "lora.alpha = 16.5"),
        (["rollout.resample=2"], "rollout.resample"),
        (["rollout.curriculum=true"], "rollout.curriculum"),
        (["train.steps=10"], "both train.steps and train.epochs"),
        (["eval.samples=4"], "eval.samples"),
        (["eval.test_cases=4"], "eval.test_cases"),
        (["guard.on_collapse=rewind"], "rewind"),
        (["run.show_completion=true"], "show_completion"),
        (["train.objective=gspo", "train.dual_clip=3.0"], "dual_clip"),
    ],
)
def test_what_cannot_be_mapped_is_said_with_the_mend(overrides: list[str], what: str) -> None:
    with pytest.raises(InputError, match=what) as caught:
        mapped(*overrides)
    assert caught.value.mend


def test_every_key_of_the_recipe_changes_an_option_or_is_refused_or_is_done_by_us() -> None:
    """Negative control of "nothing is dropped": set each key to another value and look."""
    by_us = {
        "data.folder",  # the files are in Place, as are the model and where the run stands
        "model.id",
        "prompt.template",  # the data's own: compared with it before the start
        "run.dir",
        "run.sinks",  # fed from our metrics
        "guard.on_collapse",
        "guard.rewinds",  # of "rewind", which is refused
        "guard.lr_factor",
    }
    other = {
        "model.dtype": "float32",
        "reward.method": "ontology",
        "reward.catalogue": "none",
        "reward.weights": "{ accuracy = 2.0 }",
        "train.epochs": "6",
        "lora.targets": '["q_proj"]',
        "train.optimizer": "adamw8bit",
        "train.objective": "cispo",
        "train.aggregation": "sequence-mean",
        "train.normalise": "mean",
        "train.kl_estimator": "k1",
        "train.kl_place": "reward",
        "train.overlong": "penalise",
        "train.betas": "[0.8, 0.9]",
        "train.clip_low": "0.1",
        "train.clip_high": "0.1",
        "train.minibatches": "2",
        "run.name": "other",
        "checkpoint.keep": "1",
    }
    given = seed(WITH_LORA).model_dump(exclude_none=True)
    keys = [f"{section}.{key}" for section, table in given.items() if section != "verl" for key in table]
    before = mapped(WITH_LORA)
    for key in keys:
        if key in by_us:
            continue
        value = other.get(key) or _changed(flattened(given)[key])
        assert _outcome(f"{key}={value}") != before, key


WITH_LORA = "lora.rank=16"


def _outcome(override: str) -> Options | None:
    """None where it is refused; an override that is no recipe at all is an error of the test."""
    recipe = seed(WITH_LORA, override)
    return None if list(unmapped(recipe)) else options(recipe, PLACE)


def _changed(value: Any) -> str:
    return str(not value).lower() if isinstance(value, bool) else str(value * 2 + 1)


# --- the [verl] table


def test_the_table_is_passed_on_and_wins_over_our_defaults() -> None:
    found = mapped("verl.trainer.n_gpus_per_node=8", 'verl."+ray_kwargs.x"=1', "verl.actor_rollout_ref.ref.a=null")
    assert found["trainer.n_gpus_per_node"] == 8
    assert found["actor_rollout_ref.ref.a"] == "null"
    assert f"{ACTOR}.strategy" in found


@pytest.mark.parametrize("key", ["data.train_batch_size", "actor_rollout_ref.actor.optim.lr", "+trainer.save_freq"])
def test_what_the_recipe_decides_is_not_said_twice(key: str) -> None:
    with pytest.raises(InputError, match="decided by the recipe's own keys"):
        mapped(f"verl.{key}=5")


def test_the_ignored_keys_are_refused_in_the_table() -> None:
    with pytest.raises(InputError, match="ignores it in silence"):
        mapped("verl.custom_reward_function.path=x.py")


# --- Hydra's grammar


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, "null"),
        ("null", "null"),
        (True, "true"),
        (3e-7, "3e-07"),
        ("grpo", "grpo"),
        ("/data/a.parquet", "/data/a.parquet"),
        ("true", "'true'"),
        ("5", "'5'"),
        ("/my data/a=b", "'/my data/a=b'"),
        ("it's", r"'it\'s'"),
        ("ends\\", r"'ends\\'"),
        (("a", "b"), "[a,b]"),
        ({"a": 1.0, "b": None}, "{a:1.0,b:null}"),
    ],
)
def test_values_in_the_grammar(value: Any, expected: str) -> None:
    assert written(value) == expected


def test_the_command() -> None:
    found = command("python", {"a.b": True, "+c": "x y"})
    assert found == ["python", "-m", "verl.trainer.main_ppo", "a.b=true", "+c='x y'"]


def test_hydra_reads_back_what_was_written() -> None:
    parser = pytest.importorskip("hydra.core.override_parser.overrides_parser", reason="needs hydra (extra verl)")
    for value in ("it's", "a\\", "\\'", "x,y", "{a}", "a: b", "", " padded ", "[1]", "null?", 3e-7, True, ["a b", 1]):
        parsed = parser.OverridesParser.create().parse_override(f"key={written(value)}")
        assert parsed.value() == value
