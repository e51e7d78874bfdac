"""The records that pass between the stages. Standard library only.

Axis suffixes used in names throughout the project: ``_G`` one group (the completions of one prompt),
``_B`` the groups of one step, ``_T`` tokens, ``_V`` vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol, TypedDict

Finish = Literal["stop", "length"]
Label = Literal[0, 1, 2]
"""RareArena's scale: 2 the same disease, 1 an accepted hypernym of it, 0 neither."""


class Message(TypedDict):
    """One turn of a chat, as chat templates and OpenAI-compatible servers take it."""

    role: str
    content: str


@dataclass(frozen=True, slots=True)
class Finding:
    """A phenotype that was looked for: present, or (``excluded``) explicitly absent."""

    id: str
    label: str
    excluded: bool = False
    onset: str | None = None


@dataclass(frozen=True, slots=True)
class Case:
    """One patient: the text shown to the model and the answer it is scored against.

    ``names`` are the accepted names of the answer, the preferred one first; ``ids`` its identifiers
    ("ORPHA:558", "OMIM:154700"). ``source_id`` groups cases of one article or family. ``leaks`` are the
    accepted names (or synonyms) that stand in ``text``. ``date`` is ISO 8601 (YYYY-MM-DD).
    """

    id: str
    source: str
    source_id: str
    text: str
    names: tuple[str, ...]
    ids: tuple[str, ...] = ()
    age: str | None = None
    sex: str | None = None
    date: str | None = None
    findings: tuple[Finding, ...] = ()
    leaks: tuple[str, ...] = ()
    split: str | None = None
    extra: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Disease:
    """One entry of a nomenclature: identifiers that mean the same disease, and its names."""

    id: str
    name: str
    synonyms: tuple[str, ...] = ()
    xrefs: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SamplingParams:
    """How to sample. ``temperature`` 0 is greedy; ``top_p`` and ``top_k`` bias the importance ratio, so
    training leaves them off. Every (seed, row, position) draws its own uniform number."""

    max_tokens: int
    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    stop: tuple[str, ...] = ()
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Completion:
    """What a generator wrote for one prompt. ``logprobs`` are the sampler's, one a token, under the
    distribution that was sampled from; servers may leave ``token_ids`` and ``logprobs`` empty."""

    text: str
    finish: Finish
    token_ids: tuple[int, ...] = ()
    logprobs: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Parsed:
    """A completion taken apart. ``think`` and ``answer`` are stripped texts, None where absent.

    ``answer`` is set only where there is exactly one answer block, closed, outside the reasoning.
    ``faults`` name everything that is not the full form (see ``parsing.FAULTS``).
    """

    think: str | None
    answer: str | None
    before: str = ""
    between: str = ""
    after: str = ""
    answers: tuple[str, ...] = ()
    faults: tuple[str, ...] = ()

    @property
    def well_formed(self) -> bool:
        return not self.faults


@dataclass(frozen=True, slots=True)
class Match:
    """One prediction against the accepted names: the label, a score in [0, 1], the rule that decided,
    and the catalogue entry that the prediction was found to be."""

    label: Label
    score: float
    rule: str
    matched_id: str | None = None
    matched_name: str | None = None


@dataclass(frozen=True, slots=True)
class Reward:
    """``score`` is what the trainer uses; ``parts`` are the numbers it is made of (all are logged);
    ``notes`` say why, in words (rule, matched entry, faults)."""

    score: float
    parts: Mapping[str, float]
    notes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Group:
    """One prompt with its completions and their rewards: what an update learns from."""

    case: Case
    prompt_ids: tuple[int, ...]
    completions: tuple[Completion, ...]
    rewards: tuple[Reward, ...]


@dataclass(frozen=True, slots=True)
class Answer:
    """One completion kept for evaluation: everything that judges and behaviour analysis need."""

    case_id: str
    model: str
    step: int
    sample: int
    text: str
    think: str | None
    answer: str | None
    faults: tuple[str, ...]
    finish: Finish
    tokens: int
    references: tuple[str, ...]
    reference_ids: tuple[str, ...] = ()
    leaks: tuple[str, ...] = ()
    source_id: str = ""
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """A judge's word on one answer. ``label`` None is *unscored* (with the reason), never wrong."""

    case_id: str
    sample: int
    step: int
    judge: str
    label: Label | None
    score: float
    rule: str
    reason: str = ""
    matched_id: str | None = None


@dataclass(frozen=True, slots=True)
class Behaviour:
    """Features of one completion text: flags are 0/1, the rest numbers in the unit their name says."""

    case_id: str
    sample: int
    step: int
    features: Mapping[str, float]


Chat = Sequence[Message]
RewardFn = Callable[[str, Case], Reward]
"""Never raises on model text, always raises on a malformed case; touches no network, writes nothing."""


class Generator(Protocol):
    """The one seam for text: the engine, an OpenAI-compatible server and a scripted fake are each one.
    It serves rollout, evaluation and the LLM judge."""

    def generate(self, prompts: Sequence[Chat], n: int, params: SamplingParams) -> list[list[Completion]]:
        """``n`` completions of each prompt, in the order of the prompts."""
        ...
