"""One whole GRPO step, optimizer included, against TRL's GRPOTrainer with the same weights, prompts and lengths.

    python -m benchmarks.step [--json OUT] [--shape small --shape large] [--setting NAME ...] [--steps N]

Each side runs in a process of its own (so peak memory is its own): one step to warm up, then ``--steps`` timed ones,
of which the fastest counts. TRL is run in every setting of ``PEERS`` at the first shape; the fastest of them is
"TRL's best setting on this machine" and is what it runs with at the other shapes (the next fastest where that fails,
for want of memory say). No KL term on either side.
"""

from __future__ import annotations

import hashlib
import tempfile
import time
from dataclasses import dataclass
from typing import Any

from benchmarks import common
from benchmarks.common import Shape

LR = 1e-6


@dataclass(frozen=True, slots=True)
class Peer:
    """A setting of TRL. ``micro_batches`` per step of the group; its defaults otherwise."""

    dtype: str = "float32"
    autocast: bool = False
    checkpointing: bool = False
    micro_batches: int = 1
    continuous_batching: bool = False


PEERS = {
    "fp32": Peer(),
    "fp32, 4 micro-batches": Peer(micro_batches=4),
    "fp32, checkpointing": Peer(checkpointing=True),
    "fp32, continuous batching": Peer(continuous_batching=True),
    "fp32, bf16 autocast": Peer(autocast=True),
    "bf16 weights": Peer(dtype="bfloat16"),
}


OURS = {"ours": False, "ours, checkpointing": True}
"""Our sides, and whether activations are computed again. The ratios are those of the first, which is the quicker."""


def reward(text: str) -> float:
    """Any number that differs between completions: its cost is nothing on either side."""
    return float(text.count("e") % 7)


# --- our side


def ours(model: str, shape: Shape, steps: int, *, checkpointing: bool = False) -> dict[str, Any]:
    from diagnosis_zero.engine.generate import generate
    from diagnosis_zero.engine.model import enable_checkpointing
    from diagnosis_zero.train.batch import Credit
    from diagnosis_zero.train.loss import LossSettings
    from diagnosis_zero.train.optimizer import MasterAdamW
    from diagnosis_zero.train.step import UpdateSettings, update
    from diagnosis_zero.types import Case, Group, Reward, SamplingParams

    policy = common.endless(model)
    if checkpointing:
        enable_checkpointing(policy.model)
    optimizer = MasterAdamW(policy.model, betas=(0.9, 0.999), weight_decay=0.0)
    settings = UpdateSettings(loss=LossSettings(), credit=Credit(max_tokens=shape.response))
    prompts = [policy.tokenizer(text)["input_ids"] for text in common.prompt_texts(policy.tokenizer, shape)]
    case = Case(id="0", source="bench", source_id="0", text="", names=("none",))
    measured = []
    for step in range(1 + steps):
        times: dict[str, float] = {}
        with common.stopwatch(times, "rollout"):
            policy.model.eval()
            written = generate(policy, prompts, shape.group, SamplingParams(shape.response, seed=step))
        with common.stopwatch(times, "update"):
            groups = [
                Group(case, tuple(ids), tuple(group), tuple(Reward(reward(c.text), {}) for c in group))
                for ids, group in zip(prompts, written, strict=True)
            ]
            update(policy.model, optimizer, groups, LR, settings)
        measured.append(times)
    lengths = {len(c.token_ids) for group in written for c in group}
    dtype = str(policy.model.dtype).removeprefix("torch.")
    setting = {"dtype": dtype, "token_budget": settings.token_budget, "checkpointing": checkpointing}
    return _measured(measured, lengths, prompts, setting)


# --- TRL's side


def peer(model: str, shape: Shape, steps: int, setting: Peer) -> dict[str, Any]:
    import torch
    from datasets import Dataset
    from transformers import AutoTokenizer, TrainerCallback
    from trl import GRPOConfig, GRPOTrainer

    measured: list[dict[str, float]] = []
    seen: dict[str, Any] = {}

    class Timed(GRPOTrainer):
        def _generate_single_turn(self, prompt_ids: Any, *args: Any, **kwargs: Any) -> Any:
            with common.stopwatch(measured[-1], "rollout"):
                completion_ids, logprobs = super()._generate_single_turn(prompt_ids, *args, **kwargs)
            seen["prompts"] = [list(ids) for ids in prompt_ids[:: shape.group]]
            seen["lengths"] = {len(ids) for ids in completion_ids}
            return completion_ids, logprobs

    class Clock(TrainerCallback):
        def on_step_begin(self, *args: Any, **kwargs: Any) -> None:
            measured.append({})
            seen["start"] = time.perf_counter()

        def on_step_end(self, *args: Any, **kwargs: Any) -> None:
            measured[-1]["update"] = time.perf_counter() - seen["start"] - measured[-1]["rollout"]

    tokenizer = AutoTokenizer.from_pretrained(common.model_path(model))
    texts = common.prompt_texts(tokenizer, shape)
    completions = shape.prompts * shape.group
    with tempfile.TemporaryDirectory() as scratch:
        config = GRPOConfig(
            output_dir=scratch,
            use_cpu=not torch.cuda.is_available(),
            bf16=setting.autocast,
            gradient_checkpointing=setting.checkpointing,
            per_device_train_batch_size=completions // setting.micro_batches,
            gradient_accumulation_steps=setting.micro_batches,
            num_generations=shape.group,
            max_completion_length=shape.response,
            generation_kwargs={"min_new_tokens": shape.response},
            use_transformers_continuous_batching=setting.continuous_batching,
            learning_rate=LR,
            lr_scheduler_type="constant",
            max_steps=1 + steps,
            beta=0.0,
            save_strategy="no",
            report_to="none",
            disable_tqdm=True,
        )
        trainer = Timed(
            common.plain_model(model, setting.dtype),
            reward_funcs=lambda completions, **_: [reward(text) for text in completions],
            args=config,
            train_dataset=Dataset.from_dict({"prompt": texts * (1 + steps)}),
            processing_class=tokenizer,
            callbacks=[Clock()],
        )
        trainer.train()
    return _measured(measured, seen["lengths"], seen["prompts"], common.as_dict(setting))


