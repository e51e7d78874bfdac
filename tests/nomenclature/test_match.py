from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from diagnosis_zero.nomenclature.build import build
from diagnosis_zero.nomenclature.catalogue import Catalogue
from diagnosis_zero.nomenclature.facts import Below, Named, Scope
from diagnosis_zero.nomenclature.freetext import same_content
from diagnosis_zero.nomenclature.lexicon import BUILT_IN
from diagnosis_zero.nomenclature.match import match

SECOND = "Vasconi syndrome type 2"


@pytest.mark.parametrize(
    ("prediction", "label", "rule"),
    [
        ("Vasconi syndrome type II", 2, "synonym"),
        ("vasconi syndrome, type 2", 2, "same name"),
        ("Brannik disease", 2, "synonym"),
        ("KDS", 2, "synonym"),
        ("Cophosis-keratoderma syndrome", 2, "same but for wording"),
        ("Brannik disease with woolly hair", 2, "name before its description"),
        ("Brannik disease (KDS)", 2, "synonym"),
        ("Brannik disease of the left C4-5 nerve roots", 2, "name before its description"),
        ("Cophosis-keratoderma syndrome with woolly hair", 2, "name before its description"),
        ("Brannik disease, Pellworm disease with woolly hair", 0, "different words"),
        ("Brannik disease (Pellworm disease) with woolly hair", 0, "different words"),
        ("Vasconi syndrome type 3 with woolly hair", 0, "guard: number"),
        ("Vasconi syndrome", 1, "accepted hypernym"),
        ("Vasconi's syndrome, confirmed by biopsy", 1, "accepted hypernym"),
        ("Rare skin disease", 0, "hypernym of too many diseases"),
        ("Vasconi syndrome type 1", 0, "another disease"),
        ("Vasconi syndrome type 4", 0, "guard: number"),
        ("Pellworm disease", 0, "another disease"),
        ("wool hair", 0, "different words"),
        ("Brannik disease with Pellworm disease", 0, "different words"),
        ("Brannik disease or Pellworm disease", 0, "guard: negation"),
        ("", 0, "no name"),
    ],
)
def test_verdicts_with_a_catalogue(catalogue: Catalogue, prediction: str, label: int, rule: str) -> None:
    found = match(prediction, [SECOND], catalogue=catalogue)
    assert (found.label, found.rule) == (label, rule)
    assert (found.score >= 0.9, found.score == 0.5, found.score < 0.5) == (label == 2, label == 1, label == 0)


def test_the_entry_is_named(catalogue: Catalogue) -> None:
    found = match("Brannik disease", [SECOND], catalogue=catalogue)
    assert (found.matched_id, found.matched_name) == ("ORPHA:102", SECOND)
    assert match("Pellworm disease", [SECOND], catalogue=catalogue).matched_id == "ORPHA:200"


def test_identifiers_of_the_reference_are_enough(catalogue: Catalogue) -> None:
    found = match("Brannik disease", ["some sentence"], reference_ids=["OMIM:700002"], catalogue=catalogue)
    assert found.label == 2


def test_an_ambiguous_name_is_refused_unless_it_is_the_reference_itself(catalogue: Catalogue) -> None:
    assert match("JTA", ["Juvenile tarsal ataxia"], catalogue=catalogue).rule == "ambiguous name"
    assert match("jta", ["JTA"], catalogue=catalogue).label == 2


def test_who_numbers_the_disease_decides_what_its_names_mean(tmp_path) -> None:
    """Orphanet calls its group "Marl syndrome"; OMIM gives that name to the disease that Orphanet calls type 1."""
    path = tmp_path / "c.sqlite"
    build(
        [
            Named("ORPHA:1", "Marl syndrome", Scope.PREFERRED),
            Named("ORPHA:2", "Marl syndrome type 1", Scope.PREFERRED),
            Below("ORPHA:2", "ORPHA:1", 2),
            Named("OMIM:9", "Marl syndrome", Scope.PREFERRED),
            Named("OMIM:9", "Sandstone disease", Scope.EXACT),
        ],
        path,
    )
    catalogue = Catalogue.open(path)
    assert match("Marl syndrome", ["Marl syndrome type 1"], catalogue=catalogue).label == 1
    assert match("Marl syndrome", ["Sandstone disease"], catalogue=catalogue).label == 2
    assert match("Sandstone disease", ["Marl syndrome type 1"], catalogue=catalogue).label == 0


