"""Tokens a second of a rollout, against transformers' generate (its default and its static cache) and its continuous
batching.

    python -m benchmarks.rollout [--json OUT] [--shape small] [--repeats N]

Same weights and prompts, lengths forced equal, a process a side, the fastest of ``--repeats`` runs after a warm-up.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from benchmarks import common
from benchmarks.common import Shape

Side = Callable[[str, Shape], Callable[[], int]]
"""(model, shape) -> a run that gives the number of tokens written."""


def ours(model: str, shape: Shape) -> Callable[[], int]:
    from diagnosis_zero.engine.generate import generate
    from diagnosis_zero.types import SamplingParams

    policy = common.endless(model)
    policy.model.eval()
    prompts = [policy.tokenizer(text)["input_ids"] for text in common.prompt_texts(policy.tokenizer, shape)]

    def run() -> int:
        written = generate(policy, prompts, shape.group, SamplingParams(shape.response, seed=1))
        return sum(len(completion.token_ids) for group in written for completion in group)

    return run


def transformers_generate(cache: str | None) -> Side:
    def side(model: str, shape: Shape) -> Callable[[], int]:
        import torch
        from transformers import AutoTokenizer

        tokenizer = AutoTokenizer.from_pretrained(common.model_path(model))
        plain = common.plain_model(model).eval()
        texts = common.prompt_texts(tokenizer, shape)
        prompts = torch.tensor([tokenizer(text)["input_ids"] for text in texts], device=plain.device)
        ids = prompts.repeat_interleave(shape.group, dim=0)
        lengths = {"max_new_tokens": shape.response, "min_new_tokens": shape.response}

        def run() -> int:
            mask = torch.ones_like(ids)
            written = plain.generate(
                ids, attention_mask=mask, do_sample=True, top_k=0, cache_implementation=cache, **lengths
            )
            return int(written.numel() - ids.numel())

        return run

    return side


def continuous_batching(model: str, shape: Shape) -> Callable[[], int]:
    from transformers import AutoTokenizer, GenerationConfig

    tokenizer = AutoTokenizer.from_pretrained(common.model_path(model))
    plain = common.plain_model(model).eval()
    prompts = [tokenizer(text)["input_ids"] for text in common.prompt_texts(tokenizer, shape)]
    inputs = [ids for ids in prompts for _ in range(shape.group)]
    settings = GenerationConfig(max_new_tokens=shape.response, do_sample=True, top_k=0, eos_token_id=-1)

    def run() -> int:
        written = plain.generate_batch(inputs=inputs, generation_config=settings, progress_bar=False)
        return sum(len(output.generated_tokens) for output in written.values())

    return run


SIDES: dict[str, Side] = {
    "ours": ours,
    "generate": transformers_generate(None),
    "generate, static cache": transformers_generate("static"),
    "continuous batching": continuous_batching,
}


def measure(side: Side, model: str, shape: Shape, repeats: int) -> dict[str, Any]:
    run = side(model, shape)
    tokens = shape.prompts * shape.group * shape.response
    found: list[int] = []
    seconds = common.best_of(repeats, lambda: found.append(run()))
    assert set(found) == {tokens}, f"wrote {set(found)} tokens, not {tokens}"
    return {"seconds": seconds, "tokens_per_second": tokens / seconds, "peak_bytes": common.peak_bytes()}


if __name__ == "__main__":
    common.compare_sides("Rollout", __doc__, __spec__.name, SIDES, measure, repeats=2)
