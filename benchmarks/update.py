"""Seconds and peak memory of one update (forward, backward, AdamW), packed against padded, with and without
checkpointing.

    python -m benchmarks.update [--json OUT] [--shape small] [--repeats N]

Padded: each completion behind a copy of its prompt, in one batch, logits of the completions alone, by the same model
with transformers' own attention. Same weights, tokens, loss (mean logprob) and optimizer; a process a side.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from benchmarks import common
from benchmarks.common import Shape

Side = Callable[[str, Shape], Callable[[], object]]


def tokens(shape: Shape, vocabulary: int) -> list[tuple[list[int], list[list[int]]]]:
    import torch

    generator = torch.Generator().manual_seed(0)

    def drawn(count: int) -> list[int]:
        found: list[int] = torch.randint(10, vocabulary, (count,), generator=generator).tolist()
        return found

    return [(drawn(shape.prompt), [drawn(shape.response) for _ in range(shape.group)]) for _ in range(shape.prompts)]


def packed(checkpointing: bool) -> Side:
    def side(model: str, shape: Shape) -> Callable[[], object]:
        from diagnosis_zero.engine.layout import pack
        from diagnosis_zero.engine.logprobs import backward
        from diagnosis_zero.engine.model import enable_checkpointing, load

        policy = load(model).model.train()
        if checkpointing:
            enable_checkpointing(policy)
        optimizer = _optimizer(policy)
        groups = tokens(shape, policy.config.vocab_size)
        count = shape.prompts * shape.group * shape.response

        def run() -> None:
            for row in pack(groups, 16384):
                backward(policy, row.to(policy.device), lambda part, logprobs, entropies: -logprobs.sum() / count)
                optimizer.collect()
            optimizer.step(1e-6, 1.0)

        return run

    return side


def padded(checkpointing: bool) -> Side:
    def side(model: str, shape: Shape) -> Callable[[], object]:
        import torch

        plain = common.plain_model(model).train()
        if checkpointing:
            plain.gradient_checkpointing_enable({"use_reentrant": False})
        optimizer = _optimizer(plain)
        groups = tokens(shape, plain.config.vocab_size)
        every = [[*prompt, *completion] for prompt, many in groups for completion in many]
        ids = torch.tensor(every, device=plain.device)
        targets = ids[:, shape.prompt :]

        def run() -> None:
            logits = plain(ids, use_cache=False, logits_to_keep=shape.response + 1).logits[:, :-1]
            logprobs = logits.float().log_softmax(-1).gather(2, targets[..., None])
            (-logprobs.mean()).backward()
            optimizer.collect()
            optimizer.step(1e-6, 1.0)

        return run

    return side


def _optimizer(model: Any) -> Any:
    from diagnosis_zero.train.optimizer import MasterAdamW

    return MasterAdamW(model, betas=(0.9, 0.999), weight_decay=0.0)


SIDES: dict[str, Side] = {
    "packed": packed(False),
    "packed, checkpointing": packed(True),
    "padded": padded(False),
    "padded, checkpointing": padded(True),
}


def measure(side: Side, model: str, shape: Shape, repeats: int) -> dict[str, Any]:
    seconds = common.best_of(repeats, side(model, shape))
    return {"seconds": seconds, "peak_bytes": common.peak_bytes()}


if __name__ == "__main__":
    common.compare_sides("Update", __doc__, __spec__.name, SIDES, measure, repeats=1)