@given(st.text(max_size=200))
def test_any_text_is_judged_the_same_twice(catalogue: Catalogue, text: str) -> None:
    first = match(text, [SECOND], catalogue=catalogue)
    assert first == match(text, [SECOND], catalogue=catalogue)
    assert 0 <= first.score <= 1


@pytest.fixture(scope="module")
def named_after_genes(tmp_path_factory: pytest.TempPathFactory) -> Catalogue:
    """One disease named after ABC1, two named after ABC2."""
    path = tmp_path_factory.mktemp("genes") / "c.sqlite"
    names = (
        "ABC1-related developmental and epileptic encephalopathy",
        "ABC2-related epileptic encephalopathy",
        "ABC2-associated intellectual disability",
    )
    build([Named(f"ORPHA:{number}", name, Scope.PREFERRED) for number, name in enumerate(names, start=1)], path)
    return Catalogue.open(path)


@pytest.mark.parametrize(
    ("prediction", "gene", "label"),
    [
        ("ABC1-related encephalopathy", 1, 2),
        ("ABC1-related intellectual disability and epilepsy syndrome", 1, 2),
        ("ABC1-related encephalopathy with seizures", 1, 2),
        ("ABC1-related cardiomyopathy", 1, 0),
        ("ABC1-related neonatal encephalopathy", 1, 0),  # an onset is a kind
        ("ABC1-related disorder", 1, 0),
        ("ABC3-related encephalopathy", 1, 0),
        ("Encephalopathy", 1, 0),
        ("ABC2-related encephalopathy with seizures", 2, 0),  # the gene has two diseases
    ],
)
def test_a_gene_with_one_neurodevelopmental_disease(
    named_after_genes: Catalogue, prediction: str, gene: int, label: int
) -> None:
    reference = {
        1: "ABC1-related developmental and epileptic encephalopathy",
        2: "ABC2-related epileptic encephalopathy",
    }
    assert match(prediction, [reference[gene]], catalogue=named_after_genes).label == label


def test_case_report_sentences_need_a_comprehensive_catalogue(catalogue: Catalogue) -> None:
    """A small catalogue cannot tell a sentence from the name of a disease it lacks."""
    assert not catalogue.comprehensive
    reference = "Steroid-responsive limbic encephalitis with psychosis"
    assert match("Limbic encephalitis with psychosis", [reference], catalogue=catalogue).label == 0


@pytest.mark.parametrize(
    ("prediction", "reference", "same"),
    [
        ("Limbic encephalitis with psychosis, steroid responsive", "Steroid-responsive limbic encephalitis", True),
        ("Left renal abscess caused by Nocardia", "Nocardia abscess of the left kidney", True),
        ("Right renal abscess caused by Nocardia", "Nocardia abscess of the left kidney", False),
        ("Malignant giant phyllodes tumour", "Benign giant phyllodes tumor", False),
        ("Ataxia type 3 with neuropathy", "Ataxia type 2 with neuropathy", False),
        ("Renal abscess ruled out; pyelonephritis", "Renal abscess after biopsy", False),
        ("Renal abscess without rupture", "Renal abscess after biopsy", True),
        ("Abscess", "Nocardia abscess of the left kidney", False),
        ("Perforation of the urinary bladder", "Urinary bladder rupture", True),
        ("Invasive complete hydatidiform mole", "Complete molar pregnancy", True),
        ("Septal perforation", "Urinary bladder rupture", False),
        ("Severe haemophilia A (factor 8 deficiency)", "Severe haemophilia A (factor 8 < 1 %)", True),
        ("Dengue fever", "Co-infection of dengue and leptospirosis", False),
        ("Dengue fever with leptospirosis", "Co-infection of dengue and leptospirosis", True),
        ("Primary lung adenocarcinoma", "Splenic lymphoma and primary lung adenocarcinoma", False),
        ("Lung adenocarcinoma and lymphoma of the spleen", "Splenic lymphoma and primary lung adenocarcinoma", True),
        ("Cryptococcal meningitis", "Cryptococcal meningitis with rash and fever", True),
        ("Case 1: renal abscess. Case 2: gout", "Renal abscess after biopsy", False),
        ("Gout", "Nocardia abscess of the left kidney", False),
        ("", "Nocardia abscess of the left kidney", False),
    ],
)
def test_sentences_are_judged_by_shared_content(prediction: str, reference: str, same: bool) -> None:
    assert same_content(prediction, reference, BUILT_IN)[0] is same
