"""Real runs: Ray, verl, two FSDP2 ranks over gloo, our data, our reward with a catalogue, `dz` as a person calls it.

By `make test-verl`, in an environment that has verl. No test may leave a process or a piece of shared memory behind.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from importlib import util
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import pyarrow.parquet as pq
import pytest
import torch
import typer
from small_verl import ENVIRONMENT, SIGNS, write_inputs
from typer.testing import CliRunner

from diagnosis_zero.cli import train as command
from diagnosis_zero.errors import InputError

psutil = pytest.importorskip("psutil")
if util.find_spec("verl") is None:
    pytest.skip("needs verl: make test-verl", allow_module_level=True)
os.environ.update(ENVIRONMENT)  # verl reads it when it is imported

from transformers import AutoModelForCausalLM  # noqa: E402

pytestmark = pytest.mark.verl
DEADLINE = 1500.0
"""Seconds that anything may take on a busy machine before it is a failure (a run takes about 90 on a free one)."""
SHARED_MEMORY = Path("/dev/shm")


@pytest.fixture(scope="session")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_inputs(tmp_path_factory.mktemp("verl"))


@pytest.fixture(autouse=True)
def shared_memory_as_it_was() -> Iterator[None]:
    """What verl and Ray put there is memory that stays taken until the machine starts again."""
    before = set(SHARED_MEMORY.iterdir())
    yield
    new = set(SHARED_MEMORY.iterdir()) - before
    left = [path for path in new if path.name.startswith(("psm_", "verl_weights_", "plasma", "sem."))]
    for path in left:
        path.unlink(missing_ok=True)
    assert not left


def start(recipe: Path, *words: str, **more: str) -> subprocess.Popen[str]:
    """In the process group of the tests, so that the clock over them ends it too."""
    environment = {**os.environ, **ENVIRONMENT, "DZ_CACHE": str(recipe.parent / "cache"), **more}
    return subprocess.Popen(
        [sys.executable, "-m", "diagnosis_zero.cli", *words],
        env=environment,
        cwd=_workplace(recipe),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def _workplace(recipe: Path) -> Path:
    """Where a person stands who calls `dz`: nothing may be left there."""
    place = recipe.parent / "workplace"
    place.mkdir(exist_ok=True)
    return place


def train(recipe: Path, *words: str, **more: str) -> subprocess.Popen[str]:
    return start(recipe, "train", str(recipe), "--engine", "verl", *words, **more)


def finish(process: subprocess.Popen[str], status: int = 0) -> str:
    printed, _ = process.communicate(timeout=DEADLINE)
    assert process.returncode == status, printed
    return printed


def wait_for(path: Path, process: subprocess.Popen[str]) -> None:
    end = time.monotonic() + DEADLINE
    while not path.exists():
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < end, f"{path} did not appear"
        time.sleep(0.2)


def family(process: subprocess.Popen[str]) -> list[Any]:
    return psutil.Process(process.pid).children(recursive=True)


def all_gone(processes: list[Any]) -> bool:
    """Within the time that verl is given to shut Ray down; what is left is killed, and is a failure."""
    _, left = psutil.wait_procs(processes, timeout=120)
    for process in left:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    return not left


def rows(run: Path, kind: str) -> list[dict[str, Any]]:
    lines = (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    return [row for row in map(json.loads, lines) if row["kind"] == kind]


def test_a_run_is_killed_resumed_evaluated_and_reported(recipe: Path) -> None:
    run = recipe.parent / "runs" / "toy"
    longer = ("--set", "train.steps=5")

    process = train(recipe, *longer)
    wait_for(run / "verl" / "checkpoints" / "latest_checkpointed_iteration.txt", process)  # of step 2
    started = family(process)
    process.kill()
    process.communicate()
    assert all_gone(started)

    with_same_name = finish(train(recipe, *longer), status=2)
    assert "a run of this name exists" in with_same_name
    printed = finish(train(recipe, *longer, "--resume"))
    assert re.search("resuming from step [24]$", printed, re.MULTILINE)
    assert printed.splitlines()[-1] == str(run / "report.html")

    steps = rows(run, "train")
    lost = [row["step"] for row in rows(run, "event")]  # the step that verl had saved, but not told of, when it died
    assert sorted([row["step"] for row in steps] + lost) == [1, 2, 3, 4, 5]
    assert len(lost) <= 1
    assert [row["step"] for row in rows(run, "val")] == [0, 2, 4, 5]
    assert {row["event"] for row in rows(run, "event")} <= {"lost"}  # no score of verl's workers that is not ours
    assert max(row["reward/accuracy"] for row in steps) > 0  # by the catalogue alone: see small_verl
    for name in ("reward/mean", "reward/format", "policy/grad_norm", "policy/kl", "policy/entropy", "time/step"):
        assert all(name in row for row in steps), name
    assert all(row["policy/mismatch_kl"] < 1e-4 for row in steps)

    for step in (row["step"] for row in steps):
        written = pq.read_table(run / "rollouts" / f"step-{step:06d}.parquet").to_pylist()
        assert len(written) == 16
        assert len({row["case_id"] for row in written}) == 4
        assert all(row["answer"] in {*SIGNS.values(), None} or row["part_accuracy"] == 0 for row in written)
    for step in (2, 4, 5):
        AutoModelForCausalLM.from_pretrained(run / "checkpoints" / f"step-{step:06d}")
    manifest = json.loads((run / "manifest.json").read_text(encoding="utf-8"))
    assert (manifest["engine"], manifest["versions"]["verl"][:3]) == ("verl", "0.9")

    finish(start(recipe, "evaluate", str(run), "--cases", str(recipe.parent / "data"), "--steps", "ends"))
    for step in (0, 5):  # of step 0 no checkpoint stands: the model itself
        assert (run / "evaluations" / f"step-{step:06d}" / "verdicts.jsonl").is_file()
    finish(start(recipe, "report", str(run), "--out", str(run / "report.html")))
    assert (run / "report.html").stat().st_size > 10_000


def test_a_reward_that_raises_stops_the_run_and_leaves_no_actor(recipe: Path) -> None:
    """The first case is as it must be, so that only the workers meet the broken ones."""
    data = recipe.parent / "broken"
    data.mkdir()
    for name in ("cases.jsonl", "val.parquet", "manifest.json"):
        (data / name).write_bytes((recipe.parent / "data" / name).read_bytes())
    table = pq.read_table(recipe.parent / "data" / "train.parquet")
    broken = table.to_pylist()
    for row in broken[1:]:
        row["reward_model"]["ground_truth"] = "{}"
    pq.write_table(type(table).from_pylist(broken, schema=table.schema), data / "train.parquet")

    process = train(recipe, "--set", f"data.folder={data}", "--set", "run.name=broken")
    wait_for(recipe.parent / "runs" / "broken" / "verl" / "validation", process)
    started = family(process)
    printed = finish(process, status=2)
    assert "ground truth from 'made' without a list of names" in printed
    assert "Traceback" not in printed
    assert all_gone(started)


def test_a_signal_stops_a_run_with_lora_and_what_it_saved_is_merged(recipe: Path) -> None:
    run = recipe.parent / "runs" / "stopped"
    settings = ("run.name=stopped", "lora.rank=4", 'lora.targets=["q_proj", "up_proj"]', "train.lr=1e-2")
    longer = ("train.steps=100", "checkpoint.every=1", "eval.every=100")
    moving = ("train.entropy_coefficient=0.1",)  # a gradient, also where every group of the first step is of one reward
    process = train(recipe, *(word for text in (*settings, *longer, *moving) for word in ("--set", text)))
    wait_for(run / "verl" / "checkpoints" / "latest_checkpointed_iteration.txt", process)
    started = family(process)
    process.send_signal(signal.SIGTERM)
    assert "go on with --engine verl --resume" in finish(process)
    assert all_gone(started)

    before = AutoModelForCausalLM.from_pretrained(recipe.parent / "model", dtype="bfloat16").state_dict()
    after = AutoModelForCausalLM.from_pretrained(max((run / "checkpoints").iterdir())).state_dict()
    changed = {name.split(".")[-2] for name in before if not torch.equal(before[name], after[name])}
    assert changed == {"q_proj", "up_proj"}


@pytest.mark.slow
def test_twenty_steps_end_in_the_same_band_on_both_engines(recipe: Path) -> None:
    """Accuracy over the last five of twenty steps, three seeds an engine: the 95 % intervals of the means overlap.
    (The engines draw their samples and order their cases differently, so no two runs are alike.)"""
    ends: dict[str, list[float]] = {"local": [], "verl": []}
    for engine, found in ends.items():
        for seed in (0, 1, 2):
            name = f"{engine}-{seed}"
            sets = ("train.steps=20", "train.lr=2e-3", "eval.every=20", "checkpoint.every=20", f"run.seed={seed}")
            words = [word for text in (*sets, f"run.name={name}") for word in ("--set", text)]
            finish(start(recipe, "train", str(recipe), "--engine", engine, *words))
            steps = rows(recipe.parent / "runs" / name, "train")
            assert [row["step"] for row in steps] == list(range(1, 21))
            found.append(fmean(row["reward/accuracy"] for row in steps[-5:]))
    print(ends)
    (low_local, high_local), (low_verl, high_verl) = (interval(found) for found in ends.values())
    assert low_local <= high_verl, ends
    assert low_verl <= high_local, ends


def interval(three: list[float]) -> tuple[float, float]:
    """Student's, two degrees of freedom."""
    half = 4.303 * stdev(three) / math.sqrt(3)
    return fmean(three) - half, fmean(three) + half


