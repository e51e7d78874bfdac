"""The cases: how many, whether the held-out ones are held out, and whether their prompts and answers fit."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path

from diagnosis_zero import prompts, records
from diagnosis_zero.doctor.notes import Note, error, ok, warning
from diagnosis_zero.engine.generate import encode_chat
from diagnosis_zero.engine.model import Policy
from diagnosis_zero.recipe import Recipe
from diagnosis_zero.train.start import Splits
from diagnosis_zero.train.warmstart import Example
from diagnosis_zero.types import Case

LOOKED_AT = 1000
"""Prompts whose tokens are counted."""
FEW_CASES = 50
"""Validation cases below which a score says little."""
WRITTEN = 450
"""Tokens that instruct models of 1.5 to 7 billion parameters write for a diagnosis: the upper end of the mean lengths
in the original system's curves (120 to 450)."""


def examine_splits(recipe: Recipe, found: Splits) -> Iterator[Note]:
    """Counts, and whether training can see what it is to be tested on."""
    counts = f"{len(found.train)} to train, {len(found.val)} to validate, {len(found.test)} to test"
    if not found.train:
        yield error("cases", counts, "Prepare cases with a training split.")
        return
    yield ok("cases", counts)
    yield from _validation(recipe, found)
    yield from _nameless(found)
    yield from _overlap(recipe, found)
    yield from _leaks(found)
    yield from _prepared_otherwise(recipe)


def _validation(recipe: Recipe, found: Splits) -> Iterator[Note]:
    looked = min(len(found.val), recipe.eval.cases)
    if not found.val or not found.test:
        empty = "validate" if not found.val else "test"
        mend = "Prepare the cases again with such a split: without it nothing tells learning from overfitting."
        yield warning("cases.held_out", f"there is no case to {empty} on", mend)
    elif looked < FEW_CASES:
        what = f"val/accuracy is of {looked} cases: its standard error is up to {50 / math.sqrt(looked):.0f} points"
        yield warning("cases.held_out", what, "Raise eval.cases, or prepare more cases; trust no single number.")


def _nameless(found: Splits) -> Iterator[Note]:
    bad = [case.id for case in (*found.train, *found.val, *found.test) if not named(case)]
    if bad:
        what = f"{len(bad)} cases have no accepted name, or an empty one, the first {bad[0]!r}"
        yield error("cases.names", what, "Mend or remove them: the reward stops the run at such a case.")


def named(case: Case) -> bool:
    """Whether a case has accepted names, none of them empty: what the reward asks of it."""
    return bool(case.names) and all(map(str.strip, case.names))


def _overlap(recipe: Recipe, found: Splits) -> Iterator[Note]:
    texts, sources = {case.text for case in found.train}, {case.source_id for case in found.train}
    held_out = (*found.val, *found.test)
    same = sum(case.text in texts for case in held_out)
    related = sum(case.source_id in sources for case in held_out)
    copies = f"{same} of {len(held_out)} held-out cases are training cases word for word"
    if same > 0.01 * len(held_out):
        yield error("cases.overlap", copies, "Remove the copies, and prepare the cases again.")
    elif same and recipe.data.folder is not None:  # made-up patients are alike now and then by chance
        yield warning("cases.overlap", copies, "Remove the copies, and prepare the cases again.")
    if related > same:
        what = f"{related} of {len(held_out)} held-out cases come from an article (or family) that is trained on"
        yield warning("cases.overlap", what, "Prepare the cases with --split article.")


def _leaks(found: Splits) -> Iterator[Note]:
    for split, cases in (("training", found.train), ("test", found.test)):
        leaky = sum(bool(case.leaks) for case in cases)
        if leaky > 0.05 * len(cases):
            what = f"{leaky} of {len(cases)} {split} cases name their answer in their text"
            yield warning("cases.leaks", what, "These are read off, not diagnosed: prepare with --drop-leaks.")


