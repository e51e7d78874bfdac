"""Stretches of an English text in another language of Latin script, by their words.

A word speaks for a language by our own list (``lexicon``) or by its frequency there and in English (``frequency``); the
words around it that English does not know help. Phrases that English medicine has borrowed are taken out before. Where
that leaves doubt, ``doubt`` is asked.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Literal, NamedTuple

from diagnosis_zero.behaviour import doubt, frequency, lexicon
from diagnosis_zero.behaviour.scripts import BEYOND_LATIN

CLEAR = 1.5
"""Evidence from which a stretch is another language without asking lingua: a word that gives it away and one that
helps."""
DOUBT = 1.0
"""Evidence from which lingua is asked."""
REACH = 3
"""So many known words may stand between two pieces of evidence of one stretch."""

_CLAUSE = re.compile(r"[^.;:!?\n<>|]++")
_WORD = re.compile(r"[^\W\d_]++(?:[\u0300-\u036f]++[^\W\d_]*+)*+(?:['’](?=[^\W\d_]))?")
_VIETNAMESE = re.compile(r"[ơưăđ\u1ea0-\u1ef9]")
_NOT_FRENCH = re.compile(r"[áíóúñãõäöüßåøąćęłńśźżčďěňřšťůžőűășțğış]")
_LIGATURES = str.maketrans({"æ": "ae", "œ": "oe", "ø": "o", "ß": "ss", "ł": "l", "đ": "d"})
_ENDINGS = ("s", "es", "d", "ed", "ing", "ly", "er", "al", "ic", "ity")
_BEGINNINGS = ("non", "un", "re", "pre", "post", "over", "under", "anti", "peri", "intra", "extra", "micro",
               "hyper", "hypo", "inter", "sub", "super", "para", "poly", "electro", "neuro", "cardio")  # fmt: skip


LONG = 9


class _Evidence(NamedTuple):
    """One word that is not plain English: its place, the languages it speaks for, and how much it is unknown."""

    number: int
    start: int
    end: int
    word: str
    speaks: tuple[tuple[str, float], ...]
    unknown: float


def latin_script(text: str) -> Iterator[tuple[int, int, str]]:
    """(start, end, ISO 639-1 code) of every stretch. Time is linear in the length of the text."""
    for clause in _CLAUSE.finditer(text):
        if _suspicious(clause[0]):
            for stretch in _stretches(text, clause.start(), clause.end()):
                language = _judge(stretch, text)
                if language:
                    yield stretch[0].start, stretch[-1].end, language


def _suspicious(clause: str) -> bool:
    """A quick look at the set of words: is there anything to read closely?"""
    words = set(lexicon.WORD.findall(clause.lower()))
    strange = words - lexicon.english()
    if len(strange) > 1:
        return True
    return any(map(lexicon.markers().__contains__, words)) or any(
        _speaks(word) or not word.isascii() for word in strange
    )


def _stretches(text: str, start: int, end: int) -> Iterator[list[_Evidence]]:
    """Evidence that stands close together, unbroken by a word that only English has."""
    stretch: list[_Evidence] = []
    for piece in _evidence(text, start, end):
        if piece is None or (stretch and piece.number - stretch[-1].number > REACH + 1):
            if stretch:
                yield stretch
            stretch = []
        if piece is not None:
            stretch.append(piece)
    if stretch:
        yield stretch


def _evidence(text: str, start: int, end: int) -> Iterator[_Evidence | None]:
    """Every word of a clause that may be of another language; None wherever a stretch must end."""
    words = [(word.start(), word.end(), _plain_word(word[0])) for word in _WORD.finditer(text, start, end)]
    lowered = [word.lower() for _, _, word in words]
    borrowed = {number for first, last, _ in lexicon.loans().find(lowered) for number in range(first, last)}
    for number, ((at, to, word), lower) in enumerate(zip(words, lowered, strict=True)):
        if lower in lexicon.english_only():
            yield None
        elif number not in borrowed and word.rstrip("'").isalpha() and not _is_code(text, at, to):
            speaks, unknown = _weigh(lower, _shape(word, first=number == 0))
            if speaks or unknown:
                yield _Evidence(number, at, to, lower, speaks, unknown)


def _plain_word(word: str) -> str:
    return word if word.isascii() else unicodedata.normalize("NFC", word).replace("’", "'")


def _is_code(text: str, start: int, end: int) -> bool:
    """Part of a gene, code, unit or address: it touches a digit, or is glued by one of ``/_@=``."""
    around = text[max(0, start - 1) : start] + text[end : end + 1]
    return any(char.isdigit() or char in "/_@=+*" for char in around)


Shape = Literal["lower", "capital", "first", "caps"]


def _shape(word: str, *, first: bool) -> Shape:
    if word.islower():
        return "lower"
    if len(word.rstrip("'")) > 1 and not word[1:].islower():
        return "caps"
    return "first" if first else "capital"


@lru_cache(maxsize=200_000)
def _weigh(word: str, shape: Shape) -> tuple[tuple[tuple[str, float], ...], float]:
    """(languages the word speaks for with weights, how far it is unknown to English)."""
    speaks = tuple(_speaks(word).items())
    if shape == "lower" and not speaks and _VIETNAMESE.search(word):
        speaks = (("vi", 1.0),)
    if shape == "caps":
        return (speaks if len(word) > 4 and _listed(word) else ()), 0.0
    if (
        shape != "lower"
        and speaks
        and not (_listed(word) and shape == "first")
        and not word.endswith(lexicon.endings())
    ):
        return tuple(_as_name(word, speaks, shape)), 0.0
    if speaks or shape == "capital" or len(word) < 3 or BEYOND_LATIN.search(word) or _known(word):
        return speaks, 0.0
    unknown = 0.5 if word.isascii() else 1.0
    return (), unknown if shape == "lower" else unknown / 2


NOUNS = "de"
"""The language that writes its common nouns with capitals, as others write names."""


def _as_name(word: str, speaks: Sequence[tuple[str, float]], shape: Shape) -> Iterator[tuple[str, float]]:
    """What a word with a capital, which may be a name, is still worth: half, where the lists or German know it."""
    for language, weight in speaks:
        if weight == 1 and (_listed(word) or language == NOUNS or shape == "first"):
            yield language, 1.0 if _noun(word) else 0.5


@lru_cache(maxsize=20_000)
def _noun(word: str) -> bool:
    """Whether a word with a capital is a noun of the German list that English does not know at all."""
    return len(word) >= 7 and NOUNS in lexicon.markers().get(word, {}) and frequency.in_english(word) == 0


def _listed(word: str) -> bool:
    return word in lexicon.markers()


GAP = 2.0
COMMON = 3.0
EVERYDAY = 4.0
"""A word speaks for a language where it is a hundred times as common as in English, and one in a million at least; in
ASCII letters, which broken English makes too, it only helps unless it is one in a hundred thousand."""


@lru_cache(maxsize=100_000)
def _speaks(word: str) -> Mapping[str, float]:
    """What the lists say of a word, whole or by its ending, then what its frequency says."""
    markers = lexicon.markers()
    if word in markers:
        return markers[word]
    if word in lexicon.english():
        return {}
    if len(word) >= LONG and word.endswith(lexicon.endings()):
        return markers["*" + max((e for e in lexicon.endings() if word.endswith(e)), key=len)]
    if len(word) < 3:
        return {}
    plain = word.isascii()
    return {
        one.language: 0.5 if plain and one.there < EVERYDAY else 1.0
        for one in frequency.commoner(word, GAP)
        if one.there >= COMMON
    }


def _known(word: str) -> bool:
    plain = word.rstrip("'")
    if not plain.isascii():
        plain = unicodedata.normalize("NFKD", plain.translate(_LIGATURES)).encode("ascii", "ignore").decode()
    english = lexicon.english()
    return plain in english or any(stem in english for stem in _stems(plain))


def _stems(word: str) -> Iterator[str]:
    for ending in _ENDINGS:
        if word.endswith(ending) and len(word) > len(ending) + 3:
            stem = word[: -len(ending)]
            yield stem
            yield stem + "e"
            yield stem[:-1] + "y" if stem.endswith("i") else stem[:-1] if stem[-1:] == stem[-2:-1] else stem
    for beginning in _BEGINNINGS:
        if word.startswith(beginning) and len(word) > len(beginning) + 3:
            yield word[len(beginning) :]


def _judge(stretch: Sequence[_Evidence], text: str) -> str | None:
    """The language of a stretch, or None."""
    weights: dict[str, dict[str, float]] = {}
    for piece in stretch:
        for language, weight in piece.speaks:
            weights.setdefault(language, {})[piece.word] = weight
    best = max(weights, key=lambda language: sum(weights[language].values()), default="")
    words = weights.get(best, {})
    spoken = sum(words.values())
    if (spoken >= CLEAR and len(words) > 1) or any(_gives_away(piece, best, text) for piece in stretch):
        return best
    unknown = sum(piece.unknown for piece in stretch)
    if spoken + unknown < DOUBT:
        return None
    said = text[stretch[0].start : stretch[-1].end]
    if len(stretch) > 1:
        return doubt.name(said, doubt.TRUST_SPOKEN if spoken else doubt.TRUST_UNKNOWN)
    enough = len(said) > 4 if spoken else len(said) > 5 and _NOT_FRENCH.search(stretch[0].word)
    return doubt.name(said, doubt.TRUST_SPOKEN if spoken else doubt.TRUST_ALONE) if enough else None


def _gives_away(piece: _Evidence, language: str, text: str) -> bool:
    """A word of four letters or more (two, with a sign beyond ASCII), in lower case, by its ending, or as a listed noun
    of German; or one that opens a sentence and is no name."""
    if text[piece.start].isupper() and _opens(piece.word, text[piece.end : piece.end + 1]):
        return True
    if dict(piece.speaks).get(language) != 1 or len(piece.word) < (4 if piece.word.isascii() else 2):
        return False
    return text[piece.start].islower() or piece.word.endswith(lexicon.endings()) or _noun(piece.word)


OPENER = {" ": 4.0, ",": 3.0}
"""A word so much commoner than in English (Zipf), and so common there, is no mere name; a comma shows an adverb."""


@lru_cache(maxsize=20_000)
def _opens(word: str, follows: str) -> bool:
    gap = OPENER.get(follows)
    return gap is not None and word.isascii() and any(one.there >= 4 for one in frequency.commoner(word, gap))
