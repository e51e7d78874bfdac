"""What one answer block commits to: a single diagnosis, or a refusal with the reason.

The block is cut into pieces at punctuation and at words that join (``or``, ``with``, ``confirmed``). The
shortest beginning that names the true disease (or else an accepted hypernym) is the claim, and every later
piece must be harmless: an explanation, a code, another name of the same disease. A qualifier ("type 2", an
abbreviation) stays with the claim, and the matcher judges both together. Without such a beginning the matcher
judges the whole.

So the truth pays only where it stands first and alone. Names win over cutting: a text that is, as a whole, an
accepted name or a name of the nomenclature is never cut, whatever it holds ("with or without", "-like", "/").
Words that deny, hedge or point to somebody else refuse an answer unless an accepted name has them too.

Pure: the nomenclature arrives as functions. The work is bounded: 1,000 characters, 20 pieces.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from diagnosis_zero.nomenclature.acronym import spells
from diagnosis_zero.nomenclature.answer import is_abbreviation, names_disease
from diagnosis_zero.nomenclature.normalise import analyse, plain
from diagnosis_zero.rewards import wording

MAX_CHARS = 1000
MAX_PIECES = 20
MAX_SPAN = 10
"""Pieces of one name, or words before a head noun. "Coloboma, ocular, with or without hearing impairment, cleft
lip/palate, and/or mental retardation" has nine pieces."""

_WORD = re.compile(r"[a-z0-9]+(?:'[a-z]+)?")
_MARKS = " .,;:!?-{}[]'`"
_FRAMING = re.compile(r"[\s,]*+([A-Za-z']++|[:=>-]++)")
_LONG_WORD = re.compile(r"[a-z]{4}|[A-Za-z]{9}")
_GENE = re.compile(r"\b[A-Z][A-Z0-9]{2,}\b")


@dataclass(frozen=True, slots=True)
class Slot:
    """``candidate`` is the text for the matcher; with a ``refusal`` it is empty and the answer earns nothing."""

    candidate: str
    refusal: str = ""


@dataclass(frozen=True, slots=True)
class Truth:
    """What the reading asks of the nomenclature."""

    accepted: Sequence[str]
    """The names of the true disease."""
    same: Callable[[str], bool]
    """Whether a text names the true disease."""
    covers: Callable[[str], bool]
    """The same, or an accepted hypernym of it."""
    known: Callable[[str], bool]
    """Whether a text is a name of the nomenclature, of whichever disease."""


class _Piece(NamedTuple):
    opener: str  # the punctuation before it; empty where a word made the break
    text: str
    start: int
    end: int


def read(answer: str, truth: Truth) -> Slot:
    """Read the text between the answer tags. Never raises on any string."""
    if len(answer) > MAX_CHARS:
        return Slot("", "too long")
    readings = list(dict.fromkeys(_readings(answer)))
    if not _words(readings[-1]):
        return Slot("", "empty")
    if name := next((text for text in readings if _is_name(text, truth)), None):
        return Slot(name)
    if len(_pieces(readings[-1])) > MAX_PIECES:
        return Slot("", "too many parts")
    claims = (_first_claim(text, names, truth) for names in (truth.same, truth.covers) for text in readings)
    return next(filter(None, claims), None) or _whole(readings[-1], truth)


def _readings(answer: str) -> Iterator[str]:
    """The text without markup, and then also without what leads in to the name."""
    lines = (" ".join(line.split()) for line in plain(wording.LATEX.sub("", answer)).splitlines())
    text = "\n".join(_without(wording.BULLET, line) for line in lines if line)
    for written, meant in wording.SAME_SENSE:
        text = text.replace(written, meant)
    text = _without(wording.LEADING_CODE, wording.CODE.sub(r"code:\1-\2", text)).strip(_MARKS)
    yield text
    text = _without(wording.REASONED, text)
    yield text[_lead_in(text) :].strip(_MARKS)


def _without(opening: re.Pattern[str], text: str) -> str:
    """``text`` behind an opening phrase, unless the phrase is all there is."""
    found = opening.match(text)
    return text[found.end() :] if found and found.end() < len(text) else text


def _lead_in(text: str) -> int:
    """Where the name begins: behind the last link (or line) of the words that frame it; 0 where nothing leads in."""
    end = position = 0
    before = ""
    while True:
        end = position if text.startswith("\n", position) else end
        token = _FRAMING.match(text, position)
        word = token[1].lower().removesuffix("'s") if token else ""
        if not token or word not in wording.FRAME or (word == "of" and before not in wording.OF):
            return end
        position, before = token.end(), word
        if word in wording.LINKS or word == "of":
            end = position


