"""Two names side by side: the same words, or the same but for spelling, equivalent phrases, abbreviations, noise.

Strict: a word that only one name holds, and that nothing here accounts for, means two diseases.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from rapidfuzz.distance import Indel

from diagnosis_zero.nomenclature import acronym, guards, vocabulary
from diagnosis_zero.nomenclature.lexicon import BUILT_IN, Lexicon, Phrase
from diagnosis_zero.nomenclature.normalise import Name
from diagnosis_zero.nomenclature.spelling import same_word

MANY_WORDS, MAX_WORDS = 10, 40
"""Differing words beyond which two texts are compared by shared words only; the latter holds for abbreviations."""
MAX_PHRASE = 4


@dataclass(frozen=True, slots=True)
class Comparison:
    """``same`` with the rule that decided; ``score`` in [0, 1] orders the rest by shared words."""

    same: bool
    score: float
    rule: str


def compare(left: Name, right: Name, lexicon: Lexicon = BUILT_IN) -> Comparison:
    """Compare two names by their words alone."""
    if not left.words or not right.words:
        return Comparison(False, 0.0, "no name")
    if left.literal == right.literal:
        return Comparison(True, 1.0, "identical")
    if left.canonical == right.canonical:
        return Comparison(True, 1.0, "same words")
    if left.bare == right.bare and left.bare and not _class_noun_matters(left, right):
        return Comparison(True, 0.97, "class noun")
    return _by_residue(left, right, lexicon)


def _hopeless(left: Name, right: Name, only_left: Sequence[str], only_right: Sequence[str]) -> bool:
    """Whether so much differs that no wording accounts for it: nothing to expand, and many words left over, or no
    word shared and hardly a letter."""
    left_over = len(only_left) + len(only_right)
    if left.short or right.short or left_over <= 6:
        return left_over > MAX_WORDS
    nothing_shared = len(only_left) == len(left.bare.split()) and len(only_right) == len(right.bare.split())
    return left_over > MANY_WORDS or (nothing_shared and Indel.normalized_similarity(left.bare, right.bare) < 0.5)


def _class_noun_matters(left: Name, right: Name) -> bool:
    """Caroli disease is not Caroli syndrome: only where one name has the one noun and one the other."""
    nouns = {noun for name in (left, right) for noun in name.words if noun in vocabulary.CLASS_NOUNS}
    return left.bare in vocabulary.DISEASE_IS_NOT_SYNDROME and len(nouns) > 1


def _by_residue(left: Name, right: Name, lexicon: Lexicon) -> Comparison:
    only_left, only_right = differing(left.words, right.words)
    shared = 1 - (len(only_left) + len(only_right)) / (len(left.words) + len(right.words))
    if _hopeless(left, right, only_left, only_right):
        return Comparison(False, 0.5 * shared, "different words")
    if not left.short and not right.short and _strangers(only_left, only_right, lexicon):
        return _different(only_left + only_right, shared)
    if only_left and only_right:
        _pair_spellings(only_left, only_right, left.short | right.short, lexicon)
        _pair_phrases(only_left, only_right, lexicon)
        _expand_abbreviations(left, only_left, only_right)
        _expand_abbreviations(right, only_right, only_left)
    if not vocabulary.NOISE_BESIDE_NUMBER.isdisjoint((*only_left, *only_right)):
        _drop_noise(left, right, only_left, only_right)
    if not only_left or not only_right:
        _drop_heads(left, right, only_left, only_right)
    if not only_left and not only_right and _share_substance(left, right):
        return Comparison(True, 0.9, "same but for wording")
    return _different(only_left + only_right, shared)


def _different(words: Sequence[str], shared: float) -> Comparison:
    guard = guards.protected(words)
    return Comparison(False, 0.5 * shared, f"guard: {guard}" if guard else "different words")


def _strangers(only_left: Sequence[str], only_right: Sequence[str], lexicon: Lexicon) -> bool:
    """Whether each side holds a word that nothing below can account for: the quick way to the same verdict."""
    return all(
        any(not _accountable(word, others, lexicon) for word in words)
        for words, others in ((only_left, only_right), (only_right, only_left))
    )


def _accountable(word: str, others: Sequence[str], lexicon: Lexicon) -> bool:
    if word in vocabulary.NOISE_BESIDE_NUMBER or word in vocabulary.SOFT_HEADS or lexicon.in_phrases(word):
        return True
    return any(same_word(word, other, lexicon) for other in others)


def differing(left: Sequence[str], right: Sequence[str]) -> tuple[list[str], list[str]]:
    """The words that only one side holds, in order, class nouns aside."""
    spare = [word for word in right if word not in vocabulary.CLASS_NOUNS]
    only_left = []
    for word in left:
        if word in spare:
            spare.remove(word)
        elif word not in vocabulary.CLASS_NOUNS:
            only_left.append(word)
    return only_left, spare


def _pair_spellings(left: list[str], right: list[str], short: frozenset[str], lexicon: Lexicon) -> None:
    """Take out words that are one word spelled otherwise; an abbreviation is never a slip of another ("PDGFRA",
    "PDGFRB")."""
    for word in [word for word in left if word not in short]:
        twin = next((other for other in right if other not in short and same_word(word, other, lexicon)), None)
        if twin is not None:
            left.remove(word)
            right.remove(twin)


def _pair_phrases(left: list[str], right: list[str], lexicon: Lexicon) -> None:
    """Take out equivalent phrases, the longest first."""
    while pair := _equivalent_runs(left, right, lexicon):
        here, there = pair
        del left[here], right[there]


def _equivalent_runs(left: Sequence[str], right: Sequence[str], lexicon: Lexicon) -> tuple[slice, slice] | None:
    """The first runs that name one thing; the left one, then the right one, as long as can be."""
    offered: dict[Phrase, slice] = {}
    for there in runs(right, lexicon):
        offered.setdefault(tuple(sorted(right[there])), there)
    for here in runs(left, lexicon) if offered else ():
        partners = lexicon.partners(tuple(sorted(left[here])))
        if partners and (met := next((phrase for phrase in offered if phrase in partners), None)):
            return here, offered[met]
    return None


def runs(words: Sequence[str], lexicon: Lexicon) -> list[slice]:
    """Every run of at most ``MAX_PHRASE`` words that phrases are made of, the longest first."""
    told = [lexicon.in_phrases(word) for word in words]
    if True not in told:
        return []
    return [
        slice(start, start + length)
        for length in range(min(MAX_PHRASE, len(words)), 0, -1)
        for start in range(len(words) - length + 1)
        if False not in told[start : start + length]
    ]


_LETTERS_AND_NUMBER = re.compile(r"([a-z]{2,10})(\d{1,3}[a-z]?)?")


def _expand_abbreviations(name: Name, words: list[str], others: list[str]) -> None:
    """Take out an abbreviation together with the words (and the number) of the other name that it stands for."""
    for word in [word for word in words if word in name.short]:
        parts = _LETTERS_AND_NUMBER.fullmatch(word)
        if not parts or (parts[2] and parts[2] not in others):
            continue
        run = _spelled_out(parts[1], [other for other in others if other != parts[2]], name, parts[2] is not None)
        if run:
            words.remove(word)
            for spelled in (*run, parts[2]):
                if spelled in others:
                    others.remove(spelled)


def _spelled_out(letters: str, words: Sequence[str], name: Name, numbered: bool) -> Phrase:
    """The run of words that the letters abbreviate, the longest first, or none.

    A lone abbreviation has at least three letters, or two and the number; its last letter may stand for a class
    noun. Letters from inside a word count where there are four, or where something else agrees (the number, the
    rest of the name).
    """
    alone = len(name.words) == 1
    if len(letters) < (3 if alone and not numbered else 2):
        return ()
    inside = len(letters) > 3 or (len(letters) == 3 and (numbered or not alone))
    endings = ["", *(noun[0] for noun in sorted(vocabulary.CLASS_NOUNS))] if alone else [""]
    for run in sorted(_every_run(words), key=lambda run: run.start - run.stop):
        if words[run.start][0] != letters[0]:
            continue
        phrase = tuple(words[run])
        told = tuple(word for word in phrase if word not in vocabulary.UNSPELLED)
        for ending in endings:
            rest = letters.removesuffix(ending)
            if ending and rest == letters:
                continue
            if rest == "".join(word[0] for word in told):
                return phrase
            if inside and (len(told) > 1 or numbered) and acronym.spells(rest, told):
                return phrase
    return ()


def _every_run(words: Sequence[str]) -> list[slice]:
    ends = range(len(words))
    return [slice(a, b + 1) for a in ends for b in ends[a : a + acronym.MAX_LETTERS]]


def _drop_noise(left: Name, right: Name, only_left: list[str], only_right: list[str]) -> None:
    """Take out words that one name may hold alone; more of them where both carry one series number."""
    numbered = _numbers(left) == _numbers(right) != set()
    noise = vocabulary.NOISE_BESIDE_NUMBER if numbered else vocabulary.NOISE
    axes = [{guards.axis(word) for word in side} - {None} for side in (only_left, only_right)]
    if axes[0] & axes[1]:
        return  # both speak of one matter and say different things of it
    only_left[:] = [word for word in only_left if word not in noise]
    only_right[:] = [word for word in only_right if word not in noise]


def _drop_heads(left: Name, right: Name, only_left: list[str], only_right: list[str]) -> None:
    """Take out what describes an eponym or stands in for "syndrome": "Pierre Robin sequence", "Pyle disease" and
    "metaphyseal dysplasia, Pyle type"."""
    for name, words, other, others in ((left, only_left, right, only_right), (right, only_right, left, only_left)):
        if others or not set(other.words) & vocabulary.CLASS_NOUNS:
            continue
        eponym = "".join(word for word in other.words if word not in vocabulary.CLASS_NOUNS)
        if f"{eponym}type" in name.literal and not guards.protected(words):
            words.clear()
        words[:] = [word for word in words if word not in vocabulary.SOFT_HEADS]


def _numbers(name: Name) -> set[str]:
    return {word for word in name.words if guards.axis(word) == "number"}


def _share_substance(left: Name, right: Name) -> bool:
    """Whether something other than noise was there to agree on."""
    return all(any(word not in vocabulary.NOISE_BESIDE_NUMBER for word in name.bare.split()) for name in (left, right))
