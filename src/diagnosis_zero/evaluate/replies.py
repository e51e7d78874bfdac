"""Replies one at a time, from any generator.

A server answers call by call, and a paid answer must be kept the moment it comes; the local engine answers a
batch. A generator that can yield has ``stream``; any other one is called with ``generate``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from diagnosis_zero.types import Chat, Completion, Generator, SamplingParams


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back for one sample of one prompt: a completion, or the ``error`` that stood in its place.

    ``prompt_tokens`` and ``tokens`` are what the server billed over all ``attempts``, 0 where it did not say.
    """

    prompt: int
    sample: int
    completion: Completion | None
    error: str | None = None
    prompt_tokens: int = 0
    tokens: int = 0
    attempts: int = 1


@runtime_checkable
class Streaming(Protocol):
    """A generator that yields each reply as it comes, in any order, failed ones included."""

    def stream(self, prompts: Sequence[Chat], n: int, params: SamplingParams) -> Iterator[Reply]: ...


def replies(
    generator: Generator | Streaming, prompts: Sequence[Chat], n: int, params: SamplingParams
) -> Iterator[Reply]:
    """``n`` replies of each prompt."""
    if isinstance(generator, Streaming):
        yield from generator.stream(prompts, n, params)
        return
    for prompt, completions in enumerate(generator.generate(prompts, n, params)):
        for sample, completion in enumerate(completions):
            yield Reply(prompt, sample, completion, tokens=len(completion.token_ids))
