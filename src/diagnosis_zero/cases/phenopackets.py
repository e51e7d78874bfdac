"""GA4GH phenopackets (schema 2.0, JSON) as cases: a folder, a zip archive or single files.

The text is our own rendering (``narrative``) of age, sex, onset, findings and excluded findings. Neither the
diagnosis nor genes and variants go into it. Every JSON file is accounted for, as a case or as rejected.
"""

from __future__ import annotations

import json
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from diagnosis_zero.cases.hpo import load_hpo
from diagnosis_zero.cases.narrative import Patient, Told, narrate
from diagnosis_zero.cases.phenopacket_schema import Measurement, Phenopacket, PhenotypicFeature, TimeElement
from diagnosis_zero.cases.prose import duration, is_duration
from diagnosis_zero.cases.source import Rejected
from diagnosis_zero.errors import InputError
from diagnosis_zero.types import Case, Finding

LARGEST = 16 << 20
"""Bytes of one packet, unpacked. The largest of Phenopacket Store has 0.1 MB."""

UNPACKING_FAULTS = (
    zipfile.BadZipFile,  # a damaged header, or a checksum that does not fit
    zlib.error,  # damaged deflated bytes
    EOFError,  # the member ends too soon
    RuntimeError,  # it wants a password, or is packed by a method that Python does not know
    OSError,  # the disk, and damaged bz2
)


@dataclass(frozen=True, slots=True)
class PacketFile:
    """A JSON file on disk, or a member of a zip archive (never unpacked to disk)."""

    path: Path
    member: str | None = None

    def __str__(self) -> str:
        return f"{self.path}/{self.member}" if self.member else str(self.path)


def read(paths: Iterable[Path], ignored: list[str] | None = None) -> Iterator[Case | Rejected]:
    """The cases of folders, zip archives and single files, in the order of their names.

    ``ignored`` collects the files that are not JSON.

    Raises:
        InputError: a path does not exist, is no readable archive, or holds no JSON file.
    """
    for path in paths:
        packets, others = find(path)
        if ignored is not None:
            ignored += others
        if not packets:
            what = f"holds no phenopacket: {len(others)} files, none named *.json"
            raise InputError(what, where=path, mend="Give the folder or archive with the .json files.")
        yield from _read_archive(path, packets) if packets[0].member else map(_read_file, packets)


def find(path: Path) -> tuple[list[PacketFile], list[str]]:
    """(the packets, the files that are not JSON) of a folder, an archive or a single file."""
    if path.is_dir():
        files = sorted(file for file in path.rglob("*") if file.is_file() and not _hidden(file.relative_to(path)))
        packets = [PacketFile(file) for file in files if file.suffix.lower() == ".json"]
        return packets, [str(file) for file in files if file.suffix.lower() != ".json"]
    if not path.is_file():
        raise InputError("no such file or folder", where=path)
    if path.suffix.lower() != ".zip":
        return [PacketFile(path)], []
    with _archive(path) as archive:
        names = sorted(info.filename for info in archive.infolist() if not info.is_dir())
    names = [name for name in names if not _hidden(Path(name))]
    packets = [PacketFile(path, name) for name in names if name.lower().endswith(".json")]
    return packets, [f"{path}/{name}" for name in names if not name.lower().endswith(".json")]


def _hidden(relative: Path) -> bool:
    """Below a folder of the system's (".git", "__MACOSX"), or such a file."""
    return any(part == "__MACOSX" or (part.startswith(".") and part != "..") for part in relative.parts)


def _archive(path: Path) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(path)
    except (zipfile.BadZipFile, OSError) as error:
        raise InputError(f"not a readable zip archive ({error})", where=path) from error


def _read_file(packet: PacketFile) -> Case | Rejected:
    try:
        with packet.path.open("rb") as handle:
            return parse(handle.read(LARGEST + 1), str(packet))
    except OSError as error:
        return Rejected(str(packet), None, "unreadable", f"cannot be read ({error.strerror})", "")


def _read_archive(path: Path, packets: Sequence[PacketFile]) -> Iterator[Case | Rejected]:
    with _archive(path) as archive:
        for packet in packets:
            assert packet.member is not None
            try:
                with archive.open(packet.member) as handle:
                    raw = handle.read(LARGEST + 1)  # what it says of its size is not relied on
            except UNPACKING_FAULTS as error:
                message = f"cannot be unpacked ({error}). Pack it again, without a password."
                yield Rejected(str(packet), None, "unreadable", message, "")
                continue
            yield parse(raw, str(packet))


def parse(raw: bytes, where: str) -> Case | Rejected:
    """One packet as a case, or why it is none."""
    try:
        if len(raw) > LARGEST:
            raise _UnfitError("too_large", f"more than {LARGEST >> 20} MB, which no single patient needs")
        return _case(_packet(raw), where)
    except _UnfitError as unfit:
        text = raw.decode("utf-8", errors="replace") if len(raw) <= LARGEST else ""
        return Rejected(where, None, unfit.reason, unfit.message, text)


