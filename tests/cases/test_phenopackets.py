"""Phenopackets: what the text keeps, what is refused, and where packets are read from."""

from __future__ import annotations

import json
import os
import random
import re
import zipfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from diagnosis_zero.cases.hpo import load_hpo
from diagnosis_zero.cases.leakage import leaked
from diagnosis_zero.cases.narrative import SYSTEMS, Patient, Told, label_written, narrate, system_of, written
from diagnosis_zero.cases.phenopackets import LARGEST, parse, read
from diagnosis_zero.cases.prose import when
from diagnosis_zero.cases.source import Rejected
from diagnosis_zero.errors import InputError
from diagnosis_zero.types import Case

DATA = Path(os.environ.get("DZ_DATA", Path(__file__).parents[3] / "shared" / "data")) / "phenopackets"
RENDERED = Path(__file__).parents[2] / "docs" / "rendered" / "phenopackets.md"
needs_data = pytest.mark.skipif(
    not DATA.is_dir(), reason="needs the 600 phenopackets of the development data (DZ_DATA)"
)


def feature(identifier: str, label: str, **more: Any) -> dict[str, Any]:
    return {"type": {"id": identifier, "label": label}, **more}


def packet(**changes: Any) -> dict[str, Any]:
    """A whole packet, made by us; ``changes`` replace top-level fields, None takes one away."""
    disease = {"id": "OMIM:154700", "label": "Marfan syndrome"}
    gene = {"variationDescriptor": {"geneContext": {"symbol": "FBN1"}}}
    whole: dict[str, Any] = {
        "id": "made-1",
        "subject": {"sex": "FEMALE", "timeAtLastEncounter": {"age": {"iso8601duration": "P8Y"}}},
        "phenotypicFeatures": [
            feature("HP:0001250", "Seizure", onset={"age": {"iso8601duration": "P3M"}}),
            feature("HP:0001519", "Disproportionate tall stature"),
            feature("HP:0001083", "Ectopia lentis", severity={"id": "HP:0012825", "label": "Mild"}),
            feature("HP:0001249", "Intellectual disability", excluded=True),
            feature("HP:0000518", "Cataract", excluded=True),
        ],
        "diseases": [{"term": disease, "onset": {"ontologyClass": {"id": "HP:0003593", "label": "Infantile onset"}}}],
        "interpretations": [
            {
                "progressStatus": "SOLVED",
                "diagnosis": {"disease": disease, "genomicInterpretations": [{"variantInterpretation": gene}]},
            }
        ],
        "metaData": {
            "phenopacketSchemaVersion": "2.0.2",
            "externalReferences": [{"id": "PMID:123", "description": "Marfan syndrome in a girl"}],
        },
    }
    return {name: value for name, value in (whole | changes).items() if value is not None}


def parsed(**changes: Any) -> Case | Rejected:
    return parse(json.dumps(packet(**changes)).encode(), "made.json")


def test_a_packet_becomes_a_case() -> None:
    case = parsed()
    assert isinstance(case, Case)
    assert case.text == (
        "This report concerns an 8-year-old girl. The disease became apparent in infancy.\n\n"
        "Assessment of growth showed disproportionate tall stature. On eye examination, she had mild ectopia lentis. "
        "Neurological and developmental assessment revealed seizures (onset at 3 months of age).\n\n"
        "She had no intellectual disability or cataract."
    )
    assert (case.id, case.source_id, case.names, case.ids) == (
        "made-1", "PMID:123", ("Marfan syndrome",), ("OMIM:154700",),
    )  # fmt: skip
    assert (case.age, case.sex) == ("P8Y", "FEMALE")
    assert [(f.id, f.excluded, f.onset) for f in case.findings[:1]] == [("HP:0001250", False, "P3M")]
    assert case.extra == {"file": "made.json", "age_source": "last_encounter", "genes": "FBN1"}


def seen(sex: str, time: dict[str, Any]) -> dict[str, Any]:
    return {"sex": sex, "timeAtLastEncounter": time}


