"""What the reasoning does: is it there, is it the model's own, does the answer follow from it, what does it weigh.

All measures are of the words alone. They show how reasoning changes over training, not whether it is sound.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cache, lru_cache

from diagnosis_zero.behaviour import findings
from diagnosis_zero.behaviour.lexicon import english_only
from diagnosis_zero.behaviour.phrases import Phrases
from diagnosis_zero.cases.hpo import load_hpo, read_annotations
from diagnosis_zero.nomenclature.normalise import analyse
from diagnosis_zero.types import Answer, Case

SHORT_WORDS = 10
PIECE = 6
PARROTED = 0.5
"""Reasoning is parroted when at least half of its words stand in passages of six words or more that are copied
from the case or the prompt."""

CORRECTIONS = (
    "wait", "hold on", "actually", "on second thought", "let me reconsider", "let me rethink", "let me re-think",
    "i was wrong", "i made a mistake", "that is wrong", "that's wrong", "correction", "scratch that", "no longer fits",
    "i should reconsider", "reconsidering", "re-evaluating", "hmm",
)  # fmt: skip
"""Phrases of self-correction, as reasoning models write them."""

CLAIMS = (
    "most likely", "likely diagnosis", "probable diagnosis", "diagnosis is", "diagnosis of", "points to", "suggests",
    "suggest", "suggestive of", "consistent with", "indicates", "fits best", "compatible with", "i think",
    "must be", "should be", "it is", "conclude", "leads to", "this is", "in favour of", "in favor of",
)  # fmt: skip
"""Phrases that put a diagnosis forward."""

_SUBTYPE = re.compile(r"( type)? [0-9IVX]+[A-Za-z]?$")
_WORD = re.compile(r"[^\W_]+(?:['’-][^\W_]+)*")
_CLAIM = re.compile(r"\b(?:" + "|".join(map(re.escape, CLAIMS)) + r")\b", re.IGNORECASE)
_CORRECTION = re.compile(r"\b(?:" + "|".join(map(re.escape, CORRECTIONS)) + r")\b", re.IGNORECASE)
_CLAIM_WORDS = 12
"""A claimed diagnosis begins within so many words after the phrase."""


def features(answer: Answer, case: Case | None, prompt: str = "") -> Mapping[str, float]:
    """Flags (present where set): ``thought/absent``, ``empty``, ``short``, ``parroted``, ``unfollowed`` (the answer is
    never named in the reasoning). Numbers: ``thought/words``, ``copied``
    (share of words), ``hypotheses`` (different diseases named), ``changes`` (of the disease put forward),
    ``corrections`` (phrases); with a case: ``cited`` (share of the case's findings) and ``invented`` (findings
    named that the case does not hold).
    """
    think = answer.think
    if think is None or not _WORD.search(think):
        return {"thought/words": 0.0, "thought/absent" if think is None else "thought/empty": 1.0}
    words = [word.lower() for word in _WORD.findall(think)]
    named = diseases(think)
    found = {
        "thought/words": float(len(words)),
        "thought/hypotheses": float(len({name for _, name in named})),
        "thought/changes": float(changes(think, named)),
        "thought/corrections": float(len(_CORRECTION.findall(think))),
    }
    source = " \n ".join(filter(None, (case.text if case else "", prompt)))
    found["thought/copied"] = copied(words, source)
    found |= _use_of_case(think, case) if case else {}
    flags = {
        "thought/short": len(words) < SHORT_WORDS,
        "thought/parroted": len(words) >= SHORT_WORDS and found["thought/copied"] >= PARROTED,
        "thought/unfollowed": answer.answer is not None and not names(think, answer.answer),
    }
    return found | {name: 1.0 for name, true in flags.items() if true}


# ---- copied from the case ----------------------------------------------------------------------------------


def copied(words: Sequence[str], source: str) -> float:
    """Share of ``words`` (lower case) that stand in a passage of ``PIECE`` words or more copied from ``source``."""
    source_pieces = _pieces(source)
    covered = bytearray(len(words))
    for start, piece in enumerate(_runs(words)):
        if piece in source_pieces:
            covered[start : start + PIECE] = b"\x01" * PIECE
    return sum(covered) / len(words) if words else 0.0


def _runs(words: Sequence[str]) -> Iterator[tuple[str, ...]]:
    return zip(*(words[start:] for start in range(PIECE)), strict=False)


@lru_cache(maxsize=256)
def _pieces(source: str) -> frozenset[tuple[str, ...]]:
    words = [word.lower() for word in _WORD.findall(source)]
    return frozenset(_runs(words))


# ---- the answer in the reasoning ---------------------------------------------------------------------------


def names(think: str, answer: str) -> bool:
    """Whether the reasoning names the answer: all telling words of its name, in any order ("Gaucher" for "Gaucher
    disease type 1"), or its acronym. Generous, so that what is left does not follow."""
    literal = _spaced(answer)
    if len(literal) > 2 and literal in _spaced(think):
        return True
    said = analyse(answer[:300])
    telling = {word for word in said.bare.split() if not word.isdigit() and len(word) > 1} or set(said.words)
    if not telling:
        return False
    spoken = {word for part in _parts(think) for word in analyse(part).words}
    return telling <= spoken or _acronym(answer) in set(re.findall(r"\b[A-Z]{2,8}\b", think))


def _spaced(text: str) -> str:
    return f" {' '.join(_WORD.findall(text.lower()))} "


def _parts(text: str) -> list[str]:
    """Pieces that the normaliser, which reads names and cuts long ones, takes whole."""
    return re.findall(r"[^.;:!?\n]{1,900}", text)


def _acronym(name: str) -> str:
    initials = [word[0] for word in _WORD.findall(name) if word.lower() not in ("of", "the", "and", "with", "type")]
    return "".join(initials).upper() if len(initials) > 1 else "?"


# ---- hypotheses --------------------------------------------------------------------------------------------


Named = Sequence[tuple[int, str]]
"""(offset, name in lower case) of every disease named, in order."""


def changes(think: str, named: Named) -> int:
    """How often the disease that is put forward ("most likely ...", "suggests ...") becomes another one."""
    claimed: list[str] = []
    for claim in _CLAIM.finditer(think) if len(named) > 1 else ():
        following = next(((start, name) for start, name in named if start >= claim.end()), None)
        near = following and len(_WORD.findall(think, claim.end(), following[0])) < _CLAIM_WORDS
        if following and near and (not claimed or claimed[-1] != following[1]):
            claimed.append(following[1])
    return max(0, len(claimed) - 1)


_HEADS = frozenset({"disease", "syndrome"})
_STARTERS = frozenset({
    "actually", "another", "classic", "consider", "considering", "hence", "hmm", "no", "perhaps", "so", "still",
    "thus", "true", "wait", "yes",
})  # fmt: skip
"""Words that begin a sentence with a capital and are no part of a name, beside the words only English has."""
_LINKS = frozenset({"de", "la", "le", "van", "von", "der", "den", "di", "du", "of"})


def diseases(text: str) -> Named:
    """Diseases that a text names: names of HPO's annotation file, and whatever stands as "Xxx disease" or
    "Xxx syndrome". Of names that overlap, the longest."""
    matches = list(_WORD.finditer(text))
    words = [match[0] for match in matches]
    lower = [word.lower() for word in words]
    places = [*_eponyms(words, lower), *((start, end) for start, end, _ in _known_names().find(lower))]
    found: list[tuple[int, str]] = []
    last = 0
    for start, end in sorted(places, key=lambda place: (place[0], -place[1])):
        if start >= last:
            last = end
            name = " ".join(lower[start:end])
            found.append((matches[start].start(), name.replace("'s ", " ").replace("’s ", " ")))
    return found


def _eponyms(words: Sequence[str], lower: Sequence[str]) -> Iterator[tuple[int, int]]:
    """(start, end) of "Von Hippel-Lindau disease" and the like: capitals, and links between them, before a head."""
    for head in (at for at, word in enumerate(lower) if word in _HEADS):
        start = head
        for at in range(head - 1, max(-1, head - 5), -1):
            if words[at][0].isupper() and lower[at] not in _STARTERS and lower[at] not in english_only():
                start = at
            elif lower[at] not in _LINKS:
                break
        if start < head:
            yield start, head + 1


@cache
def _known_names() -> Phrases[bool]:
    """Disease names of HPO's annotations: the preferred name up to its first comma. Names that are also a finding
    ("Ectopia lentis") are left out."""
    labels = {term.label.lower() for term in load_hpo().terms.values()}
    known: Phrases[bool] = Phrases()
    for name in {row.disease_name for row in read_annotations()}:
        words = [word.lower() for word in _WORD.findall(_SUBTYPE.sub("", re.split("[,;]", name)[0]))]
        if " ".join(words) not in labels and (len(words) > 1 or (words and len(words[0]) > 5)):
            known.add(words, True)
    return known


# ---- use of the case ---------------------------------------------------------------------------------------


def _use_of_case(think: str, case: Case) -> dict[str, float]:
    given = case_findings(case)
    said = findings.mentions(think)
    used = {"thought/invented": float(len(said.present - findings.supported(said.present, given)))}
    if given:
        used["thought/cited"] = len(findings.supported(given, said.present | said.absent)) / len(given)
    return used


def case_findings(case: Case) -> frozenset[str]:
    """The findings of a case: those it was coded with, and those its text names (present or absent)."""
    return _case_findings(case.text, tuple(finding.id for finding in case.findings))


@lru_cache(maxsize=256)
def _case_findings(text: str, coded: tuple[str, ...]) -> frozenset[str]:
    named = findings.mentions(text)
    terms = (load_hpo().find(identifier) for identifier in coded)
    return named.present | named.absent | {term.id for term in terms if term}
