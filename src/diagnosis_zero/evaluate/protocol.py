"""RareArena's protocol: what is asked, what is accepted, how it is tabled.

Source: Chen et al., "RareArena", Lancet Digital Health 2026, and its repository (2024 scoring; revised
March 2026).
"""

from __future__ import annotations

import re

TOP = 5
_MARK = re.compile(r"[ \t]*+(?:\d{1,2}[.):]|[-*•])[ \t]++")


def named(answer: str | None, top: int) -> tuple[str, ...]:
    """The diagnoses that an answer names, the most likely first: the whole of it, or the first ``top`` of a
    list.
    """
    if answer is None:
        return ()
    if top == 1:
        return (answer,)
    return tuple(ranked(answer)[:top])


def ranked(answer: str) -> list[str]:
    """The items of a list: one a line, or "1. A; 2. B" in one line. Numbers, bullets and closing marks go."""
    lines = [line for line in answer.splitlines() if line.strip()]
    if len(lines) == 1:
        lines = _numbered(lines[0])
    items = (_MARK.sub("", line, count=1).strip().rstrip(";,.").strip() for line in lines)
    return [item for item in items if item]


def _numbered(line: str) -> list[str]:
    """ "1. A 2. B 3. C" cut before each next number in turn; a number out of turn belongs to a name."""
    cuts, number = [], 1
    for found in re.finditer(r"(?:^|(?<=[\s;,]))(\d{1,2})[.)] ", line):
        if int(found[1]) == number:
            cuts.append(found.start())
            number += 1
    if not cuts or line[: cuts[0]].strip():
        return [line]
    return [line[start:end] for start, end in zip(cuts, [*cuts[1:], len(line)], strict=True)]