def aged(iso: str) -> dict[str, Any]:
    return {"age": {"iso8601duration": iso}}


@pytest.mark.parametrize(
    ("subject", "words"),
    [
        ({}, "a patient of unstated age and sex"),
        ({"sex": "MALE"}, "a male patient"),
        (seen("MALE", aged("P1Y6M")), "a boy aged 1 year and 6 months"),
        (seen("MALE", aged("P40Y")), "a 40-year-old man"),
        (seen("FEMALE", aged("P11D")), "an 11-day-old girl"),
        (seen("FEMALE", aged("P0D")), "a newborn girl"),
        (seen("UNKNOWN_SEX", aged("P3Y")), "a 3-year-old child of unstated sex"),
        (
            seen("MALE", {"gestationalAge": {"weeks": 22, "days": 1}}),
            "a male fetus at 22 weeks and 1 day of gestation",
        ),
        (
            seen("OTHER_SEX", {"ageRange": {"start": {"iso8601duration": "P4Y"}, "end": {"iso8601duration": "P5Y"}}}),
            "a patient of unstated sex seen between 4 years and 5 years of age",
        ),
        (
            seen("FEMALE", {"ontologyClass": {"id": "HP:0003593", "label": "Infantile onset"}}),
            "a female patient seen in infancy",
        ),
        (
            seen("MALE", {"ontologyClass": {"id": "HP:0410280", "label": "Pediatric onset"}}),
            "a male patient seen before 16 years of age",
        ),
    ],
)
def test_age_and_sex_in_words(subject: dict[str, Any], words: str) -> None:
    case = parsed(subject=subject, diseases=None)
    assert isinstance(case, Case)
    assert case.text.startswith(f"This report concerns {words}.")


def test_death_is_told() -> None:
    vital = {"status": "DECEASED", "timeOfDeath": {"age": {"iso8601duration": "P9Y"}}}
    case = parsed(subject={"sex": "MALE", "vitalStatus": vital})
    assert isinstance(case, Case)
    assert "He died at 9 years of age." in case.text


@pytest.mark.parametrize(
    ("cause", "words"),
    [
        ("Aortic dissection", "He has died; the cause of death was aortic dissection."),
        ("Marfan syndrome", "He has died."),
    ],
)
def test_the_cause_of_death_is_told_unless_it_is_the_answer(cause: str, words: str) -> None:
    vital = {"status": "DECEASED", "causeOfDeath": {"id": "X:1", "label": cause}}
    case = parsed(subject={"sex": "MALE", "vitalStatus": vital})
    assert isinstance(case, Case)
    assert words in case.text
    assert "Marfan" not in case.text


def test_findings_of_one_onset_are_told_together_in_time_order() -> None:
    def at(age: str, *names: str) -> list[dict[str, Any]]:
        return [
            feature(f"HP:{n}", label, onset={"age": {"iso8601duration": age}}) for n, label in map(str.split, names)
        ]

    features = [*at("P5Y", "0001251 Ataxia", "0001332 Dystonia"), *at("P3M", "0001252 Hypotonia", "0001257 Spasticity")]
    case = parsed(phenotypicFeatures=features, subject={"sex": "MALE"})
    assert isinstance(case, Case)
    assert (
        "At 3 months of age, he was first found to have hypotonia and spasticity. "
        "At 5 years of age, he was first found to have ataxia and dystonia."
    ) in case.text


def test_an_onset_that_all_share_is_told_once() -> None:
    onset = {"age": {"iso8601duration": "P5Y"}}
    features = [feature("HP:0001251", "Ataxia", onset=onset), feature("HP:0000518", "Cataract", onset=onset)]
    case = parsed(phenotypicFeatures=features)
    assert isinstance(case, Case)
    assert "All the findings described below were first seen at 5 years of age." in case.text
    assert case.text.count("5 years") == 1


