"""Does an English completion slip into another language, where, and which?

Three steps, the cheap ones first: letters of another script (``scripts``), words that give a language of Latin script
away (``latin``), and lingua's opinion of what remains doubtful (``doubt``); without lingua (extra ``eval``) doubt means
"not mixed".
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from diagnosis_zero.behaviour.latin import latin_script
from diagnosis_zero.behaviour.scripts import other_scripts
from diagnosis_zero.parsing import TAG

Part = Literal["before", "think", "between", "answer", "after"]


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of another language: offsets into the text, ISO 639-1 code (or name of the script), part."""

    start: int
    end: int
    language: str
    part: Part


@dataclass(frozen=True, slots=True)
class LanguageMix:
    """``share`` is the share of the text's letters that stand in the spans."""

    spans: tuple[Span, ...] = ()
    share: float = 0.0

    @property
    def mixed(self) -> bool:
        return bool(self.spans)


NOT_MIXED = LanguageMix()


def features(text: str, *, think_opened: bool = False) -> Mapping[str, float]:
    """``language/mixed`` and ``language/mixed_<part>`` where set, and then ``language/share`` of the letters."""
    mix = detect(text, think_opened=think_opened)
    if not mix.mixed:
        return {}
    parts = {f"language/mixed_{span.part}": 1.0 for span in mix.spans}
    return {"language/mixed": 1.0, "language/share": mix.share, **parts}


def detect(text: str, *, think_opened: bool = False) -> LanguageMix:
    """Where ``text``, expected in English, is in another language. Time is linear in the length of the text."""
    found = [*other_scripts(text), *latin_script(text)]
    if not found:
        return NOT_MIXED
    parts = _Parts(text, think_opened)
    spans = [Span(start, end, language, parts.at(start)) for start, end, language in _apart(found)]
    letters = sum(map(str.isalpha, text))
    foreign = sum(char.isalpha() for span in spans for char in text[span.start : span.end])
    return LanguageMix(tuple(spans), foreign / letters)


def _apart(found: Sequence[tuple[int, int, str]]) -> Iterator[tuple[int, int, str]]:
    """In order and without overlap: a stretch of Latin script may hold words of another script."""
    last = 0
    for start, end, language in sorted(found):
        if end > last:
            yield max(start, last), end, language
            last = end


class _Parts:
    """Which part of the completion a place belongs to: what the last tag before it says."""

    def __init__(self, text: str, think_opened: bool) -> None:
        first: Part = "think" if think_opened else "before"
        self._starts, self._parts = [0], [first]
        for tag in TAG.finditer(text):
            inside: Part = "think" if tag[2].lower() == "think" else "answer"
            outside: Part = "between" if inside == "think" else "after"
            self._starts.append(tag.end())
            self._parts.append(outside if tag[1] else inside)

    def at(self, place: int) -> Part:
        return self._parts[bisect_right(self._starts, place) - 1]