class _UnfitError(Exception):
    """The packet is no case."""

    def __init__(self, reason: str, message: str) -> None:
        self.reason, self.message = reason, message
        super().__init__(message)


def _packet(raw: bytes) -> Phenopacket:
    try:
        value = json.loads(raw.decode("utf-8-sig"))
        json.dumps(value, ensure_ascii=False).encode()  # fails on half a surrogate pair, "\\ud800": no character
    except UnicodeEncodeError as error:
        raise _UnfitError("not_utf8", "holds half of a surrogate pair (\\ud...). Mend the escape.") from error
    except UnicodeDecodeError as error:
        raise _UnfitError("not_utf8", f"not UTF-8 ({error.reason} at byte {error.start}). Convert the file.") from error
    except (ValueError, RecursionError) as error:
        raise _UnfitError("not_json", f"not JSON ({error}). Mend or remove the file.") from error
    _check_kind(value)
    try:
        return Phenopacket.model_validate(value)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"]))
        raise _UnfitError("malformed", f"field {field!r}: {first['msg']}. Is this schema 2.0?") from error


def _check_kind(value: Any) -> None:
    """Tell apart what else comes as JSON beside phenopackets of schema 2."""
    if not isinstance(value, dict):
        raise _UnfitError(
            "not_a_packet", f"a JSON {type(value).__name__}, where one phenopacket (an object) is expected"
        )
    if "proband" in value or "members" in value:
        raise _UnfitError("not_a_packet", "a Family or Cohort message. Give its phenopackets as files of their own.")
    if _is_version_1(value):
        raise _UnfitError("schema_1", "a phenopacket of schema 1. Convert it to schema 2 (phenopacket-tools does).")
    if not {"subject", "phenotypicFeatures", "diseases", "interpretations"} & value.keys():
        raise _UnfitError(
            "not_a_packet", "not a phenopacket: no subject, phenotypicFeatures, diseases, interpretations"
        )


def _is_version_1(value: dict[str, Any]) -> bool:
    meta, subject, features = (value.get(name) or {} for name in ("metaData", "subject", "phenotypicFeatures"))
    version = str(meta.get("phenopacketSchemaVersion", "")) if isinstance(meta, dict) else ""
    old_keys = {"negated", "classOfOnset", "ageOfOnset", "ageRangeOfOnset"}
    return (
        version.startswith("1")
        or (isinstance(subject, dict) and bool({"ageAtCollection", "ageRangeAtCollection"} & subject.keys()))
        or (isinstance(features, list) and any(isinstance(f, dict) and old_keys & f.keys() for f in features))
    )


def _case(packet: Phenopacket, where: str) -> Case:
    disease, names = _diagnosis(packet)
    patient = _patient(packet, disease, names)
    age, age_source = _age_as_duration(patient)
    notes = {"file": where, "age_source": age_source, "genes": " ".join(_genes(packet)), "left_out": _left_out(packet)}
    return Case(
        id=packet.id,
        source="phenopackets",
        source_id=_article(packet),
        text=narrate(patient, load_hpo()),
        names=names,
        ids=(disease,),
        age=age,
        sex=patient.sex,
        findings=tuple(Finding(told.id, told.label, told.excluded, told.onset) for told in patient.findings),
        extra={name: note for name, note in notes.items() if note},
    )


def _diagnosis(packet: Phenopacket) -> tuple[str, tuple[str, ...]]:
    """Id and names of the one established disease. A title of OMIM's, "NAME; ABBREVIATION", is several names."""
    settled = [entry for entry in packet.interpretations if entry.progress_status not in {"UNSOLVED", "IN_PROGRESS"}]
    stated = [entry.diagnosis.disease for entry in settled if entry.diagnosis and entry.diagnosis.disease]
    stated += [entry.term for entry in packet.diseases if not entry.excluded]
    excluded = {entry.term.id for entry in packet.diseases if entry.excluded}
    found = list(dict.fromkeys(term.id for term in stated))
    if excluded and (not found or excluded & set(found)):
        raise _UnfitError(
            "excluded_disease", f"the disease {min(excluded)} is stated as excluded: there is no diagnosis"
        )
    if not found:
        unsolved = " (its interpretations are unsolved)" if packet.interpretations else ""
        raise _UnfitError("missing_diagnosis", f"no disease{unsolved}. Add it under diseases or interpretations.")
    if len(found) > 1:
        raise _UnfitError("several_diagnoses", f"{len(found)} diagnoses ({', '.join(found)}), one is needed")
    names = (name.strip() for term in stated for name in term.label.split(";"))
    unique = tuple(dict.fromkeys(filter(None, names)))
    if not unique:
        raise _UnfitError("missing_diagnosis", f"the disease {found[0]} has no label. Add its name.")
    return found[0], unique


