"""The common vocabulary of a set of diseases: which HPO terms their records are written in, and in which
words."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence, Set

from diagnosis_zero.cases.hpo import Hpo, Term, in_sentence
from diagnosis_zero.cases.profiles import Profile, plain

SEXES = ("MALE", "FEMALE")
"""The words of GA4GH phenopackets."""

_ABNORMALITY = "HP:0000118"
_ONLY_OF: Mapping[str, frozenset[str]] = {
    "MALE": frozenset({"HP:0010461", "HP:0012874", "HP:0000025", "HP:0000771", "HP:0012863", "HP:0002929"}),
    "FEMALE": frozenset(
        {"HP:0010460", "HP:0030012", "HP:0031066", "HP:0033020", "HP:0000868", "HP:0010465", "HP:0010311"}
    ),
}
"""The broadest terms whose kinds only one sex can have."""


def common_vocabulary(
    diseases: Sequence[Profile], hpo: Hpo, phrasings: int
) -> tuple[list[dict[str, float]], dict[str, tuple[str, ...]]]:
    """Each disease's findings in one vocabulary that is an antichain, and for every term of it up to
    ``phrasings`` ways to write it within a sentence, its label first.

    No text holds the name of a disease of the set.
    """
    names = {plain(profile.name) for profile in diseases}
    weight: dict[Term, float] = defaultdict(float)
    for profile in diseases:
        for identifier, share in profile.findings.items():
            term = hpo.find(identifier)
            if term and _specific(hpo, term) and not names_one(term.label, names):
                weight[term] += share
    ranked = sorted(weight, key=lambda term: (-weight[term], term.id))
    stands_for = antichain(hpo, [term.id for term in ranked])
    lists = [_in_vocabulary(hpo, profile.findings, stands_for) for profile in diseases]
    kept = [hpo.terms[identifier] for identifier in dict.fromkeys(term for shares in lists for term in shares)]
    used = Counter(plain(text) for term in kept for text in {term.label, *term.synonyms})
    unclear = {text for text, times in used.items() if times > 1}
    return lists, {term.id: _phrasings(term, unclear, names)[:phrasings] for term in kept}


def antichain(hpo: Hpo, ranked: Iterable[str]) -> dict[str, str]:
    """Each term to the one that stands for it, none of these being a kind of another.

    In the order given, a term is kept, or merged into the first kept term that it is a kind of (who has
    the narrow finding has the broad one), or left out as too general where narrower ones are kept
    already.
    """
    stands_for: dict[str, str] = {}
    kept: list[str] = []
    too_general: set[str] = set()
    for term in ranked:
        above = hpo.ancestors(term)
        broader = next((other for other in kept if other in above), None)
        if broader is not None:
            stands_for[term] = broader
        elif term not in too_general:
            kept.append(term)
            stands_for[term] = term
            too_general |= above
    return stands_for


def possible(hpo: Hpo, term: str, sex: str) -> bool:
    """Whether a person of this sex can have the finding."""
    kinds = hpo.ancestors(term) | {term}
    return not any(kinds & roots for other, roots in _ONLY_OF.items() if other != sex)


def names_one(text: str, names: Set[str]) -> bool:
    """Whether one of the (plain) names stands in a text, as whole words."""
    words = plain(text).split()
    spans = ((start, end) for end in range(1, len(words) + 1) for start in range(end))
    return any(" ".join(words[start:end]) in names for start, end in spans)


def _specific(hpo: Hpo, term: Term) -> bool:
    """A phenotype, and more than "abnormality of" a whole organ system."""
    return _ABNORMALITY in hpo.ancestors(term.id) and _ABNORMALITY not in term.parents


def _in_vocabulary(hpo: Hpo, findings: Mapping[str, float], stands_for: Mapping[str, str]) -> dict[str, float]:
    merged: dict[str, float] = {}
    for identifier, share in findings.items():
        term = hpo.find(identifier)
        if term and term.id in stands_for:
            kept = stands_for[term.id]
            merged[kept] = max(share, merged.get(kept, 0.0))
    return merged


def _phrasings(term: Term, unclear: Set[str], names: Set[str]) -> tuple[str, ...]:
    synonyms = (
        text
        for text in term.synonyms
        if plain(text) not in unclear and _reads_well(text) and not names_one(text, names)
    )
    return tuple(dict.fromkeys(in_sentence(text) for text in (term.label, *synonyms)))


def _reads_well(text: str) -> bool:
    """Short, one phrase, written as in a sentence (not "Low Set Ears"), and in use today."""
    later_words = text.split()[1:]
    return (
        len(later_words) < 5
        and all(word.islower() for word in later_words)
        and not set(text) & set(",()[]/")
        and not any(old in text.casefold() for old in ("retard", "mongol"))
    )
