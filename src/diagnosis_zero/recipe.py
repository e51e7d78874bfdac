"""The recipe of a run: its sections, their keys, and what each key may be. ``config`` reads and checks it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

Objective = Literal["grpo", "dr-grpo", "dapo", "gspo", "cispo"]
Aggregation = Literal["token-mean", "sequence-mean", "dr-grpo"]
Normalise = Literal["std", "mean"]
KlEstimator = Literal["k1", "k2", "k3"]
Sink = Literal["tensorboard", "wandb"]
Projection = Literal["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]

Count = Annotated[int, Field(ge=1)]
Share = Annotated[float, Field(ge=0.0, le=1.0)]
Positive = Annotated[float, Field(gt=0.0)]
NonNegative = Annotated[float, Field(ge=0.0)]

OBJECTIVE_DEFAULTS: dict[str, dict[str, Any]] = {
    "grpo": {},
    "dr-grpo": {"aggregation": "dr-grpo", "normalise": "mean"},
    "dapo": {"clip_high": 0.28, "overlong": "penalise"},
    "gspo": {"clip_low": 3e-4, "clip_high": 4e-4, "aggregation": "sequence-mean"},
    "cispo": {"clip_low": 1.0, "clip_high": 4.0},
}
"""What ``train.objective`` sets where the recipe does not say otherwise (sources: ``train.loss``)."""


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class Model(_Section):
    """Which policy is trained, and in which number format it computes."""

    id: str
    """``tiny`` (made by the project), ``smollm2`` (from a package), a Hugging Face id, or a folder."""
    dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    """Compute type; ``auto``: bfloat16 on a GPU and on a CPU that multiplies it clearly faster, else float32. The
    master weights are float32 always."""
    gradient_checkpointing: bool = False
    trust_remote_code: bool = False


class Lora(_Section):
    """Train thin matrices beside frozen weights (LoRA), for a model that is too large to be trained whole."""

    rank: Count = 16
    alpha: Positive = 32.0
    """The adapter's product is multiplied by alpha / rank."""
    targets: Annotated[tuple[Projection, ...], Field(strict=False, min_length=1)] = get_args(Projection)
    """The projections that get an adapter; absent: all seven of each layer."""


class Vignettes(_Section):
    """Cases made at start from the HPO annotations, instead of a prepared folder."""

    diseases: Count = 60
    cases: Count = 4000
    findings: Count = 6
    noise: Annotated[int, Field(ge=0)] = 1
    """Findings of each case that do not belong to its disease."""
    excluded: Annotated[int, Field(ge=0)] = 2
    """Findings of each case that are told to be absent."""
    phrasings: Count = 2
    """Ways to write one finding."""
    seed: int = 0


class Data(_Section):
    """Where the cases come from: exactly one of ``folder`` and ``vignettes``."""

    folder: str | None = None
    """What ``dz prepare`` wrote."""
    vignettes: Vignettes | None = None
    max_prompt_tokens: Count = 1024
    """Longer prompts are dropped and counted, never cut."""


class Prompt(_Section):
    template: str = "diagnosis"
    """A template of ``prompts`` by name, or a file."""


class Reward(_Section):
    method: Literal["sequence", "ontology"] = "ontology"
    catalogue: str = "default"
    """``default`` (HPO's diseases), ``none`` (the words of the names alone), or a file made by
    ``dz catalogue build``. For ``ontology`` only."""
    weights: dict[str, float] = {}
    """Weight of each part of the reward; parts not named keep the reward's own weights."""

    @property
    def source(self) -> str | None:
        """The catalogue as ``rewards.build_reward`` takes it."""
        return None if self.catalogue == "none" else self.catalogue

    @field_validator("catalogue", mode="before")
    @classmethod
    def _none_is_a_name_here(cls, given: Any) -> Any:
        return "none" if given is None else given


class Rollout(_Section):
    prompts: Count = 8
    """Prompts (groups) of one step."""
    group: Annotated[int, Field(ge=2)] = 16
    """Completions of each prompt."""
    max_tokens: Count = 1024
    temperature: Positive = 1.0
    curriculum: bool = False
    """Cases on which the last group was divided come more often (``train.curriculum``); false: shuffled passes."""
    resample: Annotated[int, Field(ge=0)] = 0
    """Rounds in which groups that teach nothing are drawn again on other prompts (dynamic sampling); 0: they stay."""


