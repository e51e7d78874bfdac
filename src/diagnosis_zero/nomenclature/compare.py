"""Two names side by side, without a catalogue: the same words, or the same but for spelling and noise."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from diagnosis_zero.nomenclature import guards, vocabulary
from diagnosis_zero.nomenclature.normalise import Name
from diagnosis_zero.nomenclature.spelling import Known, same_word


@dataclass(frozen=True, slots=True)
class Comparison:
    """``same`` with the rule that decided; ``score`` in [0, 1] orders the rest by shared words."""

    same: bool
    score: float
    rule: str


def compare(left: Name, right: Name, known: Known | None = None) -> Comparison:
    """Compare two names by their words alone.

    ``known`` says whether the nomenclature uses a word; without it every long word may be misspelled.
    """
    if not left.words or not right.words:
        return Comparison(False, 0.0, "empty")
    if left.literal == right.literal:
        return Comparison(True, 1.0, "identical")
    if left.canonical == right.canonical:
        return Comparison(True, 1.0, "same words")
    if left.bare == right.bare and left.bare and not _class_noun_matters(left, right):
        return Comparison(True, 0.97, "class noun")
    return _by_residue(left, right, known)


def _class_noun_matters(left: Name, right: Name) -> bool:
    """Caroli disease is not Caroli syndrome: only where one name has the one noun and one the other."""
    nouns = {noun for name in (left, right) for noun in name.words if noun in vocabulary.CLASS_NOUNS}
    return left.bare in vocabulary.DISEASE_IS_NOT_SYNDROME and len(nouns) > 1


def _by_residue(left: Name, right: Name, known: Known | None) -> Comparison:
    only_left, only_right = residues(left, right, known)
    shared = 1 - len(only_left + only_right) / max(1, len(left.words) + len(right.words))
    if not only_left and not only_right:
        return Comparison(True, 0.9, "spelling")
    guard = guards.protected(only_left + only_right)
    return Comparison(False, 0.5 * shared, f"guard: {guard}" if guard else "different words")


def residues(left: Name, right: Name, known: Known | None = None) -> tuple[list[str], list[str]]:
    """The words of each name that the other does not hold, class nouns aside, spelling forgiven."""
    a, b = _content(left), _content(right)
    only_a, only_b = list((a - b).elements()), list((b - a).elements())
    for word in tuple(only_a):
        twin = next((other for other in only_b if same_word(word, other, known)), None)
        if twin is not None:
            only_a.remove(word)
            only_b.remove(twin)
    return only_a, only_b


def _content(name: Name) -> Counter[str]:
    return Counter(word for word in name.words if word not in vocabulary.CLASS_NOUNS)
