"""What a run starts from: its cases, its policy (made or loaded, warm-started) and its frozen reference."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from diagnosis_zero import parsing, prompts
from diagnosis_zero.cases import export, teacher, vignettes
from diagnosis_zero.cases.prepare import prepare
from diagnosis_zero.engine import lora, tiny
from diagnosis_zero.engine import model as models
from diagnosis_zero.engine.generate import encode_chat
from diagnosis_zero.engine.model import Policy
from diagnosis_zero.errors import InputError
from diagnosis_zero.recipe import Recipe, Vignettes, Warmstart
from diagnosis_zero.train.warmstart import Example, warm_start
from diagnosis_zero.types import Case

TINY = {"vocabulary": 2048, "hidden": 160, "layers": 4, "heads": 4}
"""Shape of the model named "tiny"."""
WARMSTART_CASES = 4000
"""Rendered vignettes that a warm start draws its batches from."""

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Splits:
    train: list[Case]
    val: list[Case]
    test: list[Case]


def splits(recipe: Recipe, run_dir: Path) -> Splits:
    """The cases of the run, from the prepared folder or (vignettes) from ``RUN/data``, made there once."""
    folder = run_dir / "data" if recipe.data.folder is None else Path(recipe.data.folder)
    if recipe.data.vignettes is not None and not (folder / "manifest.json").is_file():
        source = vignettes.generate(world_of(recipe.data.vignettes), recipe.data.vignettes.cases, recipe.run.seed)
        template = prompts.load_template(recipe.prompt.template)
        prepare(source, folder, split="random", seed=recipe.run.seed, template=template)
    return Splits(*(export.read_cases(folder, split) for split in ("train", "val", "test")))


def short_enough(found: Splits, policy: Policy, template: str, longest: int, say: Say) -> Splits:
    """The cases whose prompts have at most ``longest`` tokens; says how many of each split are left out.

    Raises:
        InputError: no training case is left.
    """

    def fits(case: Case) -> bool:
        return len(encode_chat(policy.tokenizer, prompts.build_chat(case, template))) <= longest

    every = (found.train, found.val, found.test)
    kept = [[case for case in cases if fits(case)] for cases in every]
    dropped = [len(cases) - len(left) for cases, left in zip(every, kept, strict=True)]
    if any(dropped):
        shown = "{} to train, {} to validate, {} to test".format(*dropped)
        say(f"left out, their prompts being longer than {longest} tokens: {shown}")
    if not kept[0]:
        what = f"no training case has a prompt of at most {longest} tokens"
        raise InputError(what, mend="Raise data.max_prompt_tokens, or prepare cases with a training split.")
    return Splits(*kept)


def world_of(settings: Vignettes) -> vignettes.World:
    """The closed world that a recipe's vignettes come from."""
    return vignettes.build_world(
        diseases=settings.diseases,
        seed=settings.seed,
        findings=settings.findings,
        noise=settings.noise,
        excluded=settings.excluded,
        phrasings=settings.phrasings,
    )


def fresh_policy(recipe: Recipe, cases: Sequence[Case], say: Say, on_batch: Callable[[int, float], None]) -> Policy:
    """The policy before reinforcement learning: loaded or (tiny) made, then warm-started where the recipe asks."""
    warm = recipe.warmstart
    examples = worked_examples(recipe, cases)
    policy = untaught_policy(recipe, cases, examples)
    if warm is not None:
        say(f"warm start: {warm.batches} batches of {warm.batch_size} worked examples")
        warm_start(
            policy,
            examples,
            batches=warm.batches,
            batch_size=warm.batch_size,
            lr=warm.lr,
            seed=recipe.run.seed,
            token_budget=recipe.train.micro_batch_tokens,
            on_batch=on_batch,
        )
    return policy


def untaught_policy(recipe: Recipe, cases: Sequence[Case], examples: Sequence[Example]) -> Policy:
    """The policy before any warm start. The tokenizer of "tiny" learns from the cases and the examples."""
    wanted = recipe.model
    if wanted.id != "tiny":
        return models.load(wanted.id, dtype=wanted.dtype, trust_remote_code=wanted.trust_remote_code)
    template = prompts.load_template(recipe.prompt.template)
    texts = [prompts.fill(template, case.text) for case in cases[:WARMSTART_CASES]]
    return tiny.build(texts + [target for _, target in examples], seed=recipe.run.seed, **TINY)


def worked_examples(recipe: Recipe, cases: Sequence[Case]) -> list[Example]:
    """Examples by the weak teacher: on the run's own training vignettes, or on vignettes made for it; none where
    the recipe has no warm start."""
    return [] if recipe.warmstart is None else list(_examples(recipe, recipe.warmstart, cases))


def _examples(recipe: Recipe, warm: Warmstart, cases: Sequence[Case]) -> Iterator[Example]:
    template = prompts.load_template(recipe.prompt.template)
    world = world_of(recipe.data.vignettes or Vignettes())
    if recipe.data.vignettes is None:
        cases = list(vignettes.generate(world, WARMSTART_CASES, recipe.run.seed, style="full"))
    for case in cases[:WARMSTART_CASES]:
        think, answer = teacher.reasoning(world, case, skill=warm.skill, teacher=warm.teacher)
        yield prompts.build_chat(case, template), parsing.render(think, answer)


def reference_of(kl_coefficient: float, policy: Policy, initial: Path, dtype: str) -> Any:
    """The frozen model of the KL term: the policy without its adapter, or the checkpoint ``initial`` of step 0. None
    where there is no such term."""
    if kl_coefficient == 0:
        return None
    if lora.is_adapted(policy.model):
        return lora.WithoutAdapter(policy.model)
    return models.load(str(initial), dtype=dtype).model.requires_grad_(False).eval()


def opens_thinking(policy: Policy) -> bool:
    """Whether the chat template itself writes the <think> that the completion then goes on from."""
    opening = policy.tokenizer.decode(encode_chat(policy.tokenizer, [{"role": "user", "content": "?"}]))
    return bool(opening.rstrip().endswith("<think>"))