def _pieces(text: str) -> list[_Piece]:
    """``text`` cut at every break; a word that makes the break begins the next piece."""
    pieces, opener, start = [], "", 0
    for found in wording.BREAK.finditer(text):
        if found.start() > start:
            pieces.append(_Piece(opener, text[start : found.start()], start, found.start()))
        opener, start = found[0].strip(" ") or opener * (found.start() == start), found.end()
    if start < len(text):
        pieces.append(_Piece(opener, text[start:], start, len(text)))
    return pieces


def _is_name(text: str, truth: Truth) -> bool:
    """Whether a text is, punctuation aside, an accepted name, or a name of the nomenclature."""
    return any(analyse(text).literal == analyse(name).literal for name in truth.accepted) or truth.known(text)


def _rejoined(text: str, pieces: list[_Piece], truth: Truth) -> Iterator[_Piece]:
    """The same pieces, but those that together are a name ("Spastic ataxia 10, autosomal recessive") are one."""
    while pieces:
        first = pieces[0]
        alias = wording.ALIAS.match(first.text)
        start = first.start + (alias.end() if alias else _lead_in(first.text))
        spans = range(min(len(pieces), MAX_SPAN), 1, -1)
        size = next((n for n in spans if _is_name(text[start : pieces[n - 1].end], truth)), 1)
        end = pieces[size - 1].end
        yield _Piece(first.opener, text[first.start : end], first.start, end)
        pieces = pieces[size:]


def _whole(text: str, truth: Truth) -> Slot:
    """Nothing at the beginning covers the true disease: it must not come later, and the whole must be one name."""
    pieces = _pieces(text)
    refusal = _turned(text, truth.accepted)
    shortened = any(_spells(pieces[0].text, name) for name in truth.accepted)
    if not refusal and not shortened and any(_later(text, pieces, truth)):
        refusal = "another disease first"
    if not refusal and sum(truth.known(piece.text) for piece in pieces) > 1:
        refusal = "several diseases"
    return Slot("", refusal) if refusal else Slot(text)


def _later(text: str, pieces: list[_Piece], truth: Truth) -> Iterator[str]:
    """The phrases that name the true disease after the first piece: a few pieces, or all from one on."""
    for at, first in enumerate(pieces[1:], start=1):
        ends = {last.end for last in (*pieces[at : at + 3], pieces[-1])}
        yield from filter(truth.same, (text[first.start : end] for end in ends))


def _first_claim(text: str, names: Callable[[str], bool], truth: Truth) -> Slot | None:
    """The shortest beginning that ``names`` the true disease, and what the rest makes of it."""
    pieces = _pieces(text)
    for count, piece in enumerate(pieces, start=1):
        if names(text[: piece.end]):
            return _judged(text[: piece.end], _rejoined(text, pieces[count:], truth), truth)
    return None


def _judged(claim: str, rest: Iterable[_Piece], truth: Truth) -> Slot:
    """The claim is true: refused where the rest takes it back, else with the qualifiers it has."""
    refusal = "" if truth.known(claim) else _turned(claim, truth.accepted)
    kept, explaining = claim, False
    for piece in rest:
        explaining = explaining and not piece.opener
        verdict = _verdict(piece, kept, explaining, truth)
        explaining = verdict == "explains"
        if verdict == "qualifies":
            kept += f" ({piece.text})" if _abbreviation(piece.text) else f" {piece.text}"
        elif verdict not in ("explains", "repeats"):
            refusal = refusal or verdict
    return Slot("", refusal) if refusal else Slot(kept)


