"""One canonical string for the many ways to write one disease name.

Covered: Unicode forms, case, dashes, apostrophes and possessives, diacritics, Greek letters, roman and arabic
numerals, British and American spelling, plural, word order ("muscular dystrophy, Duchenne type"), markup, and
filler words. What two names *mean* is not decided here; see ``match``.
"""

from __future__ import annotations

import html
import re
import unicodedata
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

from diagnosis_zero.nomenclature import vocabulary

MAX_CHARS = 1000
"""A name is cut here: no disease name is this long, and every step below stays cheap."""

_DASHES = "\u2010\u2011\u2012\u2013\u2014\u2015\u2212\ufe58\ufe63\uff0d"
_APOSTROPHES = "\u2018\u2019\u201a\u201b\u02bc\u2032`\u00b4\uff07"
_INVISIBLE = "\u200b\u200c\u200d\u2060\ufeff\u00ad"
_QUOTES = '*"\u201c\u201d\u201e\u00ab\u00bb\u2033\uff02'
_SPELLED = {letter: f" {name} " for letter, name in vocabulary.GREEK.items()} | vocabulary.LETTERS
_TABLE = str.maketrans(
    dict.fromkeys(_DASHES, "-")
    | dict.fromkeys(_APOSTROPHES, "'")
    | dict.fromkeys(_INVISIBLE + _QUOTES)
    | _SPELLED
    | {letter.upper(): name for letter, name in _SPELLED.items() if letter not in "ıßς"}
    | {"_": " ", "#": " ", "&": " and "}
)
_LIST_MARK = re.compile(r"\s*(?:[-+•>]\s|\(?\d{1,2}[.)]\s)\s*")
_MARKER = re.compile(r"\b(T|B|NK|CD\d{1,3})([+-])(?=$|[\s,;)]|(?:T|B|NK|CD\d{1,3})[+-])", re.IGNORECASE)
_TAG = re.compile(
    r"</?(?:a|b|br|code|div|em|font|h[1-6]|i|li|mark|ol|p|pre|small|span|strong|su[bp]|table|tbody|td|th|tr|u|ul)"
    r"(?: [^<>]{0,60})? ?/?>",
    re.IGNORECASE,
)
_TOKEN = re.compile(r"[A-Za-z]+'s\b|[A-Za-z0-9]+(?:\.\d+)*")
_DIGITS_APART = re.compile(r"(\d)[^A-Za-z0-9\x1f]+(?=\d)")
_TO_LITERAL = {code: chr(code).lower() if chr(code).isalnum() else None for code in range(128)} | {0x1F: "|"}
_MAY_MARK = frozenset(" \t\n-+>(0123456789")
_ROMAN = re.compile(r"(x{0,3}(?:ix|iv|v?i{0,3}))([a-z]?)", re.IGNORECASE)
_ROMAN_LETTER = re.compile(r"([IVX]+)([a-z])")
_ROMAN_TAIL = re.compile(r"([A-Za-z]*[a-z][A-Z]?)(I{1,3}|IV|VI{0,3}|IX)")
_LOCUS = re.compile(r"(\d{1,2}|[xy])((?:[pq](?:\d+(?:\.\d+)?|ter)?)+)")
_CHROMOSOME = re.compile(r"\d{1,2}|[xy]")
_BAND = re.compile(r"[pq](?:\d+(?:\.\d+)?|ter)?")
_BANDS = re.compile(f"(?:{_BAND.pattern})+")


class Name(NamedTuple):
    """A name taken apart. Two names with equal ``literal`` or equal ``canonical`` are one name.

    ``literal`` is the text without case and punctuation; ``words`` the folded words in order, class nouns
    included; ``canonical`` those words sorted; ``bare`` the same without class nouns; ``short`` the words that
    were written as abbreviations.
    """

    literal: str
    words: tuple[str, ...]
    canonical: str
    bare: str
    short: frozenset[str] = frozenset()

    @property
    def keys(self) -> tuple[str, ...]:
        """What the name is looked up under, the most literal first."""
        return tuple(dict.fromkeys(key for key in (self.literal, self.canonical, self.bare) if key))


def normalise(name: str) -> str:
    """The canonical string of a name; equal strings are the same name."""
    return analyse(name).canonical


@lru_cache(maxsize=100_000)
def analyse(name: str) -> Name:
    """A name taken apart (cached). Never raises; an empty or wordless name has empty parts."""
    text = plain(name)
    tokens = _tokens(text)
    if all(token.anywhere for token in tokens):
        words = [token.folded for token in tokens]
    else:
        words = _cytogenetic(_number(tokens))
    return _name(literal_key(text), tuple(_bind(words)), _abbreviations(tokens))


def taken_apart(literal: str, words: str, short: str) -> Name:
    """A name from what was kept of it: ``words`` and ``short`` on single blanks."""
    return _name(literal, tuple(words.split()), frozenset(short.split()))


def _name(literal: str, words: tuple[str, ...], short: frozenset[str]) -> Name:
    order = sorted(words)
    bare = [word for word in order if word not in vocabulary.CLASS_NOUNS]
    return Name(literal, words, " ".join(order), " ".join(bare), short)