def test_modifiers_resolution_and_measurements_are_kept() -> None:
    features = [
        feature(
            "HP:0000365", "Hearing impairment", modifiers=[{"id": "HP:0012832", "label": "Bilateral"}],
            onset={"age": {"iso8601duration": "P1Y"}}, resolution={"age": {"iso8601duration": "P2Y"}},
        )
    ]  # fmt: skip
    quantity = {"unit": {"id": "UCUM:g/L", "label": "g/L"}, "value": 7.5}
    measurements = [{"assay": {"id": "LOINC:1", "label": "IgG in serum"}, "value": {"quantity": quantity}}]
    case = parsed(phenotypicFeatures=features, measurements=measurements, medicalActions=[{}])
    assert isinstance(case, Case)
    assert "hearing impairment (bilateral, onset at 1 year of age, resolved at 2 years of age)" in case.text
    assert "Measured values: IgG in serum, 7.5 g/L." in case.text
    assert case.extra["left_out"] == "1 medical actions"


DISEASE, OTHER = {"id": "OMIM:1", "label": "One"}, {"id": "OMIM:2", "label": "Two"}


@pytest.mark.parametrize(
    ("changes", "reason", "words"),
    [
        ({"diseases": None, "interpretations": None}, "missing_diagnosis", "no disease"),
        (
            {"diseases": [{"term": DISEASE}, {"term": OTHER}], "interpretations": None},
            "several_diagnoses",
            "OMIM:1, OMIM:2",
        ),
        ({"diseases": [{"term": OTHER}]}, "several_diagnoses", "2 diagnoses"),
        ({"diseases": [{"term": DISEASE, "excluded": True}], "interpretations": None}, "excluded_disease", "OMIM:1"),
        (
            {"diseases": [], "interpretations": [{"progressStatus": "UNSOLVED", "diagnosis": {"disease": DISEASE}}]},
            "missing_diagnosis",
            "unsolved",
        ),
        ({"diseases": [{"term": {"id": "OMIM:1"}}], "interpretations": None}, "missing_diagnosis", "no label"),
        ({"phenotypicFeatures": []}, "no_findings", "no observed"),
        ({"phenotypicFeatures": [feature("HP:1", "Ataxia", excluded=True)]}, "no_findings", "no observed"),
        ({"phenotypicFeatures": [feature("HP:1", "A"), feature("HP:1", "A", excluded=True)]}, "contradiction", "both"),
        ({"phenotypicFeatures": [feature("HP:1", "")]}, "malformed", "HP:1"),
        ({"phenotypicFeatures": [{"type": {"label": "Ataxia"}}]}, "malformed", "phenotypicFeatures.0.type.id"),
        ({"phenotypicFeatures": "Ataxia"}, "malformed", "phenotypicFeatures"),
        ({"subject": {"timeAtLastEncounter": {"age": {"iso8601duration": "8 years"}}}}, "bad_age", "8 years"),
        ({"metaData": {"phenopacketSchemaVersion": "1.0.0-RC3"}}, "schema_1", "schema 1"),
        ({"phenotypicFeatures": [feature("HP:1", "Ataxia", negated=True)]}, "schema_1", "schema 1"),
        ({"subject": {"ageAtCollection": {"age": "P1Y"}}}, "schema_1", "schema 1"),
        ({"proband": {}}, "not_a_packet", "Family"),
        ({"id": None}, "malformed", "'id'"),
    ],
)  # fmt: skip
def test_what_is_no_case_has_its_own_reason(changes: dict[str, Any], reason: str, words: str) -> None:
    found = parsed(**changes)
    assert isinstance(found, Rejected)
    assert found.reason == reason
    assert words in found.message
    assert found.where == "made.json"
    assert found.raw


