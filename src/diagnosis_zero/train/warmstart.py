"""A short supervised phase for models that cannot yet hold the format (R1's cold start; off for zero recipes)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from random import Random

from diagnosis_zero.engine.generate import encode_chat
from diagnosis_zero.engine.layout import pack
from diagnosis_zero.engine.logprobs import row_logprobs
from diagnosis_zero.engine.model import Policy
from diagnosis_zero.train.optimizer import MasterAdamW
from diagnosis_zero.types import Chat

Example = tuple[Chat, str]
"""A prompt and the completion to imitate."""


def warm_start(
    policy: Policy,
    examples: Sequence[Example],
    *,
    batches: int,
    batch_size: int,
    lr: float,
    seed: int,
    token_budget: int,
    on_batch: Callable[[int, float], None],
) -> None:
    """Minimise the mean negative logprob of the examples' tokens; see ``_rate`` for the schedule.

    ``on_batch(batch, loss)`` is called after each of the ``batches``; the loss is in nats a token.
    """
    optimizer = MasterAdamW(policy.model, betas=(0.9, 0.99), weight_decay=0.0)
    encoded = [_encode(policy, example) for example in examples]
    policy.model.train()
    for batch, chosen in enumerate(_batches(len(encoded), batches, batch_size, seed), start=1):
        loss = _learn(policy, optimizer, [encoded[i] for i in chosen], token_budget)
        optimizer.step(lr * _rate(batch, batches), max_grad_norm=1.0)
        on_batch(batch, loss)
    optimizer.release()


def _rate(batch: int, batches: int) -> float:
    """Share of the learning rate: up over 20 batches, constant, down to zero over the last 30 %. A model from random
    weights finds the task only after a stretch at the full rate; a rate that falls from the start ends too soon."""
    return min(1.0, batch / 20, (batches - batch + 1) / (0.3 * batches))


def _encode(policy: Policy, example: Example) -> tuple[list[int], list[int]]:
    chat, target = example
    completion = policy.tokenizer(target, add_special_tokens=False)["input_ids"]
    return encode_chat(policy.tokenizer, chat), [*completion, policy.tokenizer.eos_token_id]


def _batches(count: int, batches: int, size: int, seed: int) -> Iterator[list[int]]:
    """Shuffled passes over the examples, cut into batches."""
    random = Random(seed)
    queue: list[int] = []
    for _ in range(batches):
        while len(queue) < size:
            order = list(range(count))
            random.shuffle(order)
            queue += order
        yield queue[:size]
        del queue[:size]


def _learn(policy: Policy, optimizer: MasterAdamW, pairs: list[tuple[list[int], list[int]]], budget: int) -> float:
    tokens = sum(len(completion) for _, completion in pairs)
    total = 0.0
    for row in pack([(prompt, [completion]) for prompt, completion in pairs], budget):
        logprobs_N, _ = row_logprobs(policy.model, row.to(policy.device))
        loss = -logprobs_N.sum() / tokens
        loss.backward()
        optimizer.collect()
        total += float(loss.detach())
    return total
