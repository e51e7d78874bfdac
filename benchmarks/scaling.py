"""How the time of a step grows with the group, the prompt, the response and the model: seconds and fitted slopes.

    python -m benchmarks.scaling [--json OUT] [--quick]

A slope is that of log seconds on log size: 1 is proportional, 0 is free. Models of other sizes are SmolLM2's shape with
fewer layers and random weights. Every size is measured in a process of its own.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks import common, step
from benchmarks.common import Shape

BASE = Shape(prompt=400, group=8, response=32)
AXES = {
    "group": [Shape(400, n, 32) for n in (4, 8, 16)],
    "prompt": [Shape(n, 8, 32) for n in (200, 400, 800)],
    "response": [Shape(400, 8, n) for n in (32, 64, 128)],
}
LAYERS = (8, 15, 30)
DOUBLED = [Shape(700, 8, 128), Shape(700, 16, 128)]
"""The pair that the target names: the cost of doubling the group."""


def slope(sizes: Sequence[float], seconds: Sequence[float]) -> float:
    """Least squares of log seconds on log size."""
    x, y = [math.log(size) for size in sizes], [math.log(second) for second in seconds]
    mean_x, mean_y = sum(x) / len(x), sum(y) / len(y)
    spread = sum((a - mean_x) ** 2 for a in x)
    return sum((a - mean_x) * (b - mean_y) for a, b in zip(x, y, strict=True)) / spread


def seconds(model: str, shape: Shape) -> float:
    arguments = ["--model", model, "--shape", str(shape), "--steps", "1", "--side", "ours"]
    return float(common.in_subprocess(step.__name__, *arguments)["seconds"])


def along(name: str, sizes: Sequence[float], took: Sequence[float]) -> dict[str, Any]:
    return {"axis": name, "sizes": list(sizes), "seconds": list(took), "slope": slope(sizes, took)}


def shallow(model: str, layers: int, folder: Path) -> str:
    """A model of this one's shape with other depth and random weights, with its tokenizer."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

    path = common.model_path(model)
    config = AutoConfig.from_pretrained(path, num_hidden_layers=layers)
    if getattr(config, "layer_types", None):
        config.layer_types = config.layer_types[:layers]
    torch.manual_seed(0)
    target = str(folder / str(layers))
    AutoModelForCausalLM.from_config(config, dtype=torch.float32).save_pretrained(target)
    AutoTokenizer.from_pretrained(path).save_pretrained(target)
    return target


def main() -> None:
    parser = common.parser(__doc__)
    parser.add_argument("--quick", action="store_true", help="the doubled group alone")
    given = parser.parse_args()
    found = []
    if not given.quick:
        for name, shapes in AXES.items():
            sizes = [getattr(shape, name) for shape in shapes]
            found.append(along(name, sizes, [seconds(given.model, shape) for shape in shapes]))
        with tempfile.TemporaryDirectory() as scratch:
            models = [shallow(given.model, layers, Path(scratch)) for layers in LAYERS]
            found.append(along("layers", LAYERS, [seconds(model, BASE) for model in models]))
    eight, sixteen = (seconds(given.model, shape) for shape in DOUBLED)
    doubling = {"shapes": [str(shape) for shape in DOUBLED], "seconds": [eight, sixteen], "ratio": sixteen / eight}
    rows = [{"axis": f["axis"], "sizes": f["sizes"], "slope": f["slope"]} for f in found]
    rows.append({"axis": "G 8 to 16", "sizes": doubling["seconds"], "slope": doubling["ratio"]})
    common.show(f"Growth of a step's time, {given.model}", rows)
    common.report(given.json, {"axes": found, "doubling": doubling})


if __name__ == "__main__":
    main()