def _measured(
    steps: list[dict[str, float]], lengths: set[int], prompts: list[list[int]], setting: dict[str, Any]
) -> dict[str, Any]:
    fastest = min(steps[1:], key=lambda times: sum(times.values()))
    return {
        "seconds": sum(fastest.values()),
        "parts": fastest,
        "steps": steps,
        "peak_bytes": common.peak_bytes(),
        "lengths": sorted(lengths),
        "prompts": hashlib.sha256(repr(sorted(map(list, prompts))).encode()).hexdigest()[:12],
        "setting": setting,
    }


# --- side by side


def compare(
    model: str, shape: Shape, steps: int, settings: list[str], limit: float, *, every: bool
) -> tuple[dict[str, Any], list[str]]:
    """The figures of one shape, and the settings of TRL that ran, the fastest first.

    Settings are tried in the order given: ``every`` one, or only until one has run.
    """
    arguments = ["--model", model, "--shape", str(shape), "--steps", str(steps)]
    mine, lean = (common.in_subprocess(__spec__.name, *arguments, "--side", side) for side in OURS)
    peers: dict[str, dict[str, Any]] = {}
    fell_out: dict[str, str] = {}
    for name in settings:
        try:
            theirs = common.in_subprocess(__spec__.name, *arguments, "--side", name, limit=limit)
        except RuntimeError as error:
            theirs = {"failed": str(error).splitlines()[-1]}
        if "seconds" in theirs:
            peers[name] = theirs
        else:
            fell_out[name] = theirs.get("failed") or f"over {limit:.0f} s"
        if peers and not every:
            break
    for name, theirs in peers.items():
        for key in ("prompts", "lengths"):
            assert mine[key] == theirs[key], f"{name}: {key} differ: {mine[key]} and {theirs[key]}"
    by_speed = sorted(peers, key=lambda name: float(peers[name]["seconds"]))
    theirs = peers[by_speed[0]]
    figures = {
        "shape": common.as_dict(shape),
        "peer": f"TRL {common.machine()['versions'].get('trl')}, {by_speed[0]}",
        "ours_seconds": mine["seconds"],
        "peer_seconds": theirs["seconds"],
        "ratio": theirs["seconds"] / mine["seconds"],
        "ours_peak_bytes": mine["peak_bytes"],
        "peer_peak_bytes": theirs["peak_bytes"],
        "memory_ratio": mine["peak_bytes"] / theirs["peak_bytes"],
        "ours": mine,
        "ours_checkpointing": lean,
        "peers": peers,
        "fell_out": fell_out,
    }
    return figures, by_speed


def rows(figures: dict[str, Any]) -> list[dict[str, Any]]:
    """One row a side, for the table."""
    mine = {"ours": figures["ours"], "ours, checkpointing": figures["ours_checkpointing"]}
    sides = {**mine, **{f"TRL, {name}": found for name, found in figures["peers"].items()}}
    return [
        {
            "side": name,
            "rollout s": found["parts"]["rollout"],
            "update s": found["parts"]["update"],
            "step s": found["seconds"],
            "times ours": found["seconds"] / figures["ours_seconds"],
            "peak GB": found["peak_bytes"] / 1e9,
        }
        for name, found in sides.items()
    ]


def main() -> None:
    parser = common.parser(__doc__)
    parser.add_argument("--steps", type=int, default=1, help="timed steps a side, after one to warm up")
    parser.add_argument("--setting", action="append", choices=PEERS, help="of TRL; default: each at the first shape")
    parser.add_argument("--limit", type=float, default=900.0, help="seconds after which a setting of TRL is given up")
    given = parser.parse_args()
    shapes = common.shapes(given.shape, ("small", "large"))
    if given.side:
        [shape] = shapes
        if given.side in OURS:
            found_here = ours(given.model, shape, given.steps, checkpointing=OURS[given.side])
        else:
            found_here = peer(given.model, shape, given.steps, PEERS[given.side])
        common.hand_over(found_here)
        return
    settings = given.setting or list(PEERS)
    found: list[dict[str, Any]] = []
    for shape in shapes:
        every = not found
        figures, settings = compare(given.model, shape, given.steps, settings, given.limit, every=every)
        common.show(f"One GRPO step of {given.model}, {shape}", rows(figures))
        found.append(figures)
    common.report(given.json, {**found[-1], "shapes": found})


if __name__ == "__main__":
    main()
