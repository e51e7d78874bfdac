"""A reference that is a clinician's sentence and no entry of the nomenclature, against a free answer.

"ANCA-negative granulomatosis with polyangiitis with pyoderma-like lesions" has no identity to look up. Such pairs
are judged by what they share: letters and words (inflections and equivalents forgiven), unless they contradict
each other. The weights are a logistic regression on answers that a GPT judge had judged (docs/reward.md); what
contradicts is a rule.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

from diagnosis_zero.nomenclature import guards, vocabulary
from diagnosis_zero.nomenclature.answer import names_disease, strip_lead_in, takes_back
from diagnosis_zero.nomenclature.compare import runs
from diagnosis_zero.nomenclature.lexicon import Lexicon
from diagnosis_zero.nomenclature.normalise import MAX_CHARS, analyse, plain
from diagnosis_zero.nomenclature.spelling import root, same_word

MAX_WORDS = 60
GRAM = 4
PREFIX = 5
"""Two words that begin with as many letters, more than half of the shorter, count as one here."""

_OPPOSED = tuple(
    map(
        vocabulary.word_set,
        (
            "left right", "benign malignant", "primary secondary", "acute chronic", "upper lower", "anterior posterior",
            "congenital acquired", "superior inferior", "proximal distal", "adult juvenile", "adult pediatric",
            "diffuse focal", "typical atypical", "systemic localized", "internal external", "medial lateral",
            "positive negative", "dominant recessive",
        ),
    )
)  # fmt: skip
_SETTLING = frozenset(("number", "letter", "locus", "inheritance", "copy number", "sex"))
"""Axes on which two sentences that both speak must agree in something."""
_RELATION = re.compile(r"\b(?:secondary|due|related) to\b", re.IGNORECASE)
_ABBREVIATION = re.compile(r"[(\[]([A-Za-z0-9-]{2,12})[)\]]")
_LETTERS = re.compile(r"[a-z0-9]+")
_QUANTITY = re.compile(r"\d{1,6}(?:\.\d{1,6})? ?%|#\d{1,6}")
_NUMBERED_CASE = re.compile(r"\b(?:case|patient) ?#?([12])\b", re.IGNORECASE)
_TOGETHER = re.compile(r"\bco-?infections?\b(?: (?:of|with|by|due to))?|\bsynchronous\b|\bconcurrent\b", re.IGNORECASE)
_BESIDE = re.compile(r", and | and | & |, ")
_TIED = re.compile(r"\b(?:with|due to|secondary to|caused by|complicated by|associated with|in|of a)\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Shared:
    """What an answer and a reference share. ``letters``: 4-letter pieces over the smaller set. ``words``: the
    greater of both covered shares. ``count``: shared words, at most five. ``log_answer``, ``log_reference``: the
    logarithm of one plus their words. ``abbreviations_differ``: each gives one in brackets, and not the same."""

    letters: float
    words: float
    count: int
    log_answer: float
    log_reference: float
    abbreviations_differ: bool


def logit(shared: Shared) -> float:
    """Log-odds, less the threshold, that a judge calls the answer right."""
    return (
        -1.65
        + 3.76 * shared.letters
        + 0.35 * shared.words
        + 0.49 * shared.count
        + 0.19 * shared.log_answer
        - 0.65 * shared.log_reference
        - 0.91 * shared.abbreviations_differ
    )


def same_content(prediction: str, reference: str, lexicon: Lexicon) -> tuple[bool, float, str]:
    """(whether the answer is right, score in [0, 1], rule)."""
    answer, truth = strip_lead_in(prediction[:MAX_CHARS]), reference[:MAX_CHARS]
    left, right = _words(answer), _words(truth)
    shared = _share(answer, truth, left, right, lexicon)
    chance = 1 / (1 + math.exp(-logit(shared)))
    refusal = _contradiction(left, right) or _other_count(answer, truth, left, lexicon)
    refusal = refusal or ("taken back" if takes_back(answer, truth) else "")
    if not shared.count or refusal:
        return False, 0.4 * chance, f"free text: {refusal or 'nothing shared'}"
    if shared.count == 1 and len(right) > 1 and len(left) == 1:
        return False, 0.4 * chance, "free text: one word of several"
    return chance > 0.5, chance, "free text: shared content"


def _words(text: str) -> list[str]:
    words = analyse(_RELATION.sub("of", _QUANTITY.sub(" ", text))).words
    return list(dict.fromkeys(word for word in words if word not in vocabulary.CLASS_NOUNS))[:MAX_WORDS]


def _share(answer: str, truth: str, left: Sequence[str], right: Sequence[str], lexicon: Lexicon) -> Shared:
    exchanged = _exchanged(left, right, lexicon)
    met_right = [word for word in right if word in exchanged or any(_alike(word, other, lexicon) for other in left)]
    met_left = [word for word in left if word in exchanged or any(_alike(word, other, lexicon) for other in right)]
    pieces_left, pieces_right = _pieces(answer), _pieces(truth)
    given_left, given_right = _abbreviations(answer), _abbreviations(truth)
    return Shared(
        letters=len(pieces_left & pieces_right) / max(1, min(len(pieces_left), len(pieces_right))),
        words=max(len(met_left) / max(1, len(left)), len(met_right) / max(1, len(right))),
        count=min(5, len(met_right)),
        log_answer=math.log1p(len(left)),
        log_reference=math.log1p(len(right)),
        abbreviations_differ=bool(given_left and given_right and not given_left & given_right),
    )


def _exchanged(left: Sequence[str], right: Sequence[str], lexicon: Lexicon) -> frozenset[str]:
    """The words of phrases that name one thing and stand on either side ("hydatidiform mole", "molar pregnancy")."""
    offered = {tuple(sorted(right[there])) for there in runs(right, lexicon)}
    found: set[str] = set()
    for here in runs(left, lexicon) if offered else ():
        phrase = tuple(sorted(left[here]))
        for partner in lexicon.partners(phrase) & offered:
            found.update(phrase, partner)
    return frozenset(found)


def _other_count(answer: str, truth: str, left: Sequence[str], lexicon: Lexicon) -> str:
    """The reason to refuse an answer that numbers several patients, or names no more than half of the diseases that
    the reference names side by side."""
    if len(set(_NUMBERED_CASE.findall(answer))) > len(set(_NUMBERED_CASE.findall(truth))):
        return "several patients"
    beside = _side_by_side(truth)
    named = [any(_alike(word, other, lexicon) for word in heads for other in left) for heads in beside]
    return "one disease of several" if beside and sum(named) <= len(named) / 2 else ""


def _side_by_side(truth: str) -> list[list[str]]:
    """The head words of each of several diseases that a reference names; none where it names one disease and what
    goes with it."""
    together = bool(_TOGETHER.search(truth))
    parts = [_words(part) for part in _BESIDE.split(_TOGETHER.sub(" ", truth))]
    heads = [[word for word in part if names_disease(word)] for part in parts]
    if len(parts) < 2 or not all(parts) or not (together or (all(heads) and not _TIED.search(truth))):
        return []
    return [head or part for head, part in zip(heads, parts, strict=True)]


def _alike(left: str, right: str, lexicon: Lexicon) -> bool:
    if left == right:
        return True
    shorter = min(len(left), len(right))
    if shorter < PREFIX:
        return False
    if left[:PREFIX] == right[:PREFIX] and shorter < 2 * PREFIX:
        return True
    return same_word(left, right, lexicon) or (right,) in lexicon.partners((left,)) or root(left) == root(right)


def _pieces(text: str) -> set[str]:
    return {
        word[at : at + GRAM] for word in _LETTERS.findall(plain(text).lower()) for at in range(len(word) - GRAM + 1)
    }


def _abbreviations(text: str) -> set[str]:
    return {found.lower() for found in _ABBREVIATION.findall(text) if sum(map(str.isupper, found)) > 1}


def _contradiction(left: Sequence[str], right: Sequence[str]) -> str:
    """What the two say differently, or nothing."""
    here, there = set(left), set(right)
    for pair in _OPPOSED:
        if here & pair and there & pair and not here & there & pair:
            return "opposed words"
    for axis in _SETTLING:
        says, asked = ({word for word in side if _settles(word, axis)} for side in (here, there))
        if says and asked and not says & asked:
            return f"guard: {axis}"
    return ""


def _settles(word: str, axis: str) -> bool:
    """Whether a word takes a stand on an axis; "s1" and "a66" are no type numbers."""
    return guards.axis(word) == axis and (axis != "number" or word[0].isdigit())