# --- before Ray starts


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("verl.trainer.n_gpus_per_node=4", "wants 1 node.s. of 4 GPUs, there is 1 node.s. with 2 GPUs"),
        ("verl.trainer.nnodes=2", "wants 2 node.s. of 2 GPUs"),
        ("rollout.prompts=3", "completions of an update do not divide"),
        ("verl.trainer.no_such_key=1", "no_such_key"),
        ("verl.actor_rollout_ref.rollout.name=vllm", "vllm, which is not installed"),
        ("train.optimizer=adamw8bit", "torchao.optim, which is not installed"),
        ("reward.catalogue=nowhere.sqlite", "nowhere.sqlite"),
        ("prompt.template=diagnosis", "not of the recipe's template"),
        ("train.overlong=mask", "verl cannot do this recipe"),
    ],
)
def test_bad_input_stops_before_ray(recipe: Path, setting: str, message: str) -> None:
    app = typer.Typer()
    app.callback()(lambda: None)
    command.register(app)
    name = f"bad-{abs(hash(setting))}"
    sets = [setting, f"run.name={name}", *(["rollout.group=3"] if "prompts" in setting else [])]
    words = [word for text in sets for word in ("--set", text)]
    with pytest.raises(InputError, match=message):
        CliRunner().invoke(app, ["train", str(recipe), "--engine", "verl", *words], catch_exceptions=False)
    assert not (recipe.parent / "runs" / name / "verl" / "output-from-000000.log").exists()


def test_a_cluster_that_does_not_answer(recipe: Path) -> None:
    printed = finish(train(recipe, "--set", "run.name=alone", RAY_ADDRESS="127.0.0.1:1"), status=2)
    assert "no Ray cluster answers at 127.0.0.1:1" in printed


def test_the_dry_run_prints_the_command_and_writes_nothing(recipe: Path) -> None:
    printed = finish(train(recipe, "--set", "run.name=dry", "--dry-run"))
    assert "python -m verl.trainer.main_ppo data.train_files=" in printed.replace("'", "")
    assert not (recipe.parent / "runs" / "dry").exists()
