"""The chat template and the tokenizer: what the model gets to read, and what is left of what it writes."""

from __future__ import annotations

from collections.abc import Iterator

from jinja2 import TemplateError

from diagnosis_zero import parsing, prompts
from diagnosis_zero.doctor.notes import Note, error, ok, warning
from diagnosis_zero.engine.generate import encode_chat
from diagnosis_zero.engine.model import Policy
from diagnosis_zero.types import Case, Chat

THOUGHT = "The findings fit this best."
TAIL = 60
"""Characters of the prompt's end that are shown."""


def completion(name: str) -> str:
    """A model answer in the full form."""
    return parsing.render(THOUGHT, name)


def as_generated(policy: Policy, text: str) -> str:
    """The text as it would come back from the engine, had the model written its tokens."""
    ids = policy.tokenizer(text, add_special_tokens=False)["input_ids"]
    return str(policy.tokenizer.decode([*ids, *sorted(policy.stop_ids())[:1]], skip_special_tokens=True))


def examine_template(policy: Policy, template: str, case: Case, opened: bool) -> Iterator[Note]:
    """Every check of this module, on the prompt of one case."""
    chat = prompts.build_chat(case, template)
    yield from _instructions(template)
    yield from _chat_template(policy)
    yield from _opening(policy, chat, opened)
    yield from _end_of_turn(policy)
    yield from _round_trip(policy)


def _instructions(template: str) -> Iterator[Note]:
    missing = [tag for tag in ("<think>", "<answer>") if tag not in template]
    if missing:
        what = f"the prompt does not mention {' and '.join(missing)}, which the reward looks for"
        yield warning("prompt.form", what, "Say in the template how the answer is to be written.")


def _chat_template(policy: Policy) -> Iterator[Note]:
    if policy.tokenizer.chat_template is None:
        mend = "Take the instruct model; or go on, knowing that the model gets the bare text."
        yield warning("template", "the tokenizer has no chat template", mend)


def _opening(policy: Policy, chat: Chat, opened: bool) -> Iterator[Note]:
    text = policy.tokenizer.decode(encode_chat(policy.tokenizer, chat))
    shown = f"the prompt ends in {text[-TAIL:]!r}"
    if text.rstrip().endswith("</think>"):
        mend = "Take a template that leaves the reasoning to the model (for a hybrid model, its thinking mode)."
        yield error("template.think", f"the chat template closes the reasoning before the model begins: {shown}", mend)
    elif opened:
        what = "the chat template opens <think> itself: completions lack the tag, and parser and reward know it"
        yield ok("template.think", f"{what}; {shown}")
    else:
        yield ok("template.think", f"the chat template leaves <think> to the model; {shown}")


def _end_of_turn(policy: Policy) -> Iterator[Note]:
    """Does what ends the assistant's turn in the template end a completion?"""
    if not policy.stop_ids():
        mend = "Name the token that ends a turn: eos_token_id in generation_config.json."
        yield error("template.stop", "neither tokenizer nor generation config has an end of sequence", mend)
        return
    end = _written_after_answer(policy)
    if not end:
        return
    ids = policy.tokenizer(end, add_special_tokens=False)["input_ids"]
    if ids[0] in policy.stop_ids():
        yield ok("template.stop", f"a turn ends in {end!r}, which ends a completion")
        return
    stops = [policy.tokenizer.decode([i]) for i in sorted(policy.stop_ids())]
    what = f"the template ends a turn in {end!r}, but a completion ends only at {', '.join(map(repr, stops))}"
    mend = f"Add the id of {end!r} ({ids[0]}) to eos_token_id in generation_config.json; else nothing is ever finished."
    yield error("template.stop", what, mend)


def _written_after_answer(policy: Policy) -> str:
    """What the template writes behind an assistant's answer, up to the first blank; empty where it writes nothing."""
    mark = "Gout."
    chat = [{"role": "user", "content": "?"}, {"role": "assistant", "content": mark}]
    try:
        text = str(policy.tokenizer.apply_chat_template(chat, tokenize=False))
    except (TemplateError, ValueError):  # a template for one turn only, or none
        return ""
    return next(iter(text.rpartition(mark)[2].split()), "") if mark in text else ""


def _round_trip(policy: Policy) -> Iterator[Note]:
    written = completion("Marfan syndrome")
    read = as_generated(policy, written)
    if read.split() == written.split():
        return
    what = f"the tokenizer does not give back what is written: {written!r} comes back as {read!r}"
    mend = "Tags that are special tokens vanish when text is decoded: make them ordinary tokens (special = false)."
    yield error("template.form", what, mend)
