"""Does an English completion slip into another language, where, and which?

Three steps, the cheap ones first. (1) Letters of another script, by their Unicode name; Greek symbols, units and
single letters are medicine. (2) Words that give a Latin-script language away, by our own list or by their frequency
there and in English, with the unknown words around them; phrases that English medicine has borrowed are taken out
before. (3) Where that leaves doubt, lingua decides between English, Latin and the other languages; without lingua
(extra ``eval``) doubt means "not mixed".
"""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from itertools import groupby
from typing import Literal, NamedTuple

from diagnosis_zero.behaviour import frequency, lexicon

Part = Literal["before", "think", "between", "answer", "after"]
Namer = Callable[[str, float], str | None]
"""The language of a doubtful stretch of Latin script, given the confidence that is asked for: ISO 639-1, or
None for English, Latin, or undecided."""

CLEAR = 1.5
"""Evidence from which a stretch is another language without asking lingua: a word that gives it away and one that
helps."""
DOUBT = 1.0
"""Evidence from which lingua is asked."""
REACH = 3
"""So many known words may stand between two pieces of evidence of one stretch."""


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
    found = [*_other_scripts(text), *_latin_script(text)]
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


# ---- (1) other scripts -------------------------------------------------------------------------------------

_BEYOND_LATIN = re.compile(r"[\u0370-\u1dbf\u1f00-\u1fff\u2c00-\u2c5f\u2c80-\ua63f\ua640-\ua71f\ua800-\uab2f"
                           r"\uab70-\uefff\uf900-\ufaff\ufb13-\ufeff\uff66-\uffdc\U00010000-\U0001d3ff"
                           r"\U0001e000-\U0003ffff]")  # fmt: skip
_SCRIPT_LANGUAGES = {
    "HANGUL": "ko", "HIRAGANA": "ja", "KATAKANA": "ja", "CJK": "zh", "GREEK": "el", "THAI": "th", "HEBREW": "he",
    "GEORGIAN": "ka", "ARMENIAN": "hy", "TAMIL": "ta", "TELUGU": "te", "BENGALI": "bn", "GUJARATI": "gu",
    "GURMUKHI": "pa", "KANNADA": "kn", "MALAYALAM": "ml", "SINHALA": "si", "KHMER": "km", "LAO": "lo",
    "MYANMAR": "my", "ETHIOPIC": "am", "TIBETAN": "bo",
}  # fmt: skip
_NO_SCRIPT = {"MODIFIER", "MATHEMATICAL", "FULLWIDTH", "SCRIPT", "DOUBLE", "SUPERSCRIPT", "SUBSCRIPT", "CIRCLED",
              "PARENTHESIZED", "SQUARED", "NEGATIVE", "ROMAN", "LATIN", "KATAKANA-HIRAGANA", "MICRO",
              "OHM"}  # fmt: skip
_ONE_LETTER_IS_A_WORD = {"CJK", "HANGUL", "HIRAGANA", "KATAKANA"}
_SYMBOLS = 2
"""So many Greek letters in a row are a symbol (α, γδ T cells, Σ); three are a word."""


@lru_cache(maxsize=20_000)
def _script(char: str) -> str | None:
    """First word of the character's Unicode name ("CJK", "GREEK"); None for what belongs to no other script."""
    if unicodedata.category(char)[0] not in "LM":
        return None
    script = unicodedata.name(char, "").partition(" ")[0]
    return None if script in _NO_SCRIPT or not script else script


def _other_scripts(text: str) -> Iterator[tuple[int, int, str]]:
    if text.isascii() or not _BEYOND_LATIN.search(text):
        return
    words = list(_script_words(text))
    start = 0
    for at in range(1, len(words) + 1):
        if at == len(words) or any(map(str.isalpha, text[words[at - 1].end : words[at].start])):
            run = words[start:at]
            if _says_something(run, text):
                yield run[0].start, run[-1].end, _script_language({word.script for word in run})
            start = at


class _ScriptWord(NamedTuple):
    start: int
    end: int
    script: str


def _script_words(text: str) -> Iterator[_ScriptWord]:
    """Unbroken runs of letters of one other script."""
    at = 0
    for script, run in groupby(text, key=_script):
        length = len(list(run))
        if script and script not in ("COMBINING", "VARIATION"):
            yield _ScriptWord(at, at + length, script)
        at += length


