"""Inputs of a real run on verl that a CPU can do: a Llama of 30 thousand parameters, sixteen patients, a catalogue.

The cases know their diseases by formal names, the model answers by common ones: what it earns, it earns by the
catalogue. (A Llama, since transformers cuts the words of any Qwen2 folder by Qwen's rules, whatever its tokenizer.)
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import torch
from benchmarks.toy_runs import save_policy, teach
from transformers import LlamaConfig, LlamaForCausalLM

from diagnosis_zero.cases.prepare import prepare
from diagnosis_zero.engine import model as models
from diagnosis_zero.engine import tiny
from diagnosis_zero.engine.model import Policy
from diagnosis_zero.nomenclature.build import build
from diagnosis_zero.nomenclature.facts import Fact, Named, Scope
from diagnosis_zero.parsing import render
from diagnosis_zero.prompts import SHORT, build_chat, fill
from diagnosis_zero.train.warmstart import Example
from diagnosis_zero.types import Case

SIGNS = {"stiff joints": "Gout", "a rash": "Lupus", "long fingers": "Marfan", "pale lips": "Anemia"}
"""A patient's one sign, and what the model calls the disease that it means."""
FORMAL = {
    "Gout": "Urate crystal arthritis",
    "Lupus": "Disseminated erythematosus",
    "Marfan": "Arachnodactyly syndrome",
    "Anemia": "Haemoglobin deficiency",
}

RECIPE = """
[model]
id = "{folder}/model"
dtype = "float32"
[data]
folder = "{folder}/data"
max_prompt_tokens = 64
[prompt]
template = "short"
[reward]
catalogue = "{folder}/catalogue.sqlite"
weights = {{ accuracy = 1.0, format = 0.2 }}
[rollout]
prompts = 4
group = 4
max_tokens = 20
[train]
steps = 3
lr = 1e-3
kl_coefficient = 0.01
micro_batch_tokens = 512
[eval]
every = 2
cases = 4
[checkpoint]
every = 2
[guard]
on_collapse = "warn"
[run]
name = "toy"
dir = "{folder}/runs"
[verl]
trainer.device = "cpu"
trainer.n_gpus_per_node = 2
trainer.balance_batch = true
data.dataloader_num_workers = 0
actor_rollout_ref.model.use_remove_padding = false
"+actor_rollout_ref.model.override_config.attn_implementation" = "sdpa"
actor_rollout_ref.actor.use_torch_compile = false
actor_rollout_ref.actor.fsdp_config.use_torch_compile = false
actor_rollout_ref.ref.fsdp_config.use_torch_compile = false
actor_rollout_ref.rollout.name = "on_cpu"
actor_rollout_ref.rollout.agent.num_workers = 1
reward.num_workers = 1
transfer_queue.backend.SimpleStorage.num_data_storage_units = 1
ray_kwargs.ray_init.num_cpus = 12
"+ray_kwargs.ray_init.num_gpus" = 2
"+ray_kwargs.ray_init.include_dashboard" = false
"""

ENVIRONMENT = {
    "PYTHONPATH": str(Path(__file__).parent),
    "VERL_USE_EXTERNAL_MODULES": "verl_on_cpu",
    "VERL_PLATFORM": "cpu",
    "VERL_ENGINE_DEVICE": "cuda",
    "OMP_NUM_THREADS": "1",
    "HF_HUB_OFFLINE": "1",
    "WANDB_MODE": "disabled",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_DEDUP_LOGS": "0",
    "RAY_prestart_worker_first_driver": "0",
    "RAY_worker_niceness": "0",
}


def write_inputs(folder: Path) -> Path:
    """The model, the data and the catalogue in ``folder``; the recipe that names them."""
    save_policy(taught_policy(), folder / "model")
    prepare(iter(cases(40)), folder / "data", split="random", seed=0, template=SHORT)
    build(facts(), folder / "catalogue.sqlite")
    recipe = folder / "toy.toml"
    recipe.write_text(RECIPE.format(folder=folder), encoding="utf-8")
    return recipe


def cases(count: int) -> list[Case]:
    signs = list(SIGNS)
    return [
        Case(f"case-{i}", "made", f"article-{i}", f"Patient {i} has {signs[i % 4]}.", (FORMAL[SIGNS[signs[i % 4]]],))
        for i in range(count)
    ]


def facts() -> Iterator[Fact]:
    for number, (common, formal) in enumerate(FORMAL.items()):
        yield Named(f"ORPHA:{900 + number}", formal, Scope.PREFERRED)
        yield Named(f"ORPHA:{900 + number}", common, Scope.EXACT)


def taught_policy(batches: int = 200) -> Policy:
    """Holds the form, and is right about two times in three: the rest is for reinforcement learning."""
    names = list(SIGNS.values())
    examples: list[Example] = [
        (build_chat(case, SHORT), render("sign", names[0] if i % 4 == 3 else names[i % 4]))
        for i, case in enumerate(cases(200))
    ]
    policy = raw_policy([fill(SHORT, case.text) for case in cases(40)] + [target for _, target in examples])
    return teach(policy, examples, batches)


def raw_policy(texts: list[str]) -> Policy:
    tokenizer = tiny.train_tokenizer(texts, 400)
    shape = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=80,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        max_position_embeddings=256,
        initializer_range=0.05,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return Policy(models.prepare(LlamaForCausalLM(shape)), tokenizer, "toy")
