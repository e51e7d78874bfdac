"""What one answer block commits to: a single diagnosis, or a refusal with the reason.

The block is cut into pieces at punctuation and at words that join (``or``, ``with``, ``confirmed``). The shortest
beginning that names the true disease (or else an accepted hypernym) is the claim, and every later piece must be
harmless: an explanation, a code, another name of the same disease. A qualifier ("type 2", an abbreviation) stays
with the claim, and the matcher judges both together. Without such a beginning the matcher judges the whole.

So the truth pays only where it stands first and alone. Names win over cutting: a text that is, as a whole, an
accepted name or a name of the nomenclature is never cut, whatever it holds ("with or without", "-like", "/").

Pure: the nomenclature arrives as functions (``asides.Truth``). The work is bounded: 1,000 characters, 20 pieces.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from diagnosis_zero.nomenclature.normalise import literal_key
from diagnosis_zero.rewards import asides, wording
from diagnosis_zero.rewards.asides import Truth
from diagnosis_zero.rewards.pieces import Piece, cut, hidden_sense, lead_in, readings, words_of

MAX_CHARS = 1000
MAX_PIECES = 20
MAX_SPAN = 10
"""Pieces of one name. "Coloboma, ocular, with or without hearing impairment, cleft lip/palate, and/or mental
retardation" has nine."""


@dataclass(frozen=True, slots=True)
class Slot:
    """``candidate`` is the text for the matcher; with a ``refusal`` it is empty and the answer earns nothing."""

    candidate: str
    refusal: str = ""


def read(answer: str, truth: Truth) -> Slot:
    """Read the text between the answer tags. Never raises on any string."""
    if len(answer) > MAX_CHARS:
        return Slot("", "too long")
    if reason := hidden_sense(answer):
        return Slot("", reason)
    texts = readings(answer)
    if not words_of(texts[-1]):
        return Slot("", "empty")
    if name := next((text for text in texts if _is_name(text, truth)), None):
        return Slot(name)
    if len(cut(texts[-1])) > MAX_PIECES:
        return Slot("", "too many parts")
    claims = (_claim(text, names, truth) for names in (truth.same, truth.covers) for text in texts)
    return next(filter(None, claims), None) or _whole(texts[-1], truth)


def _is_name(text: str, truth: Truth) -> bool:
    """Whether a text is, punctuation aside, an accepted name, or a name of the nomenclature."""
    key = literal_key(text)
    return any(literal_key(name) == key for name in truth.accepted) or truth.known(text)


def _claim(text: str, names: Callable[[str], bool], truth: Truth) -> Slot | None:
    """The shortest beginning that ``names`` the true disease, and what the rest makes of it."""
    pieces = cut(text)
    for count, piece in enumerate(pieces, start=1):
        if names(text[: piece.end]):
            return _judged(text[: piece.end], _rejoined(text, pieces[count:], truth), truth)
    return None


def _judged(claim: str, rest: Iterator[Piece], truth: Truth) -> Slot:
    """A true claim: refused where the rest takes it back, else with the qualifiers it has."""
    refusal = "" if truth.known(claim) else asides.turned(claim, truth.accepted)
    kept, explaining, listing = claim, False, False
    for piece in rest:
        verdict = asides.verdict(piece, kept, explaining and not piece.opener, truth)
        listing = (listing and piece.opener in wording.GOES_ON) or asides.announces(piece.text)
        if verdict == asides.QUALIFIES and listing and not asides.says_which(piece.text):
            verdict = asides.EXPLAINS
        explaining = verdict == asides.EXPLAINS
        if verdict == asides.QUALIFIES:
            kept += f" ({piece.text})" if asides.is_short(piece.text) else f" {piece.text}"
        elif verdict not in (asides.EXPLAINS, asides.REPEATS):
            refusal = refusal or verdict
    return Slot("", refusal) if refusal else Slot(kept)


def _rejoined(text: str, pieces: list[Piece], truth: Truth) -> Iterator[Piece]:
    """The same pieces, but those that together are a name ("Spastic ataxia 10, autosomal recessive") are one."""
    while pieces:
        first = pieces[0]
        alias = wording.ALIAS.match(first.text)
        start = first.start + (alias.end() if alias else lead_in(first.text))
        spans = range(min(len(pieces), MAX_SPAN), 1, -1)
        size = next((n for n in spans if _is_name(text[start : pieces[n - 1].end], truth)), 1)
        end = pieces[size - 1].end
        yield Piece(first.opener, text[first.start : end], first.start, end)
        pieces = pieces[size:]


def _whole(text: str, truth: Truth) -> Slot:
    """Nothing at the beginning covers the true disease: it must not come later, and the whole must be one name."""
    pieces = cut(text)
    refusal = asides.turned(text, truth.accepted)
    shortened = any(asides.abbreviates(pieces[0].text, name) for name in truth.accepted)
    if not refusal and not shortened and any(_later(text, pieces, truth)):
        refusal = "another disease first"
    if not refusal and sum(truth.known(piece.text) for piece in pieces) > 1:
        refusal = "several diseases"
    return Slot("", refusal) if refusal else Slot(text)


def _later(text: str, pieces: list[Piece], truth: Truth) -> Iterator[bool]:
    """Whether phrases after the first piece name the true disease: a few pieces, or all from one on."""
    for at, first in enumerate(pieces[1:], start=1):
        ends = {last.end for last in (*pieces[at : at + 3], pieces[-1])}
        yield any(truth.same(text[first.start : end]) for end in ends)
