"""From what a model wrote in its answer to the name it gives: lead-ins, abbreviations in brackets, explanations.

``views`` lists readings of one text, the most literal first. Every step is linear in the text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache

from diagnosis_zero.nomenclature import guards, vocabulary
from diagnosis_zero.nomenclature.acronym import spells
from diagnosis_zero.nomenclature.normalise import MAX_CHARS, analyse

_LEAD_IN = re.compile(
    r"\s*(?:(?:the|a|an|my|this|patient'?s?|final|most|likely|probable|primary|working|definitive|principal|overall|"
    r"presumptive|confirmed|suspected|unifying|leading|main|clinical)\s{1,3}){0,5}"
    r"(?:diagnosis|answer|conclusion|impression)(?:\s{1,3}(?:here|in this (?:case|patient)))?"
    r"\s*(?:is|was|would be|remains|:|-|=|of)+\s*(?:most likely|likely|probably|:|-)?\s*",
    re.IGNORECASE,
)
_CARRIER = re.compile(
    r"\s*(?:(?:the|this|our)\s{1,3})?(?:patient|child|case|presentation|picture|findings?|it)\s{1,3}"
    r"(?:(?:most|likely|probably|clearly|are|is|best)\s{1,3}){0,3}"
    r"(?:has|have|had|suffers? from|(?:is|are)?\s{0,3}(?:consistent|compatible) with|"
    r"suggests?|indicates?|represents?)\s{1,3}",
    re.IGNORECASE,
)
_EXPLANATIONS = (
    " confirmed by", " confirmed on", " confirmed with", " based on", " on the basis of", " as evidenced by",
    " evidenced by", " given the",
    " supported by", " presenting with", " presenting as", " characterized by", " characterised by",
    " manifesting as", " manifesting with", " in a patient", " in this patient", " in the setting of",
    " in the context of", " as shown by", " proven by", " diagnosed by", " established by", " suggested by",
    " because ", " which ", " that ", "; ", ": ", ". ", "\n", ", likely", ", probably", ", possibly", ", confirmed",
    ", presenting", ", based", ", given", ", as ", ", which", ", with ", ", complicated by", " complicated by",
    " — ", " – ",
)  # fmt: skip
"""Where an explanation starts. What stands before it is the name; what follows must not take it back."""

_BARE_STOPS = frozenset({"; ", ": ", ". ", "\n", " — ", " – "})
_TAKES_BACK = vocabulary.word_set(
    "not no nor neither excluded exclude excluding unlikely ruled rule against versus vs or rather instead "
    "alternatively differential without never denied denies denying negative mimic mimicking resembling"
)
_DENIES = vocabulary.word_set("excluded exclude excluding unlikely ruled versus vs instead differential")
"""Those that deny or hedge wherever they stand; "no" and "without" in a description speak of something else."""
_WORD = re.compile(r"[a-z]+")


@lru_cache(maxsize=50_000)
def views(text: str) -> tuple[str, ...]:
    """Readings of an answer as a name: the whole, without its lead-in, without or inside its brackets, and the
    part before an explanation. Duplicates are dropped; the first is the text itself."""
    text = text[:MAX_CHARS]
    start = strip_lead_in(text)
    readings = [text, start, *unbracket(start)]
    head = before_explanation(start)
    if head:
        readings += [head, *unbracket(head)]
    return tuple(dict.fromkeys(reading for reading in readings if reading.strip()))


def reference_views(name: str) -> tuple[str, ...]:
    """Readings of an accepted name: the whole, and without its bracketed abbreviation."""
    return (name, *unbracket(name))


def takes_back(text: str, reference: str) -> bool:
    """Whether a text denies what it names, or names one thing "or" another, in words the reference does not hold.
    Behind the name ("with no metastasis", "with ulcers or erosions") only plain denials count."""
    lower = text.lower()
    end = min((at for phrase in (*_DESCRIBES, " without ") if (at := lower.find(phrase)) > 3), default=len(lower))
    said = _DENIES.intersection(_WORD.findall(lower)) | _TAKES_BACK.intersection(_WORD.findall(lower[:end]))
    return bool(said.difference(_WORD.findall(reference.lower())))


def strip_lead_in(text: str) -> str:
    """The text after "The most likely diagnosis is" or "The patient has"."""
    clean = text.replace("*", "").replace("’", "'").strip()
    found = _LEAD_IN.match(clean) or _CARRIER.match(clean)
    return clean[found.end() :] if found else clean


def before_explanation(text: str) -> str | None:
    """What stands before the first explanation, unless the rest takes it back ("..., ruled out") or, behind a
    mere stop or semicolon, names something else ("Marfan syndrome; Loeys-Dietz syndrome")."""
    lower = text.lower()
    cuts = [(at, phrase) for phrase in _EXPLANATIONS if (at := lower.find(phrase)) > 3]
    if not cuts:
        return None
    at, phrase = min(cuts)
    rest = _WORD.findall(lower[at:])
    if _TAKES_BACK.intersection(rest) or (phrase in _BARE_STOPS and any(map(names_disease, rest))):
        return None
    return text[:at].rstrip(" ,.;:-")


_DESCRIBES = (
    " with ", " presenting ", " complicated by ", " manifesting ", " involving ", " affecting ", " and ", " of the ",
    " due to ", " caused by ", " secondary to ", " (", " [", " in the ", ", ",
)  # fmt: skip
MAX_CUTS = 4
_NERVES = frozenset(("nerve", "nerves"))
_PLACES = frozenset({" of the ", " in the ", " involving ", " affecting "})
_ADDS = frozenset({" and ", ", "})
"""What may add a second diagnosis rather than describe the first."""
_MUTATION = frozenset(("mutation", "mutations", "variant", "variants", "gene", "pathogenic", "heterozygous"))
_KINDS = frozenset(("number", "letter", "locus", "inheritance", "onset", "copy number", "negation"))


def heads_and_rests(text: str) -> Iterator[tuple[str, str]]:
    """A name and the description behind it ("... with aortic dilatation", "... due to a FBN1 mutation"), cut at
    every place where one may begin, the earliest first; not where the description takes the name back or says which
    kind of the disease it is."""
    start = strip_lead_in(text[:MAX_CHARS])
    lower = start.lower()
    cuts = sorted((at, phrase) for phrase in _DESCRIBES if (at := lower.find(phrase)) > 3)
    for at, phrase in cuts[:MAX_CUTS]:
        rest = start[at + len(phrase) :].strip(" .)]")
        words = _WORD.findall(rest.lower())
        if _TAKES_BACK.intersection(words) or (phrase in _ADDS and any(map(names_disease, words))):
            continue
        if not _says_which(rest, words, phrase) and vocabulary.NOISE.isdisjoint(analyse(start[:at]).words[-1:]):
            yield start[:at], rest


def _says_which(rest: str, words: Sequence[str], phrase: str) -> bool:
    """Whether a description says which kind of a disease it is. A gene's name does not, nor do the numbers of a place
    ("of the right C4-5 nerve roots") or of nerves ("with palsies of the nerves VII and IX")."""
    if _MUTATION.intersection(words):
        return False
    place = phrase in _PLACES or not _NERVES.isdisjoint(words)
    place = place and (vocabulary.DESIGNATED - _NERVES).isdisjoint(words)
    kinds = _KINDS - {"number", "letter", "locus"} if place else _KINDS
    return bool(kinds.intersection(guards.axis(word) for word in analyse(rest).words))


def names_disease(word: str) -> bool:
    """Whether a lower-case word is of the kind that heads a disease name."""
    return word.endswith(vocabulary.DISEASE_ENDINGS)


def unbracket(text: str) -> list[str]:
    """The text without its bracketed abbreviation, or what an abbreviation's brackets spell out."""
    opened = min((at for at in (text.find("("), text.find("[")) if at >= 0), default=-1)
    if opened < 0:
        return []
    closed = text.find(")" if text[opened] == "(" else "]", opened)
    if closed < 0:
        return []
    inner, outer = text[opened + 1 : closed], " ".join(f"{text[:opened]} {text[closed + 1 :]}".split())
    if _abbreviates(inner, outer):
        return [outer]
    return [inner] if _abbreviates(outer, inner) else []


