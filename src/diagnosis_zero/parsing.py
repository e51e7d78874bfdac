"""A completion taken apart into reasoning, answer and what stands around them: the project's only parser.

The full form is ``<think>reasoning</think><answer>diagnosis</answer>`` with nothing but whitespace around
and between the two blocks. The rest is read as far as it can be; every departure is named (``FAULTS``).

Where the form is broken, three rules decide. Each is the strict reading: a reward teaches what it tolerates.

1. Reasoning runs from ``<think>`` to the next ``</think>``; without one, to the end of the text. A
   ``</think>`` that nothing opened makes reasoning of all before it, back to the last reasoning.
2. Answer tags inside reasoning are not an answer. A mention of the tags costs the form only; a filled block
   there is a draft that stands beside the answer, so that there is no longer one answer.
3. There is an answer only where the text outside the reasoning holds exactly one ``<answer>`` and one
   ``</answer>``, in this order, with no other tag between them.

Tags are ASCII, in upper or lower case, with whitespace allowed after ``<``, after ``/`` and before ``>``
(``< / Answer >``). Attributes make no tag: ``<answer id=1>`` is text. Time is linear in the length of the
text: one pass of a pattern that cannot backtrack (possessive quantifiers), then one step a tag.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import islice
from typing import Literal, NamedTuple

from diagnosis_zero.types import Parsed

FAULT_MEANINGS: dict[str, str] = {
    "think_missing": "no reasoning: neither <think> nor </think>",
    "think_empty": "reasoning without a letter or digit",
    "think_unopened": "a </think> that nothing opened (in most completions: the chat template opened it)",
    "think_unclosed": "reasoning that runs to the end of the text",
    "think_nested": "<think> inside reasoning (also where the template had opened it already)",
    "think_repeated": "more than one stretch of reasoning",
    "answer_missing": "no <answer> outside the reasoning",
    "answer_empty": "the answer holds no letter or digit",
    "answer_unopened": "a </answer> that nothing opened",
    "answer_unclosed": "an answer that runs to the end of the text",
    "answer_nested": "<answer> inside an answer",
    "answer_repeated": "more than one answer block, a filled block inside the reasoning counted",
    "answer_in_think": "an answer tag inside reasoning",
    "answer_before_think": "reasoning that begins after an answer",
    "think_in_answer": "a think tag inside an answer",
    "text_before": "text before the first block",
    "text_between": "text between two blocks",
    "text_after": "text after the last block",
    "tags_flooded": "more than 1,000 tags or 10,000 '<': the text is not taken apart",
    "truncated": "the length limit cut the form (a complete form that merely reaches the limit is not cut)",
}
FAULTS: tuple[str, ...] = tuple(FAULT_MEANINGS)

TAG = re.compile(r"<[ \t\r\n]*+(/?)[ \t\r\n]*+(think|answer)[ \t\r\n]*+>", re.IGNORECASE | re.ASCII)
"""A tag of the form: (the slash of a closing one, its name)."""
_MARK = re.compile(r"[ \t]*+(?:\d{1,2}[.):]|[-*•])[ \t]++")
_NUMBER = re.compile(r"(?:^|(?<=[\s;,]))(\d{1,2})[.)] ")
_MAX_TAGS, _MAX_BRACKETS = 1000, 10_000
# An honest completion holds four tags; a megabyte of them would cost a tenth of a second.
_SPOILS_ANSWER = {"answer_repeated", "answer_nested", "answer_unopened", "answer_unclosed", "think_in_answer"}

Kind = Literal["outside", "think", "answer"]


class _Block(NamedTuple):
    kind: Kind
    text: str


def render(think: str, answer: str) -> str:
    """The full form. The one place that writes it (warm start, doctor, tests)."""
    return f"<think>\n{think.strip()}\n</think>\n<answer>{answer.strip()}</answer>"


def parse(text: str, *, think_opened: bool = False, truncated: bool = False) -> Parsed:
    """Take one completion apart; never raises on any string.

    Args:
        text: what the model wrote, special tokens removed.
        think_opened: the chat template ended the prompt with ``<think>``: the text begins inside reasoning.
        truncated: the completion ended at the length limit (``Completion.finish == "length"``).
    """
    blocks, faults = _cut(text, think_opened)
    thinks = [block.text.strip() for block in blocks if block.kind == "think"]
    answers = [block.text.strip() for block in blocks if block.kind == "answer"]
    before, between, after = _surroundings(blocks)
    drafted = "answer_in_think" in faults and any(map(_holds_draft, thinks))
    unclosed = faults & {"think_unclosed", "answer_unclosed"}
    kinds = [block.kind for block in blocks]
    found = {
        "think_missing": not thinks,
        "think_empty": bool(thinks) and all(map(_empty, thinks)),
        "think_repeated": len(thinks) > 1,
        "answer_missing": not answers and "answer_unclosed" not in faults,
        "answer_empty": any(map(_empty, answers)),
        "answer_repeated": len(answers) + drafted + ("answer_unclosed" in faults) > 1,
        "answer_before_think": "answer" in kinds and "think" in kinds[kinds.index("answer") :],
        "text_before": bool(before),
        "text_between": bool(between),
        "text_after": bool(after),
        "truncated": truncated and (bool(unclosed) or not answers),
    }
    faults |= {name for name, true in found.items() if true}
    return Parsed(
        think="\n".join(thinks) if thinks else None,
        answer=answers[0] if len(answers) == 1 and not faults & _SPOILS_ANSWER else None,
        before=before,
        between=between,
        after=after,
        answers=tuple(answers),
        faults=tuple(name for name in FAULTS if name in faults),
    )


def _cut(text: str, think_opened: bool) -> tuple[list[_Block], set[str]]:
    """The text as consecutive blocks, tags left out, and the faults that only the order of the tags shows.
    An answer that is never closed gives no block."""
    tags = list(islice(TAG.finditer(text), _MAX_TAGS + 1)) if text.count("<") <= _MAX_BRACKETS else None
    if tags is None or len(tags) > _MAX_TAGS:
        return [_Block("outside", text)], {"tags_flooded"}
    blocks: list[_Block] = []
    faults: set[str] = set()
    inside: Kind = "think" if think_opened else "outside"
    start = reasoned = 0  # where the present block, and the text after the last reasoning, begin
    for tag in tags:
        closing, name = bool(tag[1]), tag[2].lower()
        if name == inside and closing:
            blocks.append(_Block(inside, text[start : tag.start()]))
            inside, start = "outside", tag.end()
            reasoned = start if name == "think" else reasoned
        elif inside != "outside":
            faults.add(f"{name}_nested" if name == inside else f"{name}_in_{inside}")
        elif closing and name == "think":
            faults |= {"think_unopened"} | _reclaim(blocks)
            blocks.append(_Block("think", text[reasoned : tag.start()]))
            start = reasoned = tag.end()
        else:
            blocks.append(_Block("outside", text[start : tag.start()]))
            start = tag.end()
            if closing:
                faults.add("answer_unopened")
            else:
                inside = "think" if name == "think" else "answer"
    if inside != "outside":
        faults.add(f"{inside}_unclosed")
    if inside != "answer":
        blocks.append(_Block(inside, text[start:]))
    return blocks, faults


def _reclaim(blocks: list[_Block]) -> set[str]:
    """Take back the blocks since the last reasoning: a ``</think>`` has shown them to be reasoning."""
    faults = set()
    while blocks and blocks[-1].kind != "think":
        if blocks.pop().kind == "answer":
            faults.add("answer_in_think")
    return faults


def _holds_draft(reasoning: str) -> bool:
    """Whether a filled answer block stands inside the reasoning (its tags alone are a mere mention)."""
    start: int | None = None
    for tag in TAG.finditer(reasoning):
        if tag[2].lower() == "answer":
            if tag[1] and start is not None and not _empty(reasoning[start : tag.start()]):
                return True
            start = None if tag[1] else tag.end()
    return False


def _surroundings(blocks: list[_Block]) -> tuple[str, str, str]:
    """The text outside the blocks: before the first, between, and after the last."""
    filled = [index for index, block in enumerate(blocks) if block.kind != "outside"]
    first, last = (filled[0], filled[-1]) if filled else (len(blocks), len(blocks))
    return _outside(blocks[:first]), _outside(blocks[first:last]), _outside(blocks[last:])


def _outside(blocks: Iterable[_Block]) -> str:
    pieces = (block.text.strip() for block in blocks if block.kind == "outside")
    return "\n".join(piece for piece in pieces if piece)


def _empty(text: str) -> bool:
    """No letter or digit, or none within 10,000 signs."""
    return not any(map(str.isalnum, text[:10_000]))


def ranked(answer: str) -> list[str]:
    """The items of a ranked answer, the first first: one a line, or "1. A; 2. B" in one line. Numbers, bullets
    and closing marks go; empty items are left out."""
    lines = [line for line in answer.splitlines() if line.strip()]
    if len(lines) == 1:
        lines = _cut_at_numbers(lines[0])
    items = (_unmarked(line).strip().rstrip(";,.").strip() for line in lines)
    return [item for item in items if item]


def _unmarked(line: str) -> str:
    """Without the number or bullet that it begins with; one inside a name ("type 2: ...") stays."""
    mark = _MARK.match(line)
    return line[mark.end() :] if mark else line


def _cut_at_numbers(line: str) -> list[str]:
    """Cut before "1.", the next "2." and so on; a number out of turn belongs to a name ("type 2. B")."""
    cuts: list[int] = []
    for found in _NUMBER.finditer(line):
        if int(found[1]) == len(cuts) + 1:
            cuts.append(found.start())
    if not cuts or line[: cuts[0]].strip():
        return [line]
    return [line[start:end] for start, end in zip(cuts, [*cuts[1:], len(line)], strict=True)]