def test_an_excluded_disease_beside_the_diagnosis_is_no_hindrance() -> None:
    found = parsed(diseases=[{"term": OTHER, "excluded": True}])
    assert isinstance(found, Case)
    assert found.names == ("Marfan syndrome",)


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"{", "not_json"),
        (b"", "not_json"),
        (b"[" * 100_000, "not_json"),
        (b"\xff\xfe{\x00}\x00", "not_utf8"),
        (b'{"id": "\\ud800", "subject": {}}', "not_utf8"),
        (b"[1]", "not_a_packet"),
        (b"{}", "not_a_packet"),
        (b'{"resourceType": "Bundle"}', "not_a_packet"),
        (b" " * (LARGEST + 1), "too_large"),
    ],
)
def test_what_is_no_packet(raw: bytes, reason: str) -> None:
    found = parse(raw, "x.json")
    assert isinstance(found, Rejected)
    assert found.reason == reason


def test_a_null_is_an_absent_field() -> None:
    subject = {"sex": None, "timeAtLastEncounter": {"age": {"iso8601duration": "P3Y"}, "gestationalAge": None}}
    raw = packet(subject=subject) | {"measurements": None, "biosamples": None}
    case = parse(json.dumps(raw).encode(), "x.json")
    assert isinstance(case, Case)
    assert "a 3-year-old child of unstated sex" in case.text


@pytest.mark.parametrize("seed", range(100))
def test_a_mutilated_packet_is_a_case_or_rejected_with_a_reason(seed: int) -> None:
    draw = random.Random(seed)
    raw = bytearray(json.dumps(packet()).encode())
    for _ in range(draw.randint(1, 4)):
        raw[draw.randrange(len(raw))] = draw.choice(b'\x00{}[]":,0aP\\\xff')
    found = parse(bytes(raw), "x.json")
    assert isinstance(found, Case) or (found.reason and found.message)


def test_a_byte_order_mark_is_no_matter() -> None:
    assert isinstance(parse(b"\xef\xbb\xbf" + json.dumps(packet()).encode(), "x.json"), Case)


# --- folders and archives


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "packets"
    (root / "deeper").mkdir(parents=True)
    (root / "b.json").write_text(json.dumps(packet(id="b")), encoding="utf-8")
    (root / "deeper" / "a.JSON").write_text(json.dumps(packet(id="a")), encoding="utf-8")
    (root / "broken.json").write_text("{", encoding="utf-8")
    (root / "README.md").write_text("about", encoding="utf-8")
    (root / ".hidden.json").write_text("{}", encoding="utf-8")
    return root


def test_a_folder_is_read_in_order_and_other_files_are_listed(folder: Path) -> None:
    ignored: list[str] = []
    found = list(read([folder], ignored))
    assert [item.id if isinstance(item, Case) else item.reason for item in found] == ["b", "not_json", "a"]
    assert ignored == [str(folder / "README.md")]


def test_an_archive_gives_the_same(folder: Path, tmp_path: Path) -> None:
    archive = tmp_path / "packets.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as target:
        for file in sorted(folder.rglob("*")):
            target.write(file, file.relative_to(folder))
        target.writestr("__MACOSX/b.json", "{}")
    texts = [item.text if isinstance(item, Case) else item.reason for item in read([archive])]
    assert texts == [item.text if isinstance(item, Case) else item.reason for item in read([folder])]


def test_an_archive_can_neither_escape_nor_explode(tmp_path: Path) -> None:
    archive = tmp_path / "evil.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as target:
        target.writestr("../../escaped.json", json.dumps(packet(id="outside")))
        target.writestr("bomb.json", b"[" + b" " * (64 << 20))
        target.writestr("inner.zip", b"PK")
    ignored: list[str] = []
    found = {item.id if isinstance(item, Case) else item.reason for item in read([archive], ignored)}
    assert found == {"outside", "too_large"}
    assert not (tmp_path.parent / "escaped.json").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["evil.zip"]
    assert ignored == [f"{archive}/inner.zip"]


