"""What would stop verl, found without it; and what its log says when it has stopped."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Callable
from importlib import util
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from diagnosis_zero.errors import InputError
from diagnosis_zero.scale import preflight, process

psutil = pytest.importorskip("psutil", reason="needs psutil (extra verl or train)")


def test_verl_missing_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"needs the package verl.*diagnosis-zero\[verl\]"):
        preflight.need_verl()


def complaint(check: Callable[[], None]) -> str:
    """What it refuses; nothing where it lets pass."""
    try:
        check()
    except InputError as error:
        return str(error)
    return ""


@pytest.mark.parametrize(
    ("version", "supported"),
    [("0.8.0", False), ("0.9.0", True), ("0.9.1", True), ("0.9.12.dev3", True), ("0.10.0", False), ("1.0.0", False)],
)
def test_which_verl_is_supported(monkeypatch: pytest.MonkeyPatch, version: str, supported: bool) -> None:
    monkeypatch.setattr(util, "find_spec", lambda name: name)
    monkeypatch.setattr(preflight.metadata, "version", lambda name: version)
    said = complaint(preflight.need_verl)
    assert said == "" if supported else f"verl {version} is installed" in said


@pytest.mark.parametrize(
    ("nodes", "each", "found", "told"),
    [
        (1, 8, [4.0], "1 node.s. with 4 GPUs"),
        (2, 8, [8.0, 4.0], "2 node.s. with 8, 4 GPUs"),
        (2, 8, [16.0], "1 node.s. with 16 GPUs"),  # GPUs enough, nodes not
        (1, 1, [], "no node"),
    ],
)
def test_too_few_gpus(nodes: int, each: int, found: list[float], told: str) -> None:
    with pytest.raises(InputError, match=told) as caught:
        preflight.enough_gpus(nodes, each, found)
    assert "verl.trainer.nnodes" in caught.value.mend


def test_gpus_enough() -> None:
    assert complaint(lambda: preflight.enough_gpus(2, 8, [8.0, 0.0, 8.0])) == ""  # a head node without GPUs
    assert complaint(lambda: preflight.enough_gpus(2, 8, [8.0, 0.0, 7.0])) != ""


def config(prompts: int, group: int, gpus: int, tensor_parallel: int = 1) -> Any:
    actor = SimpleNamespace(ppo_mini_batch_size=prompts)
    rollout = SimpleNamespace(n=group, tensor_model_parallel_size=tensor_parallel)
    trainer = SimpleNamespace(nnodes=1, n_gpus_per_node=gpus)
    return SimpleNamespace(trainer=trainer, actor_rollout_ref=SimpleNamespace(actor=actor, rollout=rollout))


def test_an_update_is_divided_among_the_gpus() -> None:
    assert complaint(lambda: preflight.divides(config(8, 16, 8))) == ""
    assert "9 completions of an update do not divide among 8 GPUs" in complaint(
        lambda: preflight.divides(config(3, 3, 8))
    )
    assert "tensor-parallel size of 3" in complaint(lambda: preflight.divides(config(8, 16, 8, tensor_parallel=3)))


def test_a_cluster_that_answers_and_one_that_does_not() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        preflight._answers(f"127.0.0.1:{port}")
        preflight._answers(f"ray://127.0.0.1:{port}")
    with pytest.raises(InputError, match="no Ray cluster answers at") as caught:
        preflight._answers(f"127.0.0.1:{port}")
    assert "RAY_ADDRESS" in caught.value.mend


# --- the process


FAMILY = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
print(child.pid, flush=True)
time.sleep(600)
"""


def test_stopping_takes_the_whole_family_along(tmp_path: Path) -> None:
    """Also a child in a session of its own, as Ray's are."""
    running = process.start([sys.executable, "-c", FAMILY], tmp_path / "log", {})
    while not (tmp_path / "log").read_text().endswith("\n"):
        assert running.look() is None
    child = psutil.Process(int((tmp_path / "log").read_text()))
    process.stop(running, grace=10)
    assert running.process.returncode is not None
    assert not child.is_running() or child.status() == psutil.STATUS_ZOMBIE


@pytest.mark.skipif(sys.platform != "linux", reason="by a signal that Linux alone has")
def test_it_ends_when_the_process_that_follows_it_is_killed(tmp_path: Path) -> None:
    code = (
        "import sys, time\nfrom pathlib import Path\nfrom diagnosis_zero.scale import process\n"
        "sleeper = [sys.executable, '-c', 'import time; time.sleep(600)']\n"
        f"print(process.start(sleeper, Path({str(tmp_path / 'log')!r}), {{}}).process.pid, flush=True)\n"
        "time.sleep(600)\n"
    )
    follower = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert follower.stdout is not None
    sleeper = psutil.Process(int(follower.stdout.readline()))
    follower.kill()
    follower.wait()
    follower.stdout.close()
    psutil.wait_procs([sleeper], timeout=30)
    assert not sleeper.is_running()


LOG = """\x1b[36m(RewardLoopWorker pid=7)\x1b[0m Error in _run_prompt: x
\x1b[36m(RewardLoopWorker pid=7)\x1b[0m diagnosis_zero.errors.InputError: ground truth from 'made' is odd. Mend it.
ray.exceptions.RayTaskError(RuntimeError): ray::TaskRunner.run()
RuntimeError: no trajectories
"""


def test_the_log_says_why(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text(LOG)
    assert process.ours(log) == process.reason(log) == "ground truth from 'made' is odd. Mend it."
    log.write_text(LOG.splitlines()[-1])
    assert process.ours(log) == ""
    assert process.reason(log) == "RuntimeError: no trajectories"
    log.write_text("killed")
    assert "no exception" in process.reason(log)