def _prepared_otherwise(recipe: Recipe) -> Iterator[Note]:
    """The prompt that was counted and written to the Parquet files should be the one that is trained on."""
    manifest = Path(recipe.data.folder or "") / "manifest.json"
    if recipe.data.folder is None or not manifest.is_file():
        return
    used = records.read_json(manifest).get("settings", {}).get("template")
    if used is not None and used != prompts.load_template(recipe.prompt.template):
        what = "the cases were prepared with another prompt template than the recipe's"
        mend = "Harmless to this engine; verl would train on the other: prepare again with --template, or mend prompt."
        yield warning("prompt.template", what, mend)


def examine_lengths(recipe: Recipe, policy: Policy, cases: Sequence[Case]) -> tuple[list[Note], list[Case], int]:
    """Notes on prompts over the limit; of the cases looked at those within it; and the mean tokens of their prompts."""
    looked = cases[:: math.ceil(len(cases) / LOOKED_AT)]
    template, limit = prompts.load_template(recipe.prompt.template), recipe.data.max_prompt_tokens
    lengths = [len(encode_chat(policy.tokenizer, prompts.build_chat(case, template))) for case in looked]
    fit = [(case, length) for case, length in zip(looked, lengths, strict=True) if length <= limit]
    mean = round(sum(length for _, length in fit) / len(fit)) if fit else limit
    return list(_over_limit(lengths, limit)), [case for case, _ in fit], mean


def _over_limit(lengths: Sequence[int], limit: int) -> Iterator[Note]:
    over = sum(length > limit for length in lengths)
    what = f"{over} of {len(lengths)} prompts looked at are longer than {limit} tokens (longest {max(lengths)})"
    if over == len(lengths):
        yield error("prompt.length", what, "Raise data.max_prompt_tokens: no case would be left.")
    elif over > 0.05 * len(lengths):
        mend = f"They are left out, which is a choice of patients: data.max_prompt_tokens = {max(lengths)} keeps all."
        yield warning("prompt.length", what, mend)
    else:
        yield ok("prompt.length", what)


def examine_truncation(
    recipe: Recipe, policy: Policy, cases: Sequence[Case], examples: Sequence[Example], form: str
) -> Iterator[Note]:
    """Will completions end within ``rollout.max_tokens``? After a warm start they are like its examples; without one
    the answer's own length, and what models of this kind write, must do. ``form``: the shortest honest completion."""
    limit = recipe.rollout.max_tokens
    shortest = max(_tokens(policy, form), *(_tokens(policy, form) + _tokens(policy, c.names[0]) for c in cases))
    if shortest > limit:
        what = f"the shortest honest completion has {shortest} tokens, rollout.max_tokens is {limit}"
        yield error("truncation", what, f"Raise rollout.max_tokens, to {4 * shortest} or more.")
    elif examples:
        yield from _examples_cut([_tokens(policy, target) + 1 for _, target in examples], limit)
    elif limit < WRITTEN:
        what = f"rollout.max_tokens is {limit}; instruct models write up to about {WRITTEN} for a diagnosis"
        yield warning("truncation", what, "Raise it, or watch length/truncated: what is cut earns nothing.")
    else:
        yield ok("truncation", f"{limit} tokens to write, the shortest honest completion has {shortest}")


def _examples_cut(lengths: Sequence[int], limit: int) -> Iterator[Note]:
    cut = sum(length > limit for length in lengths)
    what = f"{cut} of {len(lengths)} worked examples of the warm start are longer than rollout.max_tokens = {limit}"
    if cut > 0.05 * len(lengths):
        yield warning("truncation", what, f"Raise it to {max(lengths)} or more: the model learns to write that much.")
    else:
        yield ok("truncation", f"{what} (longest {max(lengths)})")


def _tokens(policy: Policy, text: str) -> int:
    return len(policy.tokenizer(text, add_special_tokens=False)["input_ids"])