def test_a_damaged_member_is_rejected_and_the_others_are_read(tmp_path: Path) -> None:
    archive = tmp_path / "damaged.zip"
    with zipfile.ZipFile(archive, "w") as target:
        target.writestr("a.json", json.dumps(packet(id="a")))
        target.writestr("b.json", json.dumps(packet(id="b")))
    raw = archive.read_bytes()
    archive.write_bytes(raw.replace(b'"id": "a"', b'"id": "?"', 1))  # the checksum no longer fits
    first, second = read([archive])
    assert isinstance(first, Rejected)
    assert first.reason == "unreadable"
    assert isinstance(second, Case)


@pytest.mark.parametrize("name", ["missing", "empty", "text.zip"])
def test_a_place_without_packets_is_an_input_error(tmp_path: Path, name: str) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "notes.txt").write_text("nothing", encoding="utf-8")
    (tmp_path / "text.zip").write_text("no archive", encoding="utf-8")
    messages = {"missing": "no such file", "empty": "1 files, none named", "text.zip": "not a readable zip"}
    with pytest.raises(InputError, match=messages[name]):
        list(read([tmp_path / name]))


# --- nothing lost, nothing invented

HPO = load_hpo()
_TIMES = st.sampled_from([None, "P3M", "P5Y", "P1Y6M", "Infantile onset", "gestational 20w3d"])
_TERMS = st.sampled_from([t for i, t in sorted(HPO.terms.items()) if "HP:0000118" in HPO.ancestors(i)])


@st.composite
def patients(draw: st.DrawFn) -> Patient:
    terms = draw(st.lists(_TERMS, min_size=1, max_size=30, unique_by=lambda term: term.id))
    told = [
        Told(term.id, term.label, draw(st.booleans()), draw(_TIMES), None, draw(st.sampled_from([None, "Severe"])))
        for term in terms
    ]
    return Patient(draw(st.sampled_from(["MALE", "FEMALE", None])), draw(_TIMES), draw(_TIMES), findings=tuple(told))


@settings(max_examples=300, deadline=None)
@given(patients())
def test_any_patient_is_told_without_loss_or_invention(patient: Patient) -> None:
    check_nothing_lost(patient.findings, narrate(patient, HPO))


def check_nothing_lost(findings: tuple[Told, ...], text: str) -> None:
    """Every finding stands once, the excluded ones in negated sentences alone, each onset is told; and what is
    left when the findings are taken away are the words of the frame."""
    absent = [told for told in findings if told.excluded]
    paragraphs = text.split("\n\n")
    negated = paragraphs.pop() if absent else ""
    rest = _without([told for told in findings if not told.excluded], " ".join(paragraphs))
    rest_negated = _without(absent, negated)
    assert not re.search(r"\bno\b|\bNor\b", rest), rest
    for sentence in filter(None, (part.strip() for part in re.split(r"\.(?:\s|$)", rest_negated))):
        assert re.search(r"\bno\b|^Nor did (he|she|the patient|the fetus) have any\b", sentence), sentence
    unknown = set(re.findall(r"[a-z]+", f"{rest} {rest_negated}".casefold())) - FRAME
    assert not unknown, (unknown, text)
    for told in findings:
        if told.onset and not told.excluded:
            assert when(told.onset).casefold() in text.casefold()


def _without(findings: list[Told], text: str) -> str:
    """The text with each finding taken out once, the longest first; fails where one is lost."""
    text = re.sub(r" \((?:[a-z]+, )*onset [^()]*\)", "", text)
    for told in sorted(findings, key=lambda told: -len(_phrase(told))):
        text, count = re.subn(rf"(?<!\w){re.escape(_phrase(told))}(?!\w)", "", text, count=1)
        assert count == 1, (told, text)
    return text


def _phrase(told: Told) -> str:
    return written(Told(told.id, told.label, told.excluded, None, None, told.severity))


FRAME = set(
    re.findall(
        r"[a-z]+",
        " ".join(f"{system.assessment} {system.adverb}" for system in SYSTEMS.values()).casefold()
        + " this report concerns a an patient of unstated age and sex male female boy girl man woman child adult old "
        "year years month months week weeks day days newborn aged fetus seen at birth between gestation infancy in "
        "adulthood the neonatal period second third trimester late first before after pregnancy fetal embryonal "
        "disease became apparent all findings described below were he she died has cause death was found to have "
        "showed revealed had have also further no nor did any or s",
    )
)


