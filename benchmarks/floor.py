"""How far a rollout and an update are from what the machine can do.

    python -m benchmarks.floor [--json OUT] [--model MODEL] [--shape small] [--repeats N]

Decode: the bytes that a step must read (weights once, keys and values once) over the measured rate of memory. Update:
the operations of the unique tokens, forward and backward, over the measured rate of large matrix products (its seconds
hold the optimizer too). Both rates are probed in the same process, in the policy's compute type; seconds are the
fastest of ``--repeats`` after a warm-up.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from benchmarks import common
from benchmarks.common import Shape
from diagnosis_zero.train.forecast import ModelSize, Workload, _attention_flops

PROBES = {"cpu": (1 << 25, 1024), "cuda": (1 << 31, 8192)}
"""Bytes that are copied; rows of the square matrices that are multiplied."""


def bytes_per_second(device: str) -> float:
    """Reading and writing of one large copy."""
    import torch

    size = PROBES[device][0]
    source, target = (torch.ones(size, dtype=torch.uint8, device=device) for _ in range(2))
    return 2 * size / common.best_of(5, lambda: target.copy_(source))


def flops_per_second(device: str, dtype: Any) -> float:
    """Operations of one large matrix product, a multiply-add counted as two."""
    import torch

    rows = PROBES[device][1]
    a, b = (torch.randn(rows, rows, dtype=dtype, device=device) for _ in range(2))
    return 2 * rows**3 / common.best_of(5, lambda: a @ b)


def step_bytes(size: ModelSize, shape: Shape, number: int) -> float:
    """What one decode step reads on the average over a rollout, for weights and keys of ``number`` bytes."""
    weights = size.layers * size.layer_weights + size.embedding_weights
    completions = shape.prompts * shape.group
    tokens = shape.prompts * shape.prompt + completions * shape.response / 2
    return number * (weights + tokens * 2 * size.layers * size.kv_heads * size.head_width)


def update_flops(size: ModelSize, shape: Shape) -> float:
    """Forward (once) and backward (twice as much) of every token that a packed update feeds once."""
    work = Workload(shape.prompts, shape.prompt, shape.group, shape.response, 16384)
    completions = shape.prompts * shape.group
    fed = shape.prompts * shape.prompt + completions * (shape.response - 1)
    products = 2 * (size.layers * size.layer_weights * fed + size.embedding_weights * completions * shape.response)
    return 3.0 * (products + _attention_flops(size, work))


def decode_step_seconds(model: str, shape: Shape, repeats: int) -> float:
    """Of one step: a rollout without one that writes a single token, which is the prefill."""
    from benchmarks.rollout import ours

    if shape.response < 2:
        raise SystemExit("a decode step needs completions of two tokens or more")
    whole, first = (
        common.best_of(repeats, ours(model, Shape(shape.prompt, shape.group, response, shape.prompts)))
        for response in (shape.response, 1)
    )
    return (whole - first) / (shape.response - 1)


def measure(model: str, shape: Shape, repeats: int) -> dict[str, Any]:
    from benchmarks.update import packed
    from diagnosis_zero.engine.model import resolve_dtype

    device = common.device()
    dtype = resolve_dtype("auto", device)
    size = ModelSize.of(json.loads((Path(common.model_path(model)) / "config.json").read_text()))
    rates = {"bytes_per_second": bytes_per_second(device), "flops_per_second": flops_per_second(device, dtype)}
    parts = {
        "decode step": (
            decode_step_seconds(model, shape, repeats),
            step_bytes(size, shape, dtype.itemsize) / rates["bytes_per_second"],
        ),
        "update": (
            common.best_of(repeats, packed(False)(model, shape)),
            update_flops(size, shape) / rates["flops_per_second"],
        ),
    }
    return {
        "shape": common.as_dict(shape),
        "dtype": str(dtype).removeprefix("torch."),
        **rates,
        "parts": {
            name: {"seconds": seconds, "floor_seconds": floor, "times_floor": seconds / floor}
            for name, (seconds, floor) in parts.items()
        },
    }


def main() -> None:
    options = common.parser(__doc__)
    options.add_argument("--repeats", type=int, default=2)
    given = options.parse_args()
    found = []
    for shape in common.shapes(given.shape, ("small",)):
        figures = measure(given.model, shape, given.repeats)
        rows = [{"part": name, **part} for name, part in figures["parts"].items()]
        rates = f"{figures['bytes_per_second'] / 1e9:.0f} GB/s, {figures['flops_per_second'] / 1e12:.2f} TFLOP/s"
        common.show(f"Distance to the floor of {given.model}, {shape}: {rates}, {figures['dtype']}", rows)
        found.append(figures)
    common.report(given.json, {"shapes": found})


if __name__ == "__main__":
    main()