class Train(_Section):
    """The update. ``objective`` sets the defaults of ``OBJECTIVE_DEFAULTS``; a key in the recipe wins."""

    steps: Count | None = None
    epochs: Count | None = None
    """Passes over the training cases; with ``steps`` too, whichever ends first."""
    lr: Positive = 1e-6
    warmup: Annotated[int, Field(ge=0)] = 0
    """Steps of linear warm-up; constant after."""
    weight_decay: NonNegative = 0.0
    betas: Annotated[tuple[Share, Share], Field(strict=False)] = (0.9, 0.999)
    max_grad_norm: Positive = 1.0
    optimizer: Literal["adamw", "adamw8bit"] = "adamw"
    """``adamw8bit``: moments of one byte instead of four, for large models on one GPU."""
    offload: bool = False
    """Masters, their gradients and the moments in host memory, where the step is then computed: for a GPU too small."""
    objective: Objective = "grpo"
    clip_low: Share = 0.2
    clip_high: NonNegative = 0.2
    """The importance ratio is clipped to [1 - clip_low, 1 + clip_high]."""
    dual_clip: Annotated[float, Field(gt=1.0)] | None = None
    """Bound on the ratio where the advantage is negative; absent: unbounded. Not for ``cispo``."""
    aggregation: Aggregation = "token-mean"
    normalise: Normalise = "std"
    """Advantage: (r - mean) / (unbiased std + 1e-6), or r - mean alone."""
    kl_coefficient: NonNegative = 0.0
    """0: no reference model is held."""
    kl_estimator: KlEstimator = "k3"
    kl_place: Literal["loss", "reward"] = "loss"
    entropy_coefficient: NonNegative = 0.0
    sampler_ratio_cap: Positive | None = None
    """Cap of the truncated importance weight trainer/sampler; absent: no correction."""
    overlong: Literal["score", "mask", "penalise"] = "score"
    """A completion that reached ``rollout.max_tokens``: scored like any other, left out of the update, or
    (with those that end within ``overlong_buffer`` of it) penalised softly."""
    overlong_buffer: Count | None = None
    """Tokens before the limit over which the penalty grows from 0 to 1; absent: a fifth of the limit."""
    minibatches: Count = 1
    """Optimizer updates of one rollout batch, each on its own share of the prompts."""
    micro_batch_tokens: Count = 16384
    """Tokens of one forward pass. The result does not depend on it; memory does."""

    @model_validator(mode="before")
    @classmethod
    def _objective_defaults(cls, given: Any) -> Any:
        if not isinstance(given, Mapping):
            return given
        return {**OBJECTIVE_DEFAULTS.get(str(given.get("objective", "grpo")), {}), **given}


class Warmstart(_Section):
    """A short supervised phase on rendered vignettes, for models that cannot yet hold the format."""

    batches: Count
    batch_size: Count = 32
    lr: Positive = 1e-3
    teacher: Literal["partner", "blind", "habit"] = "partner"
    """Kind of weakness of the teacher (``cases.teacher``)."""
    skill: Share = 0.5
    """1: as good as a teacher of its kind can be."""


class Eval(_Section):
    """Scores: the validation split while training, the test split before and after."""

    every: Count = 10
    cases: Count = 200
    samples: Annotated[int, Field(ge=0)] = 0
    """Sampled answers of each case beside the greedy one, here and in the final evaluation."""
    test_cases: Count | None = None
    """Test cases of the evaluations before and after training, the first so many; absent: all."""


class Checkpoint(_Section):
    every: Count = 50
    """Steps between two; each is scored on the validation cases too, so that a rewind knows what it goes back to."""
    keep: Count = 2
    """Newest checkpoints kept whole (the best is too); of older ones only the weights stay."""


class Guard(_Section):
    on_collapse: Literal["warn", "stop", "rewind"] = "stop"
    rewinds: Annotated[int, Field(ge=0)] = 2
    """Rewinds to the last good checkpoint before the run stops."""
    lr_factor: Positive = 0.5
    """The learning rate is multiplied by it at each rewind."""


class Run(_Section):
    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
    dir: str = "runs"
    seed: int = 0
    """Seeds the order of the data, the sampling, and weights drawn at random."""
    sinks: Annotated[tuple[Sink, ...], Field(strict=False)] = ()
    """Fed from ``metrics.jsonl``, which is always written."""
    show_completion: bool = False
    """Print one sampled completion of each step, with what it earned."""

    @property
    def folder(self) -> Path:
        return Path(self.dir) / self.name


class Recipe(_Section):
    """A whole run. ``model``, ``data``, ``train`` and ``run`` must be given."""

    model: Model
    lora: Lora | None = None
    """Absent: every weight is trained."""
    data: Data
    prompt: Prompt = Prompt()
    reward: Reward = Reward()
    rollout: Rollout = Rollout()
    train: Train
    warmstart: Warmstart | None = None
    """Absent: off."""
    eval: Eval = Eval()
    checkpoint: Checkpoint = Checkpoint()
    guard: Guard = Guard()
    run: Run
    verl: dict[str, Any] = {}
    """Options of verl by their own names, for ``--engine verl``: passed through, and judged by verl itself."""
