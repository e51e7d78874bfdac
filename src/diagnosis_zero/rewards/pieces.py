"""An answer as text: undressed of markup and lead-in, and cut into pieces. Knows nothing of the true disease."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from diagnosis_zero.nomenclature.normalise import plain
from diagnosis_zero.rewards import wording

_WORD = re.compile(r"[a-z0-9]+(?:'[a-z]+)?")
_MARKS = " .,;:!?-{}[]|'`"
_FRAMING = re.compile(r"[\s,()]*+([A-Za-z']++|[:=>|-]++)")


class Piece(NamedTuple):
    """A stretch of an answer. ``opener`` is the punctuation before it, empty where a word made the break."""

    opener: str
    text: str
    start: int
    end: int


def words_of(text: str) -> list[str]:
    """The lower-case words and numbers of a plain text."""
    return _WORD.findall(text.lower())


def readings(answer: str) -> list[str]:
    """The text without markup, and then also without what leads in to the name; without duplicates."""
    bare = undressed(answer)
    stated = _without(wording.REASONED, bare)
    return list(dict.fromkeys([bare, stated[lead_in(stated) :].strip(_MARKS)]))


def undressed(answer: str) -> str:
    """ASCII on single spaces, without bullets, LaTeX, closing marks and a code in front; codes are one word."""
    signed = wording.ALIKE.sub(" like ", wording.STRUCK.sub(" not ", wording.LATEX.sub("", answer)))
    lines = (" ".join(line.split()) for line in plain(wording.PROBABILITY.sub("", signed)).splitlines())
    text = "\n".join(_without(wording.BULLET, line) for line in lines if line)
    for written, meant in wording.SAME_SENSE:
        text = text.replace(written, meant)
    return _without(wording.LEADING_CODE, wording.CODE.sub(r"code:\1-\2", text)).strip(_MARKS)


def _without(opening: re.Pattern[str], text: str) -> str:
    """``text`` behind an opening phrase, unless the phrase is all there is."""
    found = opening.match(text)
    return text[found.end() :] if found and found.end() < len(text) else text


def lead_in(text: str) -> int:
    """Where the name begins: behind the last link, or line, of the words that frame it; 0 without any."""
    end = position = 0
    before = ""
    while True:
        end = position if text.startswith("\n", position) else end
        token = _FRAMING.match(text, position)
        said = token[1].lower().strip("'") if token else ""
        word = said.removesuffix("'s")
        if not token or word not in wording.FRAME or (word == "of" and before not in wording.OF):
            return end
        position, before = token.end(), word
        if word in wording.LINKS or word == "of" or said in wording.CONTRACTED:
            end = position


def behind(text: str, end: int) -> str:
    """``text`` from ``end`` on, without the marks around it."""
    return text[end:].strip(_MARKS)


def cut(text: str) -> list[Piece]:
    """``text`` cut at every break; a word that makes the break begins the next piece."""
    return list(_cut(text))


def _cut(text: str) -> Iterator[Piece]:
    opener, start = "", 0
    for found in wording.BREAK.finditer(text):
        if found.start() > start:
            yield Piece(opener, text[start : found.start()], start, found.start())
            opener = ""
        opener, start = found[0].strip(" ") or opener, found.end()
    if start < len(text):
        yield Piece(opener, text[start:], start, len(text))
