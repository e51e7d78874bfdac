"""An answer as text: undressed of markup and lead-in, and cut into pieces. Knows nothing of the true disease."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

from diagnosis_zero.nomenclature.answer import names_disease
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
    clause = wording.CLAUSE.match(bare)
    plain_clause = clause and not any(map(names_disease, words_of(clause[0])))
    stated = _without(wording.CLAUSE if plain_clause else wording.REASONED, bare)
    return list(dict.fromkeys([bare, stated[lead_in(stated) :].strip(_MARKS)]))


def hidden_sense(answer: str) -> str:
    """The reason to refuse an answer for signs that plain text would lose: such as deny, and other scripts than
    Latin and Greek (names are compared in English alone, so what they say cannot be checked)."""
    if wording.STRUCK.search(answer):
        return "denied"
    return "" if answer.isascii() or not any(map(_foreign, answer)) else "another script"


@lru_cache(maxsize=10_000)
def _foreign(sign: str) -> bool:
    plain_sign = unicodedata.normalize("NFKC", sign)[:1]
    if plain_sign.isascii() or unicodedata.category(plain_sign) not in ("Lu", "Ll", "Lo", "Lt", "Nd"):
        return False
    return unicodedata.name(plain_sign, "").split(" ")[0] not in ("LATIN", "GREEK", "FEMININE", "MASCULINE")


def undressed(answer: str) -> str:
    """ASCII on single spaces, without bullets, LaTeX, closing marks and a code in front; codes are one word."""
    text = wording.ALIKE.sub(" like ", wording.WRAPPER.sub("\n", wording.LATEX.sub("", answer)))
    text = wording.PROBABILITY.sub("", wording.AGE.sub(" ", wording.AT_THE_END.sub("", text.rstrip(_MARKS))))
    lines = (" ".join(line.split()) for line in plain(text).splitlines())
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
        if not token or word not in wording.FRAME:
            return end
        leads = before in wording.PREPOSITIONS.get(word, ())
        if word == "of" and not leads:
            return end
        position, before = token.end(), word
        if leads or word in wording.LINKS or said in wording.CONTRACTED:
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