def plain(text: str) -> str:
    """ASCII text: dashes, quotes, Greek letters, accents and markup resolved; case kept."""
    text = text[:MAX_CHARS]
    if "&" in text:
        text = html.unescape(text)
    if not text.isascii():
        text = unicodedata.normalize("NFKC", text)
    text = text.translate(_TABLE)
    if "<" in text:
        text = _TAG.sub(" ", text)
    if not text.isascii():
        text = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode("ascii")
    mark = _LIST_MARK.match(text) if text[:1] in _MAY_MARK else None
    text = text[mark.end() :] if mark else text
    return _MARKER.sub(_spell_sign, text) if "-" in text or "+" in text else text


def _spell_sign(found: re.Match[str]) -> str:
    """ "T-B+" as "T negative B positive"."""
    return f"{found[1]} {'positive' if found[2] == '+' else 'negative'} "


@lru_cache(maxsize=100_000)
def literal_key(text: str) -> str:
    """Letters and digits of a name in lower case, without markup; digits that stood apart stay apart."""
    if (
        not text.isascii()
        or "<" in text
        or "&" in text
        or (text[:1] in _MAY_MARK and _LIST_MARK.match(text))
        or (("-" in text or "+" in text) and _MARKER.search(text))
    ):
        text = plain(text)
    text = text[:MAX_CHARS]
    key = text.translate(_TO_LITERAL)
    if not key.isalpha() and _DIGITS_APART.search(text):
        return _DIGITS_APART.sub("\\1\x1f", text).translate(_TO_LITERAL)
    return key


class _Token(NamedTuple):
    """A token ``written`` in a name, its ``folded`` word, and what depends on its letters alone: whether it reads
    the same ``anywhere`` (no numeral, no piece of a locus), is in capitals (or holds digits), is an abbreviation."""

    written: str
    folded: str
    anywhere: bool
    capitals: bool
    short: bool


@lru_cache(maxsize=100_000)
def _token(written: str) -> _Token:
    folded = fold_word(written.lower())
    return _Token(
        written,
        folded,
        anywhere=not _depends_on_place(written, folded),
        capitals=written.isupper() or not written.isalpha(),
        short=sum(map(str.isupper, written)) > 1,
    )


def _depends_on_place(written: str, folded: str) -> bool:
    """Whether a token may be a roman numeral, a chromosome, a band or a sign before one."""
    if not written.isalpha() or folded in "xy" or folded in vocabulary.ISCN:
        return True
    return bool(
        (written[0] in "IVXivx" and (_ROMAN_LETTER.fullmatch(written) or _ROMAN.fullmatch(written)))
        or (written[-1] in "IVX" and _ROMAN_TAIL.fullmatch(written))
        or (folded[:1] in "xy" and _LOCUS.fullmatch(folded))
        or (folded[:1] in "pq" and _BANDS.fullmatch(folded))
    )


def _tokens(text: str) -> list[_Token]:
    """The tokens of a text, articles left out and codes of inheritance spelled out."""
    written: list[str] = _TOKEN.findall(text)
    long_name = len(written) > 2
    tokens: list[_Token] = []
    for position, token in enumerate(written):
        if token in ("a", "A") and _is_article(written, position):
            continue
        if long_name and token in vocabulary.INHERITANCE_CODES:
            tokens.extend(map(_token, vocabulary.INHERITANCE_CODES[token]))
        else:
            tokens.append(_token(token))
    return tokens


def _is_article(tokens: list[str], position: int) -> bool:
    """ "A" opens a phrase ("a NOTCH2 mutation") or is a letter ("hemophilia A", "type A", "2, a")."""
    if position == len(tokens) - 1:
        return False
    before = tokens[position - 1].lower() if position else ""
    return not (position and tokens[position] == "A") and before not in vocabulary.DESIGNATED and not before.isdigit()


def _abbreviations(tokens: Sequence[_Token]) -> frozenset[str]:
    """The words with two capitals; none where the whole name is in capitals."""
    if len(tokens) > 1 and all(token.capitals for token in tokens):
        return frozenset()
    return frozenset([token.folded for token in tokens if token.short])


@lru_cache(maxsize=100_000)
def fold_word(word: str) -> str:
    """American spelling and singular of one lower-case word."""
    word = word.removesuffix("'s").replace("'", "")
    if word in vocabulary.NUMBER_WORDS:
        return vocabulary.NUMBER_WORDS[word]
    if len(word) < 4 or not word.isalpha():
        return word
    if word in vocabulary.IRREGULAR:
        return vocabulary.IRREGULAR[word]
    word = _american(_singular(word))
    return vocabulary.IRREGULAR.get(word, word)


_PLURALS = (
    ("eases", "ease"), ("stases", "stasis"), ("oses", "osis"), ("yses", "ysis"), ("ies", "y"),
    ("omata", "oma"), ("omas", "oma"), ("ae", "a"),
)  # fmt: skip
_SINGULAR_ENDS = ("ss", "us", "is", "as", "os", "ies")


