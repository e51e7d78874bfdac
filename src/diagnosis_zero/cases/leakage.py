"""Does the text give the answer away? Names are looked for as whole words, whatever their case, accents, hyphens,
plural or British spelling; abbreviations ("AS", "ALL") only as they are written. Linear in the text.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from functools import cache

from diagnosis_zero.nomenclature.catalogue import Catalogue
from diagnosis_zero.nomenclature.normalise import fold_word
from diagnosis_zero.nomenclature.vocabulary import GREEK
from diagnosis_zero.types import Case

IDENTIFYING = ("preferred", "exact", "abbreviation")
"""Scopes of the catalogue's names that mean the disease itself."""

_WORD = re.compile(r"[^\W_]+(?:'s\b)?")
_APOSTROPHES = str.maketrans("\u2019\u02bc\u2032\uff07", "''''")
_GREEK = str.maketrans({letter: f" {name} " for letter, name in GREEK.items()})
_BRACKETS = re.compile(r"\([^()]*\)")
_PAIR = re.compile(r"([^()]+)\(([^()]+)\)")
_REMEMBERED = 200_000
_SHORTEST_ABBREVIATION, _LONGEST_ABBREVIATION = 3, 6
"""Two letters ("MS", "PE") mean too many things to give anything away."""


def leaked(text: str, names: Iterable[str]) -> tuple[str, ...]:
    """Those of ``names`` that stand in ``text``, in their order.

    Of a name with its abbreviation in brackets, "idiopathic intracranial hypertension (IIH)", either is enough.
    """
    folded = fold(text)
    return tuple(name for name in names if any(_stands(form, text, folded) for form in _forms(name)))


def synonyms_by(catalogue: Catalogue) -> Callable[[Case], list[str]]:
    """What else a case's disease is called, by its identifiers and its names where they are unambiguous."""

    def synonyms(case: Case) -> list[str]:
        found = (catalogue.find(name) for name in case.names)
        named = {entry for one in found if not one.ambiguous for entry in one.entries}
        identified = {entry for entry in map(catalogue.identified, case.ids) if entry is not None}
        scopes = (catalogue.names(entry) for entry in sorted(named | identified))
        return [name for names in scopes for scope in IDENTIFYING for name in names.get(scope, ())]

    return synonyms


def fold(text: str) -> str:
    """The words of a text with their spelling evened out, a blank before, between and behind them."""
    if _fold_token.cache_info().currsize > _REMEMBERED:
        _fold_token.cache_clear()
    return "".join(map(_fold_token, text.split())) + " "


def _stands(form: str, text: str, folded: str) -> bool:
    if _is_abbreviation(form):
        long_enough = len(form) >= _SHORTEST_ABBREVIATION
        return long_enough and form in text and form in _WORD.findall(text)
    words = fold(form)
    return words != " " and words in folded


def _is_abbreviation(form: str) -> bool:
    return form.isalnum() and len(form) <= _LONGEST_ABBREVIATION and sum(map(str.isupper, form)) > 1


def _forms(name: str) -> Iterator[str]:
    """The name as it stands, without brackets, and both halves of "long name (LN)" or "LN (long name)"."""
    name = name.strip(" .")
    yield name
    if "(" in name:
        yield _BRACKETS.sub(" ", name).strip()
    if pair := _PAIR.fullmatch(name):
        outside, inside = pair[1].strip(), pair[2].strip()
        same_start = outside[:1].casefold() == inside[:1].casefold()
        if same_start and _is_abbreviation(outside) != _is_abbreviation(inside):
            yield inside


@cache  # plain and cleared now and then: twice as fast as one that keeps order
def _fold_token(token: str) -> str:
    """The words of a piece of text without blanks, a blank before each: "β-thalassaemias," is " beta thalassemia"."""
    token = token.translate(_APOSTROPHES).casefold()
    if not token.isascii():
        token = "".join(sign for sign in unicodedata.normalize("NFKD", token) if not unicodedata.combining(sign))
        token = token.translate(_GREEK)
    return "".join(f" {fold_word(word)}" for word in _WORD.findall(token))
