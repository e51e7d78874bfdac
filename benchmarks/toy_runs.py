"""Whole runs, small: a model of 30 thousand parameters that half knows four diseases, in processes that can be killed.

A fork server that has imported the training code once starts each process, so that a run costs no imports. For the
benchmarks and the tests of whole runs.
"""

from __future__ import annotations

import json
import multiprocessing
import os
from collections.abc import Callable, Sequence
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from diagnosis_zero import config, experiment
from diagnosis_zero.cases.prepare import prepare
from diagnosis_zero.engine import tiny
from diagnosis_zero.engine.model import Policy
from diagnosis_zero.parsing import render
from diagnosis_zero.prompts import SHORT, build_chat, fill
from diagnosis_zero.recipe import Recipe
from diagnosis_zero.train.view import View
from diagnosis_zero.train.warmstart import Example, warm_start
from diagnosis_zero.types import Case

SIGNS = {"stiff joints": "Gout", "a rash": "Lupus", "long fingers": "Marfan syndrome", "pale lips": "Anemia"}
"""A patient's one sign, and the disease that it means."""

_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(
    [
        "diagnosis_zero.experiment",
        "diagnosis_zero.train.loop",
        "diagnosis_zero.evaluate.run",
        "transformers.models.qwen2.modeling_qwen2",
    ]
)


def toy_cases(count: int = 40) -> list[Case]:
    signs = list(SIGNS)
    return [
        Case(f"case-{i}", "made", f"article-{i}", f"Patient {i} has {signs[i % 4]}.", (SIGNS[signs[i % 4]],))
        for i in range(count)
    ]


def toy_examples() -> list[Example]:
    """Right three times in four: what is left is for reinforcement learning."""
    names = list(SIGNS.values())
    return [
        (build_chat(case, SHORT), render("sign", names[0] if i % 4 == 3 else case.names[0]))
        for i, case in enumerate(toy_cases(200))
    ]


def raw_policy(seed: int = 0, window: int = 256) -> Policy:
    """The toy model from random weights."""
    texts = [fill(SHORT, case.text) for case in toy_cases()] + [target for _, target in toy_examples()]
    return tiny.build(texts, seed=seed, vocabulary=400, hidden=32, layers=2, heads=2, window=window)


def taught_policy(batches: int = 60) -> Policy:
    """The toy model once it holds the form."""
    return teach(raw_policy(), toy_examples(), batches)


def teach(
    policy: Policy, examples: Sequence[Example], batches: int, *, batch_size: int = 16, lr: float = 1e-2, seed: int = 0
) -> Policy:
    """The policy after a warm start on the examples."""
    warm_start(
        policy,
        examples,
        batches=batches,
        batch_size=batch_size,
        lr=lr,
        seed=seed,
        token_budget=4096,
        on_batch=lambda batch, loss: None,
    )
    return policy


def save_policy(policy: Policy, folder: Path) -> Path:
    """The model folder that a recipe can name."""
    policy.model.save_pretrained(folder)
    policy.tokenizer.save_pretrained(folder)
    return folder


def write_inputs(folder: Path, policy: Policy) -> None:
    """What a recipe of ``toy_recipe`` names: a model folder and a data folder."""
    save_policy(policy, folder / "model")
    prepare(iter(toy_cases()), folder / "data", split="random", seed=0, template=SHORT)


RECIPE = """
[model]
id = "{inputs}/model"
dtype = "float32"
[data]
folder = "{inputs}/data"
max_prompt_tokens = 64
[prompt]
template = "short"
[reward]
method = "sequence"
[rollout]
prompts = 4
group = 4
max_tokens = 20
[train]
steps = 20
lr = 1e-3
warmup = 3
kl_coefficient = 0.01
micro_batch_tokens = 256
[eval]
every = 4
cases = 4
[checkpoint]
every = 4
[guard]
on_collapse = "warn"
[run]
name = "toy"
dir = "{runs}"
"""


def toy_recipe(inputs: Path, runs: Path, *overrides: str) -> Recipe:
    """Twenty steps on the toy cases, saved and validated every fourth."""
    path = runs / "toy.toml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(RECIPE.format(inputs=inputs, runs=runs), encoding="utf-8")
    return config.load(path, overrides)


def start(work: Callable[..., None], recipe: Recipe, **keywords: Any) -> BaseProcess:
    """``work(recipe, console, **keywords)`` in a process of its own; ``output`` holds what it prints."""
    process = _CONTEXT.Process(target=_in_process, args=(work, recipe, keywords))
    process.start()
    return process


def _in_process(work: Callable[..., None], recipe: Recipe, keywords: dict[str, Any]) -> None:
    torch.set_num_threads(1)
    with output(recipe).open("a", encoding="utf-8", buffering=1) as out:
        os.dup2(out.fileno(), 2)  # a traceback belongs to the output too
        work(recipe, Console(file=out, highlight=False, soft_wrap=True), **keywords)


def output(recipe: Recipe) -> Path:
    return Path(recipe.run.dir) / f"{recipe.run.name}.out"


def run_whole(recipe: Recipe, console: Console, *, resume: bool = False) -> None:
    """Train, evaluate, report, as ``dz train`` does."""
    experiment.run(recipe, resume=resume, view=View(console))


def rows(recipe: Recipe) -> list[dict[str, Any]]:
    """The lines of ``metrics.jsonl`` that are whole."""
    path = recipe.run.folder / "metrics.jsonl"
    text = path.read_text(encoding="utf-8") if path.is_file() else ""
    return [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]


def without_times(recipe: Recipe) -> list[dict[str, Any]]:
    """The metrics that must not depend on when and where."""
    return [{key: value for key, value in row.items() if not key.startswith("time/")} for row in rows(recipe)]