def _singular(word: str) -> str:
    if word[-1] not in "sae":
        return word
    for plural, singular in _PLURALS:
        if word.endswith(plural) and len(word) > len(plural) + 2:
            return word.removesuffix(plural) + singular
    if word.endswith("s") and not word.endswith(_SINGULAR_ENDS):
        return word[:-1]
    return word


_OUR = re.compile(r"(tum|col|behavi|hum|od|lab|flav|vap)our")
_ISE = re.compile(r"(?<=[a-z]{3})([iy])s(e|ed|ing|ation)$")


def _american(word: str) -> str:
    word = word.replace("ae", "e").replace("oe", "e").replace("sulph", "sulf").replace("leuc", "leuk")
    if "our" in word:
        word = _OUR.sub(r"\1or", word)
    return _ISE.sub(r"\1z\2", word) if word.endswith(("se", "sed", "sing", "sation")) else word


def _number(tokens: Sequence[_Token]) -> list[str]:
    """Roman numerals to arabic ("type IIb" to "type 2b"); chromosome loci to one band a word."""
    out: list[str] = []
    for position, token in enumerate(tokens):
        if token.anywhere:
            out.append(token.folded)
            continue
        before = out[-1] if out else ""
        last = position == len(tokens) - 1
        locus = _locus(token.folded, before)
        out.extend(locus or [_arabic(token.written, before, last) or token.folded])
    return out


def _locus(word: str, before: str) -> list[str]:
    """["xp11.22", "xp11.23"] for "xp11.22p11.23"; "p11.22" after a locus takes its chromosome."""
    whole = _LOCUS.fullmatch(word)
    if whole:
        return [whole[1] + band for band in _BAND.findall(whole[2])]
    previous = _LOCUS.fullmatch(before)
    if previous and len(word) > 1 and _BAND.fullmatch(word):
        return [previous[1] + word]
    return []


def _cytogenetic(words: list[str]) -> list[str]:
    """One wording for copy number at a locus: "del(3)(q13)" and "monosomy 3q13" are "deletion 3q13", "1qter" is
    "distal 1q"."""
    joined: list[str] = []
    for at, word in enumerate(words):
        after = words[at + 1] if at + 1 < len(words) else ""
        if word in vocabulary.ISCN and _CHROMOSOME.fullmatch(after):
            joined.append(vocabulary.ISCN[word])
        elif len(word) > 1 and _BANDS.fullmatch(word) and joined and _CHROMOSOME.fullmatch(joined[-1]):
            joined += _locus(joined.pop() + word, "")
        else:
            joined.append(word)
    if not any(map(_LOCUS.fullmatch, joined)):
        return joined
    out: list[str] = []
    for word in joined:
        if word.endswith("ter") and _LOCUS.fullmatch(word):
            out += ["distal", word.removesuffix("ter")]
        elif word != "chromosome":
            out.append(vocabulary.AT_A_LOCUS.get(word, word))
    return out


def _arabic(written: str, before: str, last: bool) -> str | None:
    """The number that a roman numeral (with a letter behind it or not) stands for, or None."""
    tail = _ROMAN_TAIL.fullmatch(written)
    if tail:
        return f"{tail[1].lower()}{_value(tail[2])}"  # "ApoCIII"
    found = _ROMAN_LETTER.fullmatch(written) or _ROMAN.fullmatch(written)
    if not found or not found[1] or not (found[1].isupper() or written.islower()):
        return None  # "Via"
    roman, letter = found[1], found[2]
    announced = before in vocabulary.DESIGNATED
    if letter and not (announced or last or len(roman) > 1 or (roman.isupper() and letter.islower())):
        return None  # "ID", "VA": words and abbreviations, unless something says designator
    if letter and written.islower() and not announced and (not last or len(roman) == 1):
        return None  # "via", "vid", "is"
    if set(roman.lower()) == {"x"} and not announced:
        return None  # X chromosomes, not tens
    return f"{_value(roman)}{letter.lower()}"


def _value(roman: str) -> int:
    digits = [{"i": 1, "v": 5, "x": 10}[sign] for sign in roman.lower()]
    following = [*digits[1:], 0]
    return sum(-digit if digit < after else digit for digit, after in zip(digits, following, strict=True))


def _bind(words: list[str]) -> list[str]:
    """Words that belong together become one ("x linked", "non syndromic", "2 b", "without deafness");
    fillers and kind words go."""
    out: list[str] = []
    pending = ""
    for word in words:
        if pending and word in vocabulary.FILLERS:
            continue
        if pending:
            word, pending = pending + word, ""
        elif word in vocabulary.KIND_WORDS or word in vocabulary.FILLERS:
            continue
        if word in vocabulary.PREFIXES or word == "without":
            pending = word if word != "without" else "without~"
        elif out and _joins(out[-1], word):
            out[-1] += word
        else:
            out.append(word)
    return out + ([pending] if pending else [])


def _joins(left: str, right: str) -> bool:
    if left == "x" and right == "linked":
        return True
    if len(right) == 1 and right.isalpha():
        return left.isdigit()  # "2 b"
    return len(left) == 1 and left.isalpha() and right.isdigit()  # "b 1"