def test_the_check_notices_a_loss_an_invention_and_a_lost_negation() -> None:
    """Negative control of the check above."""
    findings = (Told("HP:0001250", "Seizure"), Told("HP:0000518", "Cataract", excluded=True))
    good = narrate(Patient("MALE", findings=findings), HPO)
    check_nothing_lost(findings, good)
    for spoilt in (
        good.replace("seizures", "ataxia"),
        good.replace("seizures", "seizures and deafness"),
        good.replace("He had no cataract", "He had cataract"),
        good.replace("showed seizures", "showed no seizures"),
    ):
        assert spoilt != good
        with pytest.raises(AssertionError):
            check_nothing_lost(findings, spoilt)


@pytest.mark.parametrize(
    ("identifier", "system"),
    [
        ("HP:0001250", "nervous"),
        ("HP:0001252", "nervous"),  # hypotonia
        ("HP:0000175", "head"),  # cleft palate
        ("HP:0000365", "ear"),
        ("HP:0001744", "gut"),  # splenomegaly
        ("HP:0002716", "immunity"),  # lymphadenopathy
        ("HP:0001945", "general"),  # fever
        ("HP:0003236", "laboratory"),  # creatine kinase
        ("HP:0001067", "tumors"),  # neurofibroma
        ("HP:9999999", "other"),
    ],
)
def test_findings_are_told_with_their_organ(identifier: str, system: str) -> None:
    assert system_of(identifier, HPO) == system


def test_labels_in_prose() -> None:
    assert label_written("Intellectual disability, mild") == "mild intellectual disability"
    assert label_written("Focal-onset seizure") == "focal-onset seizures"
    assert label_written("Small for gestational age") == "birth size small for gestational age"


# --- the 600 of the development data


@pytest.fixture(scope="module")
def published() -> list[Case | Rejected]:
    return list(read([DATA]))


@needs_data
def test_all_600_are_accounted_for(published: list[Case | Rejected]) -> None:
    assert len(published) == len(list(DATA.glob("*.json"))) == 600
    assert [item for item in published if isinstance(item, Rejected)] == []


@needs_data
def test_no_finding_of_the_600_is_lost_and_none_invented(published: list[Case | Rejected]) -> None:
    for item, path in zip(published, sorted(DATA.glob("*.json")), strict=True):
        assert isinstance(item, Case)
        source = json.loads(path.read_text(encoding="utf-8"))["phenotypicFeatures"]
        told = tuple(
            Told(f["type"]["id"], f["type"]["label"], f.get("excluded", False), kept.onset, None,
                 f.get("severity", {}).get("label"))
            for f, kept in zip(source, item.findings, strict=True)
        )  # fmt: skip
        assert [(t.id, t.label, t.excluded) for t in told] == [(f.id, f.label, f.excluded) for f in item.findings]
        assert [bool(f.get("onset")) for f in source] == [bool(t.onset) for t in told]
        check_nothing_lost(told, item.text)


@needs_data
def test_no_text_of_the_600_names_its_disease_or_gene(published: list[Case | Rejected]) -> None:
    for item in published:
        assert isinstance(item, Case)
        assert not leaked(item.text, item.names)
        assert not set(item.extra["genes"].split()) & set(re.findall(r"[\w-]+", item.text))


@needs_data
def test_the_committed_texts_are_what_is_rendered_today(published: list[Case | Rejected]) -> None:
    texts = {item.id: item.text for item in published if isinstance(item, Case)}
    sections = RENDERED.read_text(encoding="utf-8").split("\n### ")[1:]
    assert len(sections) == 20
    for section in sections:
        identifier, _, body = section.partition("\n")
        quoted = [line.removeprefix(">").strip() for line in body.splitlines() if line.startswith(">")]
        assert "\n".join(quoted) == texts[identifier.split()[-1]]