def _abbreviates(short: str, long: str) -> bool:
    """Whether ``short`` is an abbreviation that may be left out beside ``long``.

    Letters made of the long name's carry its type number ("osteogenesis imperfecta (OI3)"), so the number must
    stand in the long name too; a symbol of another origin ("Cohen syndrome [COH1]") is another naming system's.
    """
    if not is_abbreviation(short):
        return False
    letters = "".join(sign for sign in short.lower() if sign.isalpha())
    words = [word for word in analyse(long).words if guards.axis(word) != "number"]
    stated = _numbers(short) - {"1"}
    return stated <= _numbers(long) or not spells(letters, words)


def is_abbreviation(text: str) -> bool:
    """One to three tokens that start with a capital or digit, two capitals in all ("GSD IXd", "IMD57", "D-TGA")."""
    tokens = text.replace("-", " ").replace(",", " ").split()
    if not 1 <= len(tokens) <= 3 or sum(map(len, tokens)) > 16:
        return False
    capitals = sum(sign.isupper() for sign in text)
    return capitals >= 2 and all(token[0].isupper() or token[0].isdigit() or len(token) == 1 for token in tokens)


def _numbers(text: str) -> set[str]:
    """The runs of digits in a name, roman numerals included."""
    spaced = (sign if sign.isdigit() else " " for word in analyse(text).words for sign in (*word, " "))
    return set("".join(spaced).split())
