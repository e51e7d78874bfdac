"""metrics.jsonl survives a kill, keeps every row, and feeds the sinks that are asked for."""

from __future__ import annotations

import contextlib
import json
import math
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from diagnosis_zero.errors import InputError
from diagnosis_zero.parsing import FAULTS
from diagnosis_zero.rewards import build_reward
from diagnosis_zero.train import guard
from diagnosis_zero.train.loss import LossInputs, LossSettings, mean_metrics, policy_loss
from diagnosis_zero.train.metrics import FILE, SINKS, MetricsLog, best_step, read, series
from diagnosis_zero.train.observe import rollout_metrics, validation_metrics
from diagnosis_zero.types import Case, Completion, Group


def test_rows_are_on_disk_as_they_are_written(tmp_path: Path) -> None:
    with MetricsLog(tmp_path) as log:
        log.write(1, "train", {"reward/mean": 0.25, "length/mean": 30.0})
        assert read(tmp_path / FILE) == [{"step": 1, "kind": "train", "reward/mean": 0.25, "length/mean": 30.0}]
        log.event(1, "skipped", "the gradient was not finite; «1» Schritt übersprungen")
        log.sync()
    rows = read(tmp_path / FILE)
    assert rows == log.rows
    assert rows[1]["message"].endswith("Schritt übersprungen")


def test_log_goes_on_where_it_was(tmp_path: Path) -> None:
    with MetricsLog(tmp_path) as log:
        log.write(1, "train", {"reward/mean": 0.25})
    with MetricsLog(tmp_path) as log:
        assert [row["step"] for row in log.rows] == [1]
        log.write(2, "train", {"reward/mean": 0.5})
    assert series(read(tmp_path / FILE), "reward/mean") == [(1, 0.25), (2, 0.5)]


