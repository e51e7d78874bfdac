"""Words that tell diseases apart: where two names differ in one of these, they are not one disease.

Every axis holds values that exclude each other (type numbers, modes of inheritance, onset classes, sides, opposed
adjectives, negations). A word of an axis that only one of two names holds is never passed over as noise.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

AXES: dict[str, str] = {
    "inheritance": "autosomal dominant recessive semidominant xlinked ylinked mitochondrial sporadic digenic",
    "onset": "congenital neonatal infantile infancy juvenile childhood child adolescent adult adulthood late early "
    "prenatal perinatal antenatal postnatal fetal senile presenile pediatric elderly maternal paternal",
    "side": "left right upper lower bilateral unilateral proximal distal anterior posterior medial lateral superior "
    "inferior dorsal ventral cranial caudal rostral central peripheral axial appendicular superficial deep internal "
    "external inner outer preaxial postaxial ascending descending",
    "copy number": "deletion microdeletion duplication microduplication monosomy disomy trisomy tetrasomy triplication "
    "inversion ring translocation haploinsufficiency",
    "degree": "complete incomplete partial total acute subacute chronic mild moderate severe intermediate attenuated "
    "fulminant transient permanent progressive nonprogressive recurrent lethal nonlethal fatal major minor",
    "course": "benign malignant primary secondary idiopathic acquired hereditary inherited familial classic classical "
    "nonclassic nonclassical typical atypical syndromic nonsyndromic isolated complex pure",
    "extent": "systemic cutaneous visceral localized generalized diffuse focal multifocal unifocal limited "
    "disseminated segmental solitary multiple single unicentric multicentric",
    "quantity": "long short tall high low increased decreased large small giant fast slow hot cold warm wet dry wide "
    "narrow open closed thick thin activating inactivating",
    "sex": "male female",
    "modality": "sensory motor autonomic axonal demyelinating hypertrophic dilated restrictive obstructive epithelial "
    "endothelial stromal junctional dystrophic simplex",
    "negation": "not no without absent absence negative positive excluding except like pseudo mimic resembling or "
    "versus vs",
}  # fmt: skip
"""Axis to its words. Only whether a word belongs to an axis matters here, not which words oppose which."""

_AXIS_OF = {word: axis for axis, words in AXES.items() for word in words.split()}
_NEGATING = ("without~", "non", "pseudo", "anti")
_OPPOSED_STARTS = (
    ("hyper", "hypo"), ("micro", "macro"), ("brachy", "dolicho"), ("mono", "poly"), ("endo", "exo"),
    ("intra", "extra"), ("intra", "inter"), ("supra", "infra"), ("pre", "post"), ("ante", "post"), ("brady", "tachy"),
    ("oligo", "poly"), ("eu", "dys"), ("epi", "endo"), ("epi", "hypo"), ("homo", "hetero"), ("uni", "bi"),
    ("mono", "di"), ("di", "tri"), ("tri", "tetra"), ("ab", "ad"), ("a", "poly"), ("dextro", "levo"), ("meso", "acro"),
)  # fmt: skip


@lru_cache(maxsize=100_000)
def axis(word: str) -> str | None:
    """The axis that a folded word belongs to, or None for a word that guards know nothing of."""
    if any(sign.isdigit() for sign in word):
        return "locus" if _is_locus(word) else "number"
    if len(word) == 1:
        return "letter"
    if word in _AXIS_OF:
        return _AXIS_OF[word]
    return "negation" if word.startswith(_NEGATING) and len(word) > 5 else None


def _is_locus(word: str) -> bool:
    start = word.lstrip("0123456789xy")
    return len(start) > 1 and start[0] in "pq" and start != word and start[1].isdigit()


def protected(words: Iterable[str]) -> str | None:
    """The first axis that any of these left-over words belongs to."""
    return next((found for word in words if (found := axis(word))), None)


@lru_cache(maxsize=100_000)
def opposed(left: str, right: str) -> bool:
    """Whether two words differ in a prefix that turns the meaning (hyper-, hypo-, a-), or one is guarded."""
    if axis(left) or axis(right) or left == f"a{right}" or right == f"a{left}":
        return True
    return any(_swaps(left, right, a, b) or _swaps(left, right, b, a) for a, b in _OPPOSED_STARTS)


def _swaps(left: str, right: str, a: str, b: str) -> bool:
    return left.startswith(a) and right == b + left[len(a) :]
