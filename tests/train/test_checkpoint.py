"""A checkpoint is there whole or not at all, whatever happens while it is written, and a torn one is told."""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from diagnosis_zero import records
from diagnosis_zero.errors import InputError
from diagnosis_zero.train import checkpoint


def weights(value: float) -> Callable[[Path], None]:
    def save_model(folder: Path) -> None:
        save_file({"w": torch.full((100,), value)}, folder / "model.safetensors")
        (folder / "config.json").write_text("{}", encoding="utf-8")

    return save_model


def save(run: Path, step: int) -> Path:
    state = {"step": step, "rng": torch.arange(5), "optimizer": {"state": {0: {"exp_avg": torch.ones(3)}}}}
    return checkpoint.save(run, step, weights(float(step)), state)


def no_warning(message: str) -> None:
    raise AssertionError(f"unexpected warning: {message}")


def test_saved_state_comes_back_and_the_model_is_a_plain_folder(tmp_path: Path) -> None:
    place = save(tmp_path, 7)
    assert place == tmp_path / "checkpoints" / "step-000007"
    assert load_file(place / "model.safetensors")["w"][0] == 7
    state = checkpoint.load_state(place)
    assert state["step"] == 7
    assert torch.equal(state["optimizer"]["state"][0]["exp_avg"], torch.ones(3))
    assert checkpoint.fault(place) is None
    assert [path.name for path in place.parent.iterdir()] == ["step-000007"]


def test_latest_of_none_is_none(tmp_path: Path) -> None:
    assert checkpoint.latest(tmp_path, no_warning) is None


def test_saving_a_step_again_replaces_it(tmp_path: Path) -> None:
    save(tmp_path, 7)
    checkpoint.save(tmp_path, 7, weights(70.0), {"step": 7})
    assert load_file(checkpoint.folder(tmp_path, 7) / "model.safetensors")["w"][0] == 70
    assert checkpoint.steps(tmp_path) == [7]
    assert len(list((tmp_path / "checkpoints").iterdir())) == 1


def damage_flip(path: Path) -> None:
    content = bytearray((path / "model.safetensors").read_bytes())
    content[-3] ^= 1
    (path / "model.safetensors").write_bytes(content)


def damage_cut(path: Path) -> None:
    state = path / checkpoint.STATE
    os.truncate(state, state.stat().st_size // 2)


def damage_remove(path: Path) -> None:
    (path / "config.json").unlink()


def damage_manifest(path: Path) -> None:
    manifest = path / checkpoint.MANIFEST
    os.truncate(manifest, manifest.stat().st_size - 20)


def damage_no_manifest(path: Path) -> None:
    (path / checkpoint.MANIFEST).unlink()


def damage_other_manifest(path: Path) -> None:
    (path / checkpoint.MANIFEST).write_text('{"files": [1]}', encoding="utf-8")


@pytest.mark.parametrize(
    "damage",
    [
        damage_flip,
        damage_cut,
        damage_remove,
        damage_manifest,
        damage_no_manifest,
        damage_other_manifest,
    ],
)
def test_damaged_one_is_told_and_the_one_before_it_taken(tmp_path: Path, damage: Callable[[Path], None]) -> None:
    save(tmp_path, 10)
    damage(save(tmp_path, 20))
    warnings: list[str] = []
    assert checkpoint.latest(tmp_path, warnings.append) == checkpoint.folder(tmp_path, 10)
    assert len(warnings) == 1
    assert "step-000020" in warnings[0]


def test_only_damaged_ones_is_an_error_not_a_new_start(tmp_path: Path) -> None:
    damage_cut(save(tmp_path, 10))
    with pytest.raises(InputError, match="no checkpoint that the run can go on from"):
        checkpoint.latest(tmp_path, lambda message: None)


def test_state_with_objects_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match=r"state\['guard'\]\[1\] is a PosixPath"):
        checkpoint.save(tmp_path, 1, weights(1.0), {"guard": [1, tmp_path]})
    assert checkpoint.steps(tmp_path) == []


def test_failing_writer_leaves_nothing_behind(tmp_path: Path) -> None:
    save(tmp_path, 10)

    def broken(folder: Path) -> None:
        weights(1.0)(folder)
        raise RuntimeError("the model could not be written")

    with pytest.raises(RuntimeError, match="could not be written"):
        checkpoint.save(tmp_path, 20, broken, {})
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["step-000010"]


def test_no_space_left_keeps_the_last_one_whole(tmp_path: Path) -> None:
    # a real refusal of the system: no file may grow beyond 64 kB (the state is 400 kB)
    save(tmp_path, 10)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (64_000, hard))
    try:
        with pytest.raises(InputError, match="no space for the checkpoint of step 20") as caught:
            checkpoint.save(tmp_path, 20, weights(1.0), {"big": torch.zeros(100_000)})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert "--resume" in str(caught.value)
    assert checkpoint.latest(tmp_path, no_warning) == checkpoint.folder(tmp_path, 10)
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["step-000010"]


