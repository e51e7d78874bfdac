from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from diagnosis_zero.nomenclature import guards
from diagnosis_zero.nomenclature.acronym import spells
from diagnosis_zero.nomenclature.compare import compare
from diagnosis_zero.nomenclature.normalise import analyse
from diagnosis_zero.nomenclature.spelling import root

SAME = [
    ("Hearing loss-optic atrophy syndrome", "Deafness-optic atrophy syndrome"),
    ("Mental retardation, Xq28-related", "Intellectual disability, Xq28-related"),
    ("Glycogenosis due to aldolase A deficiency", "Glycogen storage disease due to aldolase A deficiency"),
    ("Opthalmoplegic neuropathy", "Ophthalmoplegic neuropathy"),
    ("Pyknodysostosis", "Pycnodysostosis"),
    ("Dermatosis pruriginosa", "Pruriginous dermatosis"),
    ("MCAD deficiency", "Medium chain acyl-CoA dehydrogenase deficiency"),
    ("FMF", "Familial Mediterranean fever"),
    ("SCA17", "Spinocerebellar ataxia type 17"),
    ("Pierre Robin sequence", "Pierre Robin syndrome"),
    ("Metaphyseal dysplasia, Schmid type", "Schmid disease"),
    ("Hereditary spastic paraplegia 31", "Spastic paraplegia 31, autosomal dominant"),
]
DIFFERENT = [
    ("Spinocerebellar ataxia type 17", "Spinocerebellar ataxia type 7", "number"),
    ("SCA17", "Spinocerebellar ataxia type 7", "number"),
    ("Bartter syndrome type A", "Bartter syndrome type B", "letter"),
    ("Autosomal dominant cutis laxa", "Autosomal recessive cutis laxa", "inheritance"),
    ("Infantile GM2 gangliosidosis", "Juvenile GM2 gangliosidosis", "onset"),
    ("Left isomerism", "Right isomerism", "side"),
    ("3q29 deletion", "3q29 duplication", "copy number"),
    ("3q29 deletion", "3q28 deletion", "locus"),
    ("Complete androgen insensitivity", "Partial androgen insensitivity", "degree"),
    ("Ataxia with deafness", "Ataxia without deafness", "negation"),
    ("Huntington disease", "Huntington-like disease", "negation"),
    ("FKRP-related myopathy", "FKTN-related myopathy", ""),
    ("Hypertrichosis", "Hypotrichosis", ""),
    ("Hypercalcemia", "Hyperkalemia", ""),
    ("Microcephaly", "Macrocephaly", ""),
    ("Dent disease", "Kent disease", ""),
    ("CODAS syndrome", "Carcinoid syndrome", ""),
    ("Fraser syndrome", "Frasier syndrome", ""),
    ("PDGFRA rearrangement neoplasm", "PDGFRB rearrangement neoplasm", ""),
    ("CHAND syndrome", "Chandler syndrome", ""),
    ("X-linked ataxia type 1", "Ataxia type 1", "inheritance"),
]


@pytest.mark.parametrize(("one", "other"), SAME)
def test_wording_is_forgiven(one: str, other: str) -> None:
    assert compare(analyse(one), analyse(other)).same
    assert compare(analyse(other), analyse(one)).same


@pytest.mark.parametrize(("one", "other", "axis"), DIFFERENT)
def test_what_distinguishes_is_not(one: str, other: str, axis: str) -> None:
    found = compare(analyse(one), analyse(other))
    assert not found.same
    assert found.score < 0.5
    if axis:
        assert found.rule == f"guard: {axis}"


@given(st.integers(1, 120), st.integers(1, 120), st.sampled_from(["", "a", "b", "c"]))
def test_siblings_are_never_one(left: int, right: int, letter: str) -> None:
    one, other = f"Lethal fibromatous ataxia type {left}{letter}", f"Lethal fibromatous ataxia type {right}{letter}"
    assert compare(analyse(one), analyse(other)).same is (left == right)


@given(st.text(max_size=60), st.text(max_size=60))
def test_comparison_is_symmetric_in_its_answer(one: str, other: str) -> None:
    left, right = analyse(one), analyse(other)
    assert compare(left, right).same == compare(right, left).same


def test_acronyms_take_the_first_letter_of_every_word() -> None:
    assert spells("fcd", ["focal", "cortical", "dysplasia"])
    assert spells("mcad", ["medium", "chain", "acyl", "dehydrogenase"])
    assert spells("hhv", ["human", "herpesvirus"])
    assert not spells("fcd", ["focal", "cortical", "temporal", "dysplasia"])
    assert not spells("fcd", ["cortical", "focal", "dysplasia"])
    assert not spells("f", ["focal"])


def test_guarded_words() -> None:
    assert guards.axis("2b") == "number"
    assert guards.axis("22q11.2") == "locus"
    assert guards.axis("xlinked") == "inheritance"
    assert guards.axis("nonsyndromic") == "course"
    assert guards.axis("ataxia") is None


def test_roots_lose_inflections_only() -> None:
    assert root("myotonic") == root("myotonia")
    assert root("carcinoid") != root("carcinoma")
    assert root("retinitis") != root("retinal")
