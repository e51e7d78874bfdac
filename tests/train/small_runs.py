"""Whole runs, small: a model of 30 thousand parameters that half knows four diseases, in processes that can be killed.

A fork server that has imported the training code once starts each process, so that a run costs no imports.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from diagnosis_zero import config, experiment
from diagnosis_zero.cases.prepare import prepare
from diagnosis_zero.config import Recipe
from diagnosis_zero.engine import tiny
from diagnosis_zero.engine.model import Policy
from diagnosis_zero.parsing import render
from diagnosis_zero.prompts import SHORT, build_chat, fill
from diagnosis_zero.train.view import View
from diagnosis_zero.train.warmstart import Example, warm_start
from diagnosis_zero.types import Case

SIGNS = {"stiff joints": "Gout", "a rash": "Lupus", "long fingers": "Marfan syndrome", "pale lips": "Anemia"}
"""A patient's one sign, and the disease that it means."""
DEADLINE = 1200.0
"""Seconds after which a process that does not end is a failure (it takes a few, on a machine that is free)."""

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


def raw_policy(seed: int = 0) -> Policy:
    """The toy model from random weights."""
    texts = [fill(SHORT, case.text) for case in toy_cases()] + [target for _, target in toy_examples()]
    return tiny.build(texts, seed=seed, vocabulary=400, hidden=32, layers=2, heads=2, window=256)


def taught_policy(batches: int = 60) -> Policy:
    """The toy model once it holds the form."""
    policy = raw_policy()
    warm_start(
        policy,
        toy_examples(),
        batches=batches,
        batch_size=16,
        lr=1e-2,
        seed=0,
        token_budget=2048,
        on_batch=lambda batch, loss: None,
    )
    return policy


def write_inputs(folder: Path, policy: Policy) -> None:
    """What a recipe of ``toy_recipe`` names: a model folder and a data folder."""
    policy.model.save_pretrained(folder / "model")
    policy.tokenizer.save_pretrained(folder / "model")
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


def run_killed(recipe: Recipe, console: Console, *, event: str, path: str) -> None:
    """The same, up to a happening (see ``kill_on``)."""
    kill_on(event, path)
    run_whole(recipe, console)


def run_signalled(recipe: Recipe, console: Console, *, at: int, number: int = signal.SIGKILL, times: int = 1) -> None:
    """The same, with a signal after step ``at``."""
    experiment.run(recipe, view=Interrupting(console, at=at, number=number, times=times))


def finish(process: BaseProcess, recipe: Recipe, exit_code: int = 0) -> str:
    """Wait for the end of a process that is to end so; what it printed."""
    process.join(DEADLINE)
    printed = output(recipe).read_text(encoding="utf-8")
    assert process.exitcode == exit_code, printed
    return printed


def kill_on(event: str, path: str) -> None:
    """This process dies when it is about to do something to a file: ``event`` is an audit event of Python (open,
    os.mkdir, os.rename), ``path`` a part of the file's name."""

    def watch(happening: str, arguments: tuple[object, ...]) -> None:
        if happening == event and any(path in os.fspath(a) for a in arguments if isinstance(a, str | os.PathLike)):
            os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(watch)


@dataclass(slots=True)
class Interrupting(View):
    """Sends a signal to its own process when step ``at`` has its line in ``metrics.jsonl``."""

    at: int = 0
    number: int = signal.SIGKILL
    times: int = 1

    def step(self, step: int, total: int, metrics: Mapping[str, float]) -> None:
        View.step(self, step, total, metrics)
        for _ in range(self.times if step == self.at else 0):
            os.kill(os.getpid(), self.number)


def rows(recipe: Recipe) -> list[dict[str, Any]]:
    """The lines of ``metrics.jsonl`` that are whole."""
    path = recipe.run.folder / "metrics.jsonl"
    text = path.read_text(encoding="utf-8") if path.is_file() else ""
    return [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]


def without_times(recipe: Recipe) -> list[dict[str, Any]]:
    """The metrics that must not depend on when and where."""
    return [{key: value for key, value in row.items() if not key.startswith("time/")} for row in rows(recipe)]