KILLED_WHILE_SAVING = """
import os, random, signal, sys, time
from pathlib import Path
import torch
from safetensors.torch import save_file
from diagnosis_zero.train import checkpoint

torch.set_num_threads(1)
run = Path(sys.argv[1])
state = {"w": torch.zeros(200_000)}
def write(folder):
    save_file(state, folder / "model.safetensors")
def stop(message):
    sys.exit("torn: " + message)
random.seed(0)
saved, tell = os.pipe()
for _ in range(12):
    child = os.fork()
    if child == 0:
        for step in range(10_000):
            checkpoint.save(run, step % 7, write, state)
            os.write(tell, b".")
    os.read(saved, 1_000)  # at least one is written, the next is under way
    time.sleep(random.uniform(0.0, 0.05))
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    if checkpoint.latest(run, stop) is None:
        sys.exit("lost")
checkpoint.rotate(run, keep=2)
print(sorted(path.name for path in (run / "checkpoints").iterdir() if path.name.startswith(".")))
"""


def test_kill_while_saving_never_leaves_a_torn_checkpoint(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", KILLED_WHILE_SAVING, str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"  # what the kills left aside is removed by the next rotation


def test_rotation_keeps_the_newest_and_the_best_whole_and_the_weights_of_all(tmp_path: Path) -> None:
    for step in (10, 20, 30, 40, 50):
        save(tmp_path, step)
    checkpoint.rotate(tmp_path, keep=2, best=20)
    whole = [step for step in checkpoint.steps(tmp_path) if checkpoint.is_whole(checkpoint.folder(tmp_path, step))]
    assert whole == [20, 40, 50]
    for step in (10, 30):
        place = checkpoint.folder(tmp_path, step)
        assert not (place / checkpoint.STATE).exists()
        assert checkpoint.fault(place) is None
        assert load_file(place / "model.safetensors")["w"][0] == step


def test_weights_alone_are_not_gone_on_from(tmp_path: Path) -> None:
    save(tmp_path, 10)
    save(tmp_path, 20)
    checkpoint.rotate(tmp_path, keep=1, best=10)
    checkpoint.rotate(tmp_path, keep=1)
    damage_flip(checkpoint.folder(tmp_path, 20))
    with pytest.raises(InputError, match="no checkpoint"):
        checkpoint.latest(tmp_path, lambda message: None)


def written_run(run: Path) -> None:
    for step in (10, 20, 30):
        (run / "rollouts").mkdir(parents=True, exist_ok=True)
        (run / "rollouts" / f"step-{step:06d}.parquet").write_text("x", encoding="utf-8")
        (run / "evaluations" / f"step-{step:06d}").mkdir(parents=True)
        save(run, step)
    (run / "evaluations" / "cases.jsonl").write_text("", encoding="utf-8")
    lines = [json.dumps({"step": step, "kind": "train", "reward/mean": 0.1}) for step in range(1, 31)]
    (run / "metrics.jsonl").write_text("\n".join(lines) + '\n{"step": 31, "ki', encoding="utf-8")


def test_cut_clears_away_what_a_kill_left_half_written(tmp_path: Path) -> None:
    written_run(tmp_path)
    left = [tmp_path / place for place in ("rollouts", "evaluations/step-000010", ".")]
    for folder in left:
        with suppress(KeyboardInterrupt), records.atomic_write(folder / "a.parquet") as handle:
            handle.write("half")
            handle.flush()
            (half,) = folder.glob(".a.parquet.*")
            shutil.copyfile(half, half.with_name(half.name[:-8] + "k1lled_0"))  # as if nobody had cleared it away
            raise KeyboardInterrupt
    (tmp_path / ".keep").touch()
    checkpoint.cut_after(tmp_path, 30)
    assert [path.name for folder in left for path in folder.glob(".*")] == [".keep"]


def listing(run: Path) -> list[str]:
    return sorted(str(path.relative_to(run)) for kind in run.iterdir() if kind.is_dir() for path in kind.iterdir())


def test_cut_takes_away_what_came_after(tmp_path: Path) -> None:
    written_run(tmp_path)
    before = (tmp_path / "metrics.jsonl").read_bytes().splitlines(keepends=True)
    checkpoint.cut_after(tmp_path, 20)
    assert (tmp_path / "metrics.jsonl").read_bytes() == b"".join(before[:20])  # the same bytes
    assert listing(tmp_path) == [
        "checkpoints/step-000010",
        "checkpoints/step-000020",
        "evaluations/cases.jsonl",
        "evaluations/step-000010",
        "evaluations/step-000020",
        "rollouts/step-000010.parquet",
        "rollouts/step-000020.parquet",
    ]
    checkpoint.cut_after(tmp_path, 20)  # nothing more to do
    assert len((tmp_path / "metrics.jsonl").read_bytes().splitlines()) == 20


def test_rewind_keeps_what_it_takes_away(tmp_path: Path) -> None:
    written_run(tmp_path)
    kept = tmp_path / "rewinds" / "1-at-step-30"
    checkpoint.cut_after(tmp_path, 10, keep_in=kept)
    assert checkpoint.steps(tmp_path) == [10]
    assert (kept / "metrics.jsonl").read_text(encoding="utf-8").count("\n") == 30
    assert (kept / "rollouts" / "step-000030.parquet").is_file()
    assert checkpoint.fault(kept / "checkpoints" / "step-000020") is None