def _verdict(piece: _Piece, kept: str, explaining: bool, truth: Truth) -> str:
    """ "explains" the claim, "repeats" it (or says nothing), "qualifies" it, or the reason to refuse it."""
    text, words = piece.text, _words(piece.text)
    empty = wording.FRAME if wording.SURENESS.intersection(words) else wording.EMPTY
    if empty.issuperset(_words(wording.SHARE.sub("", text))) or text.startswith("code:"):
        return "repeats"
    unsure = words[0] in wording.UNSURE
    if unsure and (name := text[_lead_in(text) :].strip(_MARKS)):
        text, words = name, _words(name)
    if wording.HEADS.issuperset(words):
        return "qualifies"
    if truth.same(text.partition(" ")[2]) if words[0] in ("or", "and") else truth.covers(text):
        return "repeats"
    if truth.known(f"{kept} {text}"):
        return "qualifies"
    if alias := wording.ALIAS.match(text):
        name = text[alias.end() :]
        return "another disease" if _another(name, truth) else "repeats"
    if truth.known(text) and not explaining:
        return "another disease"
    if wording.CONTRASTS.intersection(words):
        return "hedged"
    if reason := _turned(text, truth.accepted, ("only alike",)):
        return reason
    if explaining or words[0] in wording.EXPLAINS or _evident(text, words):
        if words[0] in ("is", "was", "are") and not wording.AFFIRMS.intersection(words):
            return "denied"
        elsewhere = words[0] == "in" and _turned(text, truth.accepted, ("not the patient's",))
        return elsewhere or ("another disease" if _names_another(text, words, truth) else "explains")
    if reason := _turned(text, truth.accepted, ("not the patient's",)):
        return reason
    if words[0] in wording.JOINS:
        names = words[0] in ("and", "plus") and any(map(names_disease, words))
        return "another disease" if names or _names_another(text, words, truth) else "qualifies"
    if any(map(names_disease, words)):
        return "another disease"
    if _abbreviation(text) and piece.opener not in ("(", "["):
        return "repeats" if _spells(text, kept) else "another disease"
    return "hedged" if unsure else "qualifies"


def _abbreviation(text: str) -> bool:
    """Capitals and digits, and short: not a whole name in capitals, nor a capitalised one."""
    return is_abbreviation(text) and not _LONG_WORD.search(text)


def _spells(abbreviation: str, name: str) -> bool:
    """Whether an abbreviation is made of the name's letters ("MFS" of "Marfan syndrome")."""
    letters = "".join(sign for sign in abbreviation.lower() if sign.isalpha())
    words = [word for word in analyse(name).words if word.isalpha()]
    return _abbreviation(abbreviation) and spells(letters, words)


def _turned(text: str, accepted: Sequence[str], reasons: Iterable[str] = tuple(wording.TURNS)) -> str:
    """The reason that the words of ``text`` give to refuse it, beyond those that an accepted name holds."""
    words = Counter(_words(text))
    held = [Counter(_words(plain(name))) for name in accepted]
    for reason in reasons:
        turning = Counter({word: count for word, count in words.items() if word in wording.TURNS[reason]})
        if all(turning - name for name in held):
            return reason
    return ""


def _evident(text: str, words: Sequence[str]) -> bool:
    """Whether a piece speaks of evidence ("FBN1 variant", "presence of ectopia lentis")."""
    return bool(wording.EVIDENCE.intersection(words) or ("variant" in words and _GENE.search(text)))


def _another(name: str, truth: Truth) -> bool:
    """Whether the nomenclature holds both names, as different diseases; else a stated synonym is believed."""
    return truth.known(name) and not truth.covers(name) and any(map(truth.known, truth.accepted))


def _names_another(text: str, words: Sequence[str], truth: Truth) -> bool:
    """Whether an explanation names another disease: "... Ehlers-Danlos syndrome" (but not "this disorder"), or
    "has achondroplasia too"."""
    if wording.HAS_TOO.intersection(words) and not _mentions(text, truth.covers):
        return any(map(names_disease, words)) or _mentions(text, truth.known)
    tokens = text.split()
    heads = [at for at, token in enumerate(tokens) if at and token.strip(".,'\"").lower() in wording.HEADS]
    return any(_other_head(tokens, at, truth) for at in heads)


def _other_head(tokens: Sequence[str], at: int, truth: Truth) -> bool:
    """Whether the phrase that ends with the head noun ``tokens[at]`` is a name, and not the true disease's."""
    phrase = " ".join(tokens[max(0, at - MAX_SPAN) : at + 1])
    if tokens[at - 1].lower() in wording.GENERAL or _mentions(phrase, truth.covers):
        return False
    return tokens[at - 1][0].isupper() or _mentions(phrase, truth.known)


def _mentions(text: str, names: Callable[[str], bool]) -> bool:
    """Whether the last words of a text, or a few of them, are a name."""
    tokens = text.split()
    return any(names(" ".join(tokens[start:])) for start in range(max(0, len(tokens) - MAX_SPAN - 1), len(tokens) - 1))


def _words(text: str) -> list[str]:
    return _WORD.findall(text.lower())