def _says_something(run: Sequence[_ScriptWord], text: str) -> bool:
    """Whether a run of words is language: not a Greek symbol, not a lone letter of an alphabet, not marks alone."""
    if not any(map(str.isalpha, text[run[0].start : run[-1].end])):
        return False
    longest = max(word.end - word.start for word in run)
    if {word.script for word in run} == {"GREEK"}:
        return longest > _SYMBOLS
    return longest > 1 or any(word.script in _ONE_LETTER_IS_A_WORD for word in run)


def _script_language(scripts: set[str]) -> str:
    """Kana makes Japanese of the Chinese characters beside them; what several languages share keeps its name."""
    if scripts & {"HIRAGANA", "KATAKANA"}:
        return "ja"
    script = min(scripts, key=lambda name: (name not in _SCRIPT_LANGUAGES, name))
    return _SCRIPT_LANGUAGES.get(script, script.capitalize())


# ---- (2) other languages in Latin script -------------------------------------------------------------------

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


def _latin_script(text: str) -> Iterator[tuple[int, int, str]]:
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
    if speaks or shape == "capital" or len(word) < 3 or _BEYOND_LATIN.search(word) or _known(word):
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
        return _namer()(said, TRUST_SPOKEN if spoken else TRUST_UNKNOWN)
    enough = len(said) > 4 if spoken else len(said) > 5 and _NOT_FRENCH.search(stretch[0].word)
    return _namer()(said, TRUST_SPOKEN if spoken else TRUST_ALONE) if enough else None


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


# ---- (3) doubt ---------------------------------------------------------------------------------------------

DOUBTED = (
    "en", "la", "de", "fr", "es", "pt", "it", "nl", "sv", "da", "pl", "cs", "hu", "ro", "tr", "id", "vi", "fi", "hr",
)  # fmt: skip
"""The languages that lingua weighs: each costs 25 MB and a quarter of a second at the first doubt. The word lists
know twice as many."""
TRUST_SPOKEN = 0.5
TRUST_UNKNOWN = 0.8
TRUST_ALONE = 0.9
"""lingua's confidence in its three first languages that decides: with a word of the lists, without one, and for
a single unknown word, which must carry a sign that English does not know from its many French loans.
Three, because it divides what it believes among neighbours such as Danish and Norwegian."""
NOT_PLAIN = 0.2
"""At most so much confidence may lie on English and Latin."""


@cache
def _namer() -> Namer:
    """lingua over ``DOUBTED``; one that never answers where lingua is not installed."""
    try:
        from lingua import IsoCode639_1, LanguageDetectorBuilder
    except ImportError:
        return lambda text, trust: None
    codes = [getattr(IsoCode639_1, code.upper()) for code in DOUBTED]
    detector = LanguageDetectorBuilder.from_iso_codes_639_1(*codes).build()

    @lru_cache(maxsize=50_000)
    def believed(text: str) -> tuple[tuple[str, float], ...]:
        values = detector.compute_language_confidence_values(text)
        return tuple((value.language.iso_code_639_1.name.lower(), value.value) for value in values)

    def name(text: str, trust: float) -> str | None:
        plain = sum(value for code, value in believed(text) if code in ("en", "la"))
        others = [(code, value) for code, value in believed(text) if code not in ("en", "la")]
        sure = plain <= NOT_PLAIN and sum(value for _, value in others[:3]) >= trust
        return others[0][0] if sure else None

    return name


class _Parts:
    """Which part of the completion a place belongs to: what the last tag before it says."""

    def __init__(self, text: str, think_opened: bool) -> None:
        first: Part = "think" if think_opened else "before"
        self._starts, self._parts = [0], [first]
        for tag in re.finditer(r"<(/?)(think|answer)>", text, re.IGNORECASE):
            inside: Part = "think" if tag[2].lower() == "think" else "answer"
            outside: Part = "between" if inside == "think" else "after"
            self._starts.append(tag.end())
            self._parts.append(outside if tag[1] else inside)

    def at(self, place: int) -> Part:
        return self._parts[bisect_right(self._starts, place) - 1]