@given(st.data())
def test_line_torn_anywhere_costs_that_line_alone(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    run = tmp_path_factory.mktemp("torn")
    with MetricsLog(run) as log:
        for step in range(3):
            log.write(step, "train", {"reward/mean": step / 4})
    content = (run / FILE).read_bytes()
    cut = data.draw(st.integers(0, len(content)))
    (run / FILE).write_bytes(content[:cut])
    whole = content[:cut].count(b"\n")
    assert len(read(run / FILE)) == whole
    with MetricsLog(run) as log:
        log.write(9, "train", {})
    assert [row["step"] for row in read(run / FILE)] == [*range(whole), 9]


def test_kill_loses_no_row_that_was_written(tmp_path: Path) -> None:
    code = (
        "import os, pathlib, signal\n"
        "from diagnosis_zero.train.metrics import MetricsLog\n"
        f"log = MetricsLog(pathlib.Path({str(tmp_path)!r}))\n"
        "for step in range(100): log.write(step, 'train', {'x': 1.0})\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], check=False)
    assert done.returncode == -9
    assert len(read(tmp_path / FILE)) == 100


def test_what_is_not_finite_is_null_in_the_file_and_nan_when_read(tmp_path: Path) -> None:
    with MetricsLog(tmp_path) as log:
        log.write(1, "train", {"policy/kl": math.nan, "policy/loss": math.inf})
    line = (tmp_path / FILE).read_text(encoding="utf-8")
    assert json.loads(line, parse_constant=pytest.fail)["policy/kl"] is None
    row = read(tmp_path / FILE)[0]
    assert math.isnan(row["policy/kl"])
    assert math.isnan(row["policy/loss"])


@pytest.mark.parametrize("line", ["not json", "[1]", '{"kind": "train"}', '{"step": "1", "kind": "train"}'])
def test_broken_line_in_the_middle_names_file_and_line(tmp_path: Path, line: str) -> None:
    path = tmp_path / FILE
    path.write_text(f'{{"step": 1, "kind": "train"}}\n{line}\n{{"step": 2, "kind": "train"}}\n', encoding="utf-8")
    with pytest.raises(InputError) as caught:
        read(path)
    assert f"{path}:2" in str(caught.value)


def test_best_step() -> None:
    rows = [
        {"step": 0, "kind": "val", "val/accuracy": 0.2},
        {"step": 10, "kind": "val", "val/accuracy": 0.5},
        {"step": 20, "kind": "val", "val/accuracy": 0.5},
        {"step": 30, "kind": "val", "val/accuracy": math.nan},
        {"step": 30, "kind": "train", "reward/mean": 0.9},
    ]
    assert best_step(rows) == 10  # the earliest of equals; what is not a number is no score
    assert best_step(rows, among={0, 20, 30}) == 20
    assert best_step(rows[4:]) is None


def test_tensorboard_reads_what_was_written(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    code = (
        "import pathlib\n"
        "from diagnosis_zero.train.metrics import MetricsLog\n"
        f"run = pathlib.Path({str(tmp_path)!r})\n"
        "for steps in (range(1, 4), range(4, 6)):\n"  # a run and its resume
        "    with MetricsLog(run, ['tensorboard']) as log:\n"
        "        for step in steps: log.write(step, 'train', {'reward/mean': step / 8})\n"
        "        log.event(step, 'rewind', 'from 5 to 4')\n"
        "from tensorboard.backend.event_processing.event_accumulator import EventAccumulator\n"
        "events = EventAccumulator(str(run / 'tensorboard')); events.Reload()\n"
        "print([(e.step, e.value) for e in events.Scalars('reward/mean')])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == str([(step, step / 8) for step in range(1, 6)]), done.stderr


def test_wandb_writes_its_offline_run_without_network_and_leaves_nothing_behind(tmp_path: Path) -> None:
    pytest.importorskip("wandb")
    run, home = tmp_path / "run", tmp_path / "home"
    home.mkdir()
    code = (
        "import pathlib\n"
        "from diagnosis_zero.train.metrics import MetricsLog\n"
        f"with MetricsLog(pathlib.Path({str(run)!r}), ['wandb']) as log:\n"
        "    log.write(1, 'train', {'reward/mean': 0.25})\n"
        "    log.event(1, 'rewind', 'from 5 to 4')\n"
        "    log.write(1, 'val', {'val/accuracy': 0.5})\n"
    )
    # wandb's caches and logs go to the home folder
    environment = {**os.environ, "WANDB_MODE": "offline", "WANDB_SILENT": "true", "HOME": str(home)}
    command = [*without_network(), sys.executable, "-c", code]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, cwd=home)
    assert done.returncode == 0, done.stderr
    kept = (run / "wandb" / "run-id.txt").read_text(encoding="utf-8")
    assert kept.startswith("run-")  # the folder's name, and drawn digits: another run of that name is another run
    assert kept != "run-"
    (record,) = run.glob(f"wandb/offline-run-*-{kept}/*.wandb")
    content = record.read_bytes()
    assert b"reward/mean" in content
    assert b"val/accuracy" in content
    assert not (home / "wandb").exists()  # nothing in the folder that the run was started in
    assert outliving("HOME", str(home)) == []
    subprocess.run(command, env=environment, check=True, cwd=home)  # resumed
    assert {path.name.split("-", 3)[3] for path in run.glob("wandb/offline-run-*")} == {kept}


def without_network() -> list[str]:
    """A prefix that takes the network away, where the system allows it."""
    prefix = ["unshare", "--map-root-user", "--net"]
    allowed = shutil.which("unshare") and subprocess.run([*prefix, "true"], capture_output=True, check=False)
    return prefix if allowed and allowed.returncode == 0 else []


def outliving(name: str, value: str) -> list[object]:
    """Processes whose environment has this variable, and that do not end of themselves."""
    psutil = pytest.importorskip("psutil")
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.environ().get(name) == value:
                found.append(process)
    return list(psutil.wait_procs(found, timeout=60)[1])


@pytest.mark.parametrize("sink", sorted(SINKS))
def test_missing_package_is_named_with_the_extra(tmp_path: Path, sink: str) -> None:
    # the packages are hidden in a process of their own, as on a machine that has not installed them
    code = (
        "import pathlib, sys\n"
        "sys.modules['tensorboard'] = sys.modules['wandb'] = None\n"
        "from diagnosis_zero.errors import InputError\n"
        "from diagnosis_zero.train.metrics import MetricsLog\n"
        f"try: MetricsLog(pathlib.Path({str(tmp_path)!r}), [{sink!r}])\n"
        "except InputError as error: print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "pip install 'diagnosis-zero[train]'" in done.stdout, done.stderr
    assert f"'{sink}'" in done.stdout


def test_without_sinks_nothing_heavy_is_loaded() -> None:
    code = "import sys, diagnosis_zero.train.metrics; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def written_metrics() -> set[str]:
    """What a step and a look at the validation cases really write, from one made-up group."""
    case = Case("c", "made", "c", "A boy with long fingers.", ("Marfan syndrome",))
    texts = ("<think>Long fingers.</think><answer>Marfan syndrome</answer>", "no form at all")
    reward = build_reward(method="sequence")
    completions = tuple(Completion(text, "stop", token_ids=(1, 2, 3)) for text in texts)
    groups = [Group(case, (1,), completions, tuple(reward(text, case) for text in texts))]
    one = torch.ones(1)
    inputs = LossInputs(one, one, one, torch.zeros(1, dtype=torch.int64), one, one, one, one)
    return {
        *rollout_metrics(groups, False),
        *validation_metrics(groups, groups, False),
        *mean_metrics([policy_loss(inputs, LossSettings()).sums]),
        *(
            "policy/grad_norm",
            "policy/skipped",
            "policy/step_kl",
            "policy/lr",
            "time/rollout",
            "time/update",
            "time/step",
        ),
    }


def test_every_metric_is_explained() -> None:
    text = (Path(__file__).resolve().parents[2] / "docs" / "metrics.md").read_text(encoding="utf-8")
    explained = set(re.findall(r"`([a-z]+/[a-z_]+)`", text))
    faults = {f"format/{fault}" for fault in FAULTS}
    assert "`format/<fault>`" in text
    assert written_metrics() - faults - explained == set()
    watched = set(re.findall(r'"([a-z]+/[a-z_]+)"', Path(guard.__file__).read_text(encoding="utf-8")))
    assert "val/accuracy" in watched
    assert watched - explained == set()
