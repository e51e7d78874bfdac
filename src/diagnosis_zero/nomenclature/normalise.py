"""One canonical string for the many ways to write one disease name.

Covered: Unicode forms, case, dashes, apostrophes and possessives, diacritics, Greek letters, roman and arabic
numerals, British and American spelling, plural, word order ("muscular dystrophy, Duchenne type"), markup, and
filler words. What two names *mean* is not decided here; see ``match``.
"""

from __future__ import annotations

import html
import re
import unicodedata
from dataclasses import dataclass
from functools import lru_cache

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
_TAG = re.compile(r"<[^<>]{0,60}>")
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


@dataclass(frozen=True, slots=True)
class Name:
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
    pairs = _fold_words(text)
    words = tuple(_bind(_cytogenetic(_number(pairs))))
    return Name(
        literal=literal_key(text),
        words=words,
        canonical=" ".join(sorted(words)),
        bare=" ".join(sorted(word for word in words if word not in vocabulary.CLASS_NOUNS)),
        short=_abbreviations(pairs),
    )


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
    mark = _LIST_MARK.match(text)
    text = text[mark.end() :] if mark else text
    return _MARKER.sub(_spell_sign, text)


def _spell_sign(found: re.Match[str]) -> str:
    """ "T-B+" as "T negative B positive"."""
    return f"{found[1]} {'positive' if found[2] == '+' else 'negative'} "


def literal_key(text: str) -> str:
    """Letters and digits of a name in lower case, without markup; digits that stood apart stay apart."""
    if not text.isascii() or "<" in text or "&" in text or text[:1] in _MAY_MARK or _MARKER.search(text):
        text = plain(text)
    text = text[:MAX_CHARS]
    if _DIGITS_APART.search(text):
        text = _DIGITS_APART.sub("\\1\x1f", text)
    return text.translate(_TO_LITERAL)


def _fold_words(text: str) -> list[tuple[str, str]]:
    """(word as written, folded word) of every token."""
    tokens: list[str] = _TOKEN.findall(text)
    long_name = len(tokens) > 2
    pairs: list[tuple[str, str]] = []
    for position, token in enumerate(tokens):
        if token in ("a", "A") and _is_article(tokens, position):
            continue
        if long_name and token in vocabulary.INHERITANCE_CODES:
            pairs.extend((word, word) for word in vocabulary.INHERITANCE_CODES[token])
        else:
            pairs.append((token, fold_word(token.lower())))
    return pairs


def _is_article(tokens: list[str], position: int) -> bool:
    """ "A" opens a phrase ("a NOTCH2 mutation") or is a letter ("hemophilia A", "type A", "2, a")."""
    if position == len(tokens) - 1:
        return False
    before = tokens[position - 1].lower() if position else ""
    return not (position and tokens[position] == "A") and before not in vocabulary.DESIGNATED and not before.isdigit()


def _abbreviations(pairs: list[tuple[str, str]]) -> frozenset[str]:
    """The words with two capitals; none where the whole name is in capitals."""
    written = [word for word, _ in pairs]
    if len(written) > 1 and all(word.isupper() or not word.isalpha() for word in written):
        return frozenset()
    return frozenset(folded for word, folded in pairs if sum(map(str.isupper, word)) > 1)


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
    word = _OUR.sub(r"\1or", word)
    return _ISE.sub(r"\1z\2", word)


def _number(pairs: list[tuple[str, str]]) -> list[str]:
    """Roman numerals to arabic ("type IIb" to "type 2b"); chromosome loci to one band a word."""
    out: list[str] = []
    for position, (written, folded) in enumerate(pairs):
        before = out[-1] if out else ""
        last = position == len(pairs) - 1
        locus = _locus(folded, before)
        out.extend(locus or [_arabic(written, before, last) or folded])
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
