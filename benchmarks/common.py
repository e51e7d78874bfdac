"""What the engine's benchmarks share: shapes, prompts, one subprocess a side, and how results are told."""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.prepare import hpo_definitions
from diagnosis_zero import records

MODEL = "smollm2"


@dataclass(frozen=True, slots=True)
class Shape:
    """``prompts`` prompts of ``prompt`` tokens, ``group`` completions of each, ``response`` tokens in each."""

    prompt: int
    group: int
    response: int
    prompts: int = 1

    def __str__(self) -> str:
        return f"{self.prompts}x{self.prompt}+{self.group}x{self.response}"

    @classmethod
    def parse(cls, text: str) -> Shape:
        """``"1x400+8x64"``: 1 prompt of 400 tokens, 8 completions of 64."""
        prompts, prompt, group, response = (int(n) for part in text.split("+") for n in part.split("x"))
        return cls(prompt, group, response, prompts)


SHAPES = {
    "tiny": Shape(60, 4, 12),
    "small": Shape(400, 8, 64),
    "large": Shape(700, 16, 128),
}
"""``small`` and ``large`` are the shapes that the targets name; ``tiny`` shows in seconds that a benchmark runs."""


def prompt_texts(tokenizer: Any, shape: Shape) -> list[str]:
    """Clinical sentences (definitions of HPO terms) that the tokenizer reads as exactly ``shape.prompt`` tokens."""
    sentences = hpo_definitions()
    rng = random.Random(0)
    texts: list[str] = []
    while len(texts) < shape.prompts:
        ids = tokenizer(" ".join(rng.choices(sentences, k=shape.prompt // 8)))["input_ids"][: shape.prompt]
        text = tokenizer.decode(ids)
        if tokenizer(text)["input_ids"] == ids and len(ids) == shape.prompt:
            texts.append(text)
    return texts


def device() -> str:
    """Where every side computes: "cuda" where there is one."""
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def wait() -> None:
    """Until the device has done what it was told: CUDA computes behind the host's back."""
    import torch

    if torch.cuda.is_available():
        torch.cuda.synchronize()


def peak_bytes() -> int:
    """Most memory this process has held so far: of the GPU where it computes on one, else resident."""
    import torch

    if torch.cuda.is_available():
        return int(torch.cuda.max_memory_allocated())
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


@contextmanager
def stopwatch(times: dict[str, float], name: str) -> Any:
    """Add the seconds of the block to ``times[name]``."""
    wait()
    start = time.perf_counter()
    yield
    wait()
    times[name] = times.get(name, 0.0) + time.perf_counter() - start


def best_of(repeats: int, run: Callable[[], object]) -> float:
    """Seconds of the fastest of ``repeats`` runs, after one that is not counted."""
    run()
    wait()
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        run()
        wait()
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def in_subprocess(module: str, *arguments: str, limit: float | None = None) -> dict[str, Any]:
    """Run ``python -m MODULE ARGUMENTS``, which prints one line of JSON last; so peak memory is its own.

    What takes more than ``limit`` seconds is ended, and gives ``{"over_seconds": limit}``; what wants more memory than
    the machine has fails at once instead of swapping.

    Raises:
        RuntimeError: it failed; carries the end of what it wrote.
    """
    command = [sys.executable, "-m", module, *arguments]
    within = _within_memory if device() == "cpu" else None  # the CUDA driver reserves addresses far beyond memory
    root = Path(__file__).parents[1]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, cwd=root, timeout=limit, preexec_fn=within
        )
    except subprocess.TimeoutExpired:
        return {"over_seconds": limit}
    if done.returncode:
        raise RuntimeError(f"{' '.join(command[1:])} ended with {done.returncode}:\n{done.stderr[-2000:]}")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def _within_memory() -> None:
    physical = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    resource.setrlimit(resource.RLIMIT_DATA, (physical, physical))


def each_side(module: str, sides: Iterable[str], model: str, shape: Shape, *more: str) -> dict[str, dict[str, Any]]:
    """What every side measured, each in a process of its own."""
    arguments = ["--model", model, "--shape", str(shape), *more]
    return {side: in_subprocess(module, *arguments, "--side", side) for side in sides}


def compare_sides(
    title: str,
    doc: str | None,
    module: str,
    sides: Mapping[str, Any],
    measure: Callable[[Any, str, Shape, int], dict[str, Any]],
    repeats: int,
) -> None:
    """The command of a benchmark that sets ``sides`` beside one another: ``measure(side, model, shape, repeats)``."""
    options = parser(doc)
    options.add_argument("--repeats", type=int, default=repeats)
    given = options.parse_args()
    wanted = shapes(given.shape, ("small",))
    if given.side:
        hand_over(measure(sides[given.side], given.model, wanted[0], given.repeats))
        return
    found = []
    for shape in wanted:
        measured = each_side(module, sides, given.model, shape, "--repeats", str(given.repeats))
        show(f"{title} of {given.model}, {shape}", side_rows(measured))
        found.append({"shape": as_dict(shape), "sides": measured})
    report(given.json, {"shapes": found})


def side_rows(sides: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """One row of the table for each side; the first is what the others are set against."""
    first = next(iter(sides.values()))["seconds"]
    return [
        {
            "side": name,
            "seconds": found["seconds"],
            "times the first": found["seconds"] / first,
            **({"tokens/s": found["tokens_per_second"]} if "tokens_per_second" in found else {}),
            "peak GB": found["peak_bytes"] / 1e9,
        }
        for name, found in sides.items()
    ]


def hand_over(measured: Mapping[str, Any]) -> None:
    """The last line that ``in_subprocess`` reads."""
    print(json.dumps(measured))


def endless(model: str) -> Any:
    """Our policy in its compute type for this machine; it never stops of itself, so lengths are equal on all sides."""
    from diagnosis_zero.engine.model import Policy, load

    class Endless(Policy):
        def stop_ids(self) -> frozenset[int]:
            return frozenset()

    loaded = load(model)
    return Endless(loaded.model, loaded.tokenizer, loaded.name)


def plain_model(model: str, dtype: str | None = None) -> Any:
    """The same weights as transformers loads them, with its own attention, on the same device; ``dtype`` None:
    bfloat16 on a GPU, float32 elsewhere."""
    import torch
    from transformers import AutoModelForCausalLM

    kind = getattr(torch, dtype or ("bfloat16" if device() == "cuda" else "float32"))
    return AutoModelForCausalLM.from_pretrained(model_path(model), dtype=kind).to(device())


def model_path(model: str) -> str:
    from diagnosis_zero.engine.model import smollm2

    return str(smollm2()) if model == "smollm2" else model


def machine() -> dict[str, Any]:
    """Where and with what it was measured."""
    import torch

    versions = {p: v for p in ("torch", "transformers", "trl", "peft", "torchao") if (v := records._version(p))}
    return {
        "processor": records._processor(),
        "threads": torch.get_num_threads(),
        "simd": torch.backends.cpu.get_cpu_capability(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "system": platform.platform(),
        "versions": versions,
    }


def parser(doc: str | None) -> argparse.ArgumentParser:
    """Options that every benchmark has."""
    made = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--json", type=Path, help="where to write the figures")
    made.add_argument("--model", default=MODEL)
    made.add_argument("--shape", action="append", help=f"{', '.join(SHAPES)}, or e.g. 1x400+8x64; may be repeated")
    made.add_argument("--side", help=argparse.SUPPRESS)
    return made


def shapes(given: Sequence[str] | None, default: Iterable[str]) -> list[Shape]:
    return [SHAPES[name] if name in SHAPES else Shape.parse(name) for name in given or default]


def show(title: str, rows: Sequence[Mapping[str, Any]]) -> None:
    """Print rows as a table; the keys of the first are the headings."""
    table = Table(title=title)
    for name in rows[0]:
        table.add_column(name, justify="right")
    for row in rows:
        table.add_row(*(f"{value:.3g}" if isinstance(value, float) else str(value) for value in row.values()))
    Console(width=150).print(table)


def report(path: Path | None, figures: Mapping[str, Any]) -> None:
    """Write the figures with the machine they were taken on."""
    if path is not None:
        records.write_json(path, {**figures, "machine": machine()})
        print(path)


def as_dict(record: Any) -> dict[str, Any]:
    """A dataclass as plain values."""
    return asdict(record)
