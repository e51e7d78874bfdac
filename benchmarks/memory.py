"""Peak memory of a whole step, as measured and as ``train.forecast`` counts it beforehand.

    python -m benchmarks.memory [--json OUT] [--shape small --shape 1x700+16x128 ...]

Prints too what the forecast says of Qwen2.5 at the original system's shape on GPUs: computed, not measured.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from benchmarks import common, step
from benchmarks.common import Shape
from diagnosis_zero.train.forecast import Forecast, ModelSize, Rates, Workload, forecast

QWEN = {
    "Qwen2.5-1.5B": ModelSize(28, 1536, 8960, 12, 2, 128, 151936, tied=True),
    "Qwen2.5-3B": ModelSize(36, 2048, 11008, 16, 2, 128, 151936, tied=True),
    "Qwen2.5-7B": ModelSize(28, 3584, 18944, 28, 4, 128, 152064, tied=False),
}
"""From the published ``config.json`` of each."""
ORIGINAL = {"prompts": 8, "prompt_tokens": 700, "group": 16, "response_tokens": 1024, "token_budget": 16384}
H200 = Rates(flops=700e12, bytes_per_second=4.8e12)
"""By its data sheet, with 70 % of its peak for matrix products."""


def counted(model: str, shape: Shape) -> Forecast:
    config = json.loads((Path(common.model_path(model)) / "config.json").read_text())
    sizes = shape.prompts, shape.prompt, shape.group, shape.response, 16384
    on_cuda = common.device() == "cuda"
    work = Workload(*sizes, weight_bytes=2 if on_cuda else 4, device="cuda" if on_cuda else "cpu")
    return forecast(ModelSize.of(config), work, H200)


def measured(model: str, shape: Shape) -> int:
    arguments = ["--model", model, "--shape", str(shape), "--steps", "1", "--side", "ours"]
    return int(common.in_subprocess(step.__name__, *arguments)["peak_bytes"])


def computed_rows() -> list[dict[str, Any]]:
    """The Qwen2.5 models with all weights trained (bf16, float32 masters, KL) and with LoRA of rank 32."""
    settings: dict[str, dict[str, Any]] = {
        "full, fp32 moments": {},
        "full, 8-bit moments": {"optimizer": "adamw8bit"},
        "LoRA 32": {"lora_rank": 32, "token_budget": 4096},
    }
    return [
        {"model": name, "trained": how, "GB": forecast(size, _original(more), H200).peak_bytes / 1e9}
        for name, size in QWEN.items()
        for how, more in settings.items()
    ]


def _original(more: dict[str, Any]) -> Workload:
    return Workload(**{**ORIGINAL, "checkpointing": True, "kl": True, **more})


def main() -> None:
    given = common.parser(__doc__).parse_args()
    rows = []
    for shape in common.shapes(given.shape, ("small",)):
        peak, ahead = measured(given.model, shape), counted(given.model, shape).peak_bytes
        rows.append({"shape": str(shape), "measured GB": peak / 1e9, "forecast GB": ahead / 1e9, "ratio": ahead / peak})
    common.show(f"Peak memory of a step of {given.model}", rows)
    common.show("Forecast for GPUs, not measured: 8 prompts of 700, 16 completions of 1,024", computed_rows())
    common.report(given.json, {"measured": rows, "computed": computed_rows()})


if __name__ == "__main__":
    main()
