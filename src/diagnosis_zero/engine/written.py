"""What a completion has written so far, and whether its last token ended it."""

from __future__ import annotations

from dataclasses import dataclass, field

from diagnosis_zero.engine.model import Policy
from diagnosis_zero.types import Completion, Finish, SamplingParams


@dataclass(slots=True)
class Written:
    """The tokens of a row with the sampler's logprobs; ``key`` is that of its random numbers."""

    key: int
    tokens: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)

    def add(self, token: int, logprob: float) -> None:
        self.tokens.append(token)
        self.logprobs.append(logprob)


class Ending:
    """When a completion ends: at a stop token, at a stop string, or at ``max_tokens``."""

    def __init__(self, policy: Policy, params: SamplingParams) -> None:
        self.tokenizer, self.params, self.stop_ids = policy.tokenizer, params, policy.stop_ids()

    def completion(self, written: Written) -> Completion | None:
        """The completion, if its last token ended it."""
        ended = written.tokens[-1] in self.stop_ids or self._at_stop_string(written)
        if not (ended or len(written.tokens) >= self.params.max_tokens):
            return None
        text = self.tokenizer.decode(written.tokens, skip_special_tokens=True)
        finish: Finish = "stop" if ended else "length"
        return Completion(text, finish, tuple(written.tokens), tuple(written.logprobs))

    def _at_stop_string(self, written: Written) -> bool:
        if not self.params.stop:
            return False
        # A stop string of k bytes spans at most k tokens; a few more cover pieces of the character before it.
        longest = max(len(stop.encode()) for stop in self.params.stop)
        tail = self.tokenizer.decode(written.tokens[-longest - 4 :])
        return any(stop in tail for stop in self.params.stop)
