"""What the run will need of memory, time and disk, against what this machine has."""

from __future__ import annotations

import math
import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import torch

from diagnosis_zero import config
from diagnosis_zero.doctor.model import Opened
from diagnosis_zero.doctor.notes import Note, error, ok, warning
from diagnosis_zero.engine.model import resolve_dtype
from diagnosis_zero.recipe import Recipe
from diagnosis_zero.train.forecast import (
    FP32,
    MOMENT_BYTES,
    PROJECTIONS,
    Forecast,
    ModelSize,
    Rates,
    Workload,
    forecast,
    trained_parameters,
)

TIGHT = 0.85
"""Share of the free memory above which a forecast, which has errors, is no promise any more."""
LONG_DAYS = 7.0
MEMORY_MENDS = {
    "update": "Set model.gradient_checkpointing = true, or lower train.micro_batch_tokens.",
    "rollout": "Lower rollout.max_tokens, rollout.prompts or rollout.group.",
}
"""What helps where this phase is the largest part; where the weights are, a smaller model or a larger device does."""


def examine_resources(recipe: Recipe, opened: Opened, prompt_tokens: int, training: int) -> Iterator[Note]:
    """``prompt_tokens``: of a mean prompt; ``training``: number of training cases, 0 where it is not known."""
    if opened.shape is None:
        what = "memory, time and disk are not forecast, since the model could not be read"
        yield warning("memory", what, "Make the model available (see above) and ask again.")
        return
    dtype = resolve_dtype(recipe.model.dtype, "cuda" if torch.cuda.is_available() else "cpu")
    size, longest = ModelSize.of(opened.shape.to_dict()), workload(recipe, dtype)
    speed = rates(longest.device, dtype)
    yield from judge_memory(forecast(size, longest, speed), free_memory(longest.device), longest.device)
    if not training:
        mend = "Prepare the cases (see above) and ask again."
        yield warning("time", "time and disk are not forecast, since the cases could not be read", mend)
        return
    steps = config.total_steps(recipe, training)
    half = replace(longest, prompt_tokens=prompt_tokens, response_tokens=longest.response_tokens // 2 + 1)
    yield from judge_time(forecast(size, half, speed).step_seconds, steps, longest.device)
    home = next(place for place in (recipe.run.folder, *recipe.run.folder.absolute().parents) if place.exists())
    yield from judge_disk(checkpoint_bytes(recipe, size, longest, steps), shutil.disk_usage(home).free)


def workload(recipe: Recipe, dtype: torch.dtype) -> Workload:
    """One step of the recipe, its prompts and completions as long as they may be."""
    return Workload(
        prompts=recipe.rollout.prompts,
        prompt_tokens=recipe.data.max_prompt_tokens,
        group=recipe.rollout.group,
        response_tokens=recipe.rollout.max_tokens,
        token_budget=recipe.train.micro_batch_tokens,
        weight_bytes=dtype.itemsize,
        checkpointing=recipe.model.gradient_checkpointing,
        kl=recipe.train.kl_coefficient > 0,
        optimizer=recipe.train.optimizer,
        offload=recipe.train.offload,
        lora_rank=recipe.lora.rank if recipe.lora else 0,
        lora_targets=recipe.lora.targets if recipe.lora else PROJECTIONS,
        device="cuda" if torch.cuda.is_available() else "cpu",
    )


def judge_memory(expected: Forecast, free: int, device: str) -> Iterator[Note]:
    """Against the bytes that are free on the device."""
    phase, size = max(expected.passing.items(), key=lambda part: part[1])
    parts: Mapping[str, int] = {**expected.held, phase: size}
    largest = sorted(parts.items(), key=lambda part: -part[1])[:4]
    shown = ", ".join(f"{name} {_size(part)}" for name, part in largest)
    what = f"about {_size(expected.peak_bytes)} of {_size(free)} free ({device}): {shown}"
    smaller = (
        'Set train.optimizer = "adamw8bit", train with LoRA ([lora]), or take a smaller model or a larger device; '
        "without train.kl_coefficient no reference is held."
    )
    mend = MEMORY_MENDS.get(largest[0][0], smaller)
    if expected.peak_bytes > free:
        yield error("memory", what, mend)
    elif expected.peak_bytes > TIGHT * free:
        yield warning("memory", f"tight: {what}", mend)
    else:
        yield ok("memory", what)


def judge_time(step: float, steps: int, device: str) -> Iterator[Note]:
    """``step``: forecast seconds of one step."""
    what = (
        f"{_span(step)} a step, {_span(step * steps)} for {steps} steps (a rough guess; warm start, evaluation apart)"
    )
    mend = "Lower train.steps (or epochs), rollout.group or rollout.max_tokens"
    if step * steps <= LONG_DAYS * 86400:
        yield ok("time", what)
    elif device == "cuda":
        yield warning("time", what, f"{mend}, or take more GPUs (--engine verl).")
    else:
        yield warning("time", what, f"{mend}, or take a GPU: none is seen here.")


def checkpoint_bytes(recipe: Recipe, model: ModelSize, work: Workload, steps: int) -> int:
    """What the run's checkpoints will take on the disk: step 0 has the model's weights, with LoRA the others the
    adapter's alone."""
    trained = trained_parameters(model, work)
    state = round(trained * (FP32 + MOMENT_BYTES[work.optimizer]))
    first, later = (parameters * work.weight_bytes for parameters in (model.parameters, trained))
    return disk_bytes(first, later, state, steps=steps, every=recipe.checkpoint.every, keep=recipe.checkpoint.keep)


def disk_bytes(first: int, later: int, state: int, *, steps: int, every: int, keep: int) -> int:
    """Bytes of the checkpoints when the run ends, the weights of the ``first`` and of those ``later``: the newest
    ``keep`` and the best are whole (with masters and moments, the ``state``), so is one being written; of all others
    the weights stay."""
    written = 1 + math.ceil(steps / every)
    return first + (written - 1) * later + min(written, keep + 2) * state


def judge_disk(needed: int, free: int) -> Iterator[Note]:
    """Bytes that the run's checkpoints will take, and bytes that are free."""
    what = f"the checkpoints take {_size(needed)}, {_size(free)} are free"
    if needed > free:
        mend = (
            "Raise checkpoint.every (the weights of each stay), lower checkpoint.keep, or set run.dir to a larger disk."
        )
        yield error("disk", what, mend)
    else:
        yield ok("disk", what)


def free_memory(device: str) -> int:
    """Bytes that a process could take now."""
    if device == "cuda":
        return int(torch.cuda.mem_get_info()[0])
    info = Path("/proc/meminfo")
    lines = info.read_text(encoding="ascii").splitlines() if info.is_file() else []
    available = [int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")]
    return available[0] if available else os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def rates(device: str, dtype: torch.dtype) -> Rates:
    """Timed on this machine: a square product, and a vector through a large matrix."""
    size, length = (4096, 8192) if device == "cuda" else (1024, 4096)
    square = torch.ones(size, size, dtype=dtype, device=device)
    tall, vector = (torch.ones(length, columns, dtype=dtype, device=device) for columns in (length, 1))
    read = _seconds(lambda: tall @ vector, device)
    return Rates(2 * size**3 / _seconds(lambda: square @ square, device), tall.numel() * dtype.itemsize / read)


def _seconds(work: Callable[[], torch.Tensor], device: str, times: int = 3) -> float:
    """The quickest of a few runs, the first of which warms up."""
    found = []
    for _ in range(times + 1):
        began = time.perf_counter()
        work()
        if device == "cuda":
            torch.cuda.synchronize()
        found.append(time.perf_counter() - began)
    return min(found[1:])


def _size(size: float) -> str:
    return f"{size / 1e9:.1f} GB" if size >= 1e8 else f"{size / 1e6:.0f} MB"


def _span(seconds: float) -> str:
    for unit, length in (("days", 86400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.1f} {unit}"
    return f"{seconds:.1f} seconds"