def _patient(packet: Phenopacket, disease: str, names: Sequence[str]) -> Patient:
    subject, vital = packet.subject, packet.subject.vital_status
    cause = vital.cause_of_death.label if vital and vital.cause_of_death else ""
    onsets = [entry.onset for entry in packet.diseases if entry.term.id == disease and entry.onset]
    return Patient(
        sex=subject.sex if subject.sex in ("MALE", "FEMALE") else None,
        age=_point(subject.time_at_last_encounter),
        onset=_point(onsets[0]) if onsets else None,
        deceased=vital is not None and vital.status == "DECEASED",
        death=_point(vital.time_of_death) if vital else None,
        cause_of_death=None if any(name.casefold() in cause.casefold() for name in names) else cause or None,
        findings=_findings(packet.phenotypic_features),
        measurements=tuple(map(_measured, packet.measurements)),
    )


def _findings(features: Sequence[PhenotypicFeature]) -> tuple[Told, ...]:
    told = tuple(dict.fromkeys(map(_told, features)))
    present = {finding.id: finding.label for finding in told if not finding.excluded}
    if not present:
        raise _UnfitError("no_findings", "no observed phenotypic feature: nothing to diagnose from")
    if both := [finding.label for finding in told if finding.excluded and finding.id in present]:
        raise _UnfitError("contradiction", f"{both[0]!r} is both observed and excluded. Keep one of the two.")
    return told


def _told(feature: PhenotypicFeature) -> Told:
    if not feature.type.label.strip():
        raise _UnfitError("malformed", f"the feature {feature.type.id} has no label")
    return Told(
        id=feature.type.id,
        label=feature.type.label.strip(),
        excluded=feature.excluded,
        onset=_point(feature.onset),
        resolution=_point(feature.resolution),
        severity=feature.severity.label if feature.severity else None,
        modifiers=tuple(modifier.label for modifier in feature.modifiers),
    )


def _point(time: TimeElement | None) -> str | None:
    """A time element as the text that ``prose.when`` reads; None where it is none of those read here."""
    if time is None:
        return None
    if time.age:
        return _iso(time.age.iso8601duration)
    if time.age_range:
        return f"{_iso(time.age_range.start.iso8601duration)}/{_iso(time.age_range.end.iso8601duration)}"
    if time.gestational_age:
        return f"gestational {time.gestational_age.weeks}w{time.gestational_age.days}d"
    return time.ontology_class.label if time.ontology_class else None


def _iso(text: str) -> str:
    try:
        duration(text)
    except ValueError as error:
        raise _UnfitError("bad_age", f"{error}. Expected for example P3Y6M.") from error
    return text


def _age_as_duration(patient: Patient) -> tuple[str | None, str]:
    """The age as a duration and what it is of: the last encounter, else the onset of the disease."""
    for point, source in ((patient.age, "last_encounter"), (patient.onset, "onset")):
        if point and is_duration(point):
            return point, source
    return None, ""


def _measured(measurement: Measurement) -> str:
    value = measurement.value
    name = measurement.assay.label or measurement.assay.id
    if value and value.quantity:
        unit = value.quantity.unit.label if value.quantity.unit else ""
        return f"{name}, {value.quantity.value:g} {unit}".rstrip()
    return f"{name}, {value.ontology_class.label}" if value and value.ontology_class else name


def _article(packet: Phenopacket) -> str:
    """The PubMed id of the publication, so that patients of one article stay together; else the packet's own id."""
    cited = [reference.id for reference in packet.meta_data.external_references if reference.id.startswith("PMID:")]
    return cited[0] if cited else packet.id


def _genes(packet: Phenopacket) -> list[str]:
    genomic = [
        g for entry in packet.interpretations if entry.diagnosis for g in entry.diagnosis.genomic_interpretations
    ]
    contexts = [
        entry.variant_interpretation.variation_descriptor.gene_context
        for entry in genomic
        if entry.variant_interpretation and entry.variant_interpretation.variation_descriptor
    ]
    found = (gene.symbol for gene in [*contexts, *(entry.gene for entry in genomic)] if gene)
    return list(dict.fromkeys(filter(None, found)))


def _left_out(packet: Phenopacket) -> str:
    """What the packet holds and the text does not tell, counted."""
    parts = {
        "medical actions": len(packet.medical_actions),
        "biosamples": len(packet.biosamples),
        "descriptions of features": sum(bool(feature.description) for feature in packet.phenotypic_features),
    }
    return ", ".join(f"{count} {what}" for what, count in parts.items() if count)
