"""The parts of a GA4GH phenopacket (schema 2.0, JSON form) that are read here; everything else is passed over.

https://phenopacket-schema.readthedocs.io/en/latest/
"""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic.alias_generators import to_camel


class _Part(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True, alias_generator=to_camel)

    @model_validator(mode="before")
    @classmethod
    def _without_nulls(cls, value: Any) -> Any:
        """In protobuf's JSON a null is an absent field."""
        return {name: part for name, part in value.items() if part is not None} if isinstance(value, dict) else value


class OntologyClass(_Part):
    id: str = Field(min_length=1)
    label: str = ""


class Age(_Part):
    iso8601duration: str = Field(alias="iso8601duration")


class AgeRange(_Part):
    start: Age
    end: Age


class GestationalAge(_Part):
    weeks: int
    days: int = 0


class TimeElement(_Part):
    """One of these; a time stamp and an interval of time stamps are not read (they need a date of birth)."""

    age: Age | None = None
    age_range: AgeRange | None = None
    gestational_age: GestationalAge | None = None
    ontology_class: OntologyClass | None = None


class PhenotypicFeature(_Part):
    type: OntologyClass
    excluded: bool = False
    severity: OntologyClass | None = None
    modifiers: tuple[OntologyClass, ...] = ()
    onset: TimeElement | None = None
    resolution: TimeElement | None = None
    description: str = ""


class VitalStatus(_Part):
    status: str = "UNKNOWN_STATUS"
    time_of_death: TimeElement | None = None
    cause_of_death: OntologyClass | None = None


class Individual(_Part):
    sex: str = "UNKNOWN_SEX"
    time_at_last_encounter: TimeElement | None = None
    vital_status: VitalStatus | None = None


class Disease(_Part):
    term: OntologyClass
    excluded: bool = False
    onset: TimeElement | None = None


class GeneDescriptor(_Part):
    symbol: str = ""


class VariationDescriptor(_Part):
    gene_context: GeneDescriptor | None = None


class VariantInterpretation(_Part):
    variation_descriptor: VariationDescriptor | None = None


class GenomicInterpretation(_Part):
    variant_interpretation: VariantInterpretation | None = None
    gene: GeneDescriptor | None = None


class Diagnosis(_Part):
    disease: OntologyClass | None = None
    genomic_interpretations: tuple[GenomicInterpretation, ...] = ()


class Interpretation(_Part):
    progress_status: str = "UNKNOWN_PROGRESS"
    diagnosis: Diagnosis | None = None


class Quantity(_Part):
    unit: OntologyClass | None = None
    value: float


class Value(_Part):
    quantity: Quantity | None = None
    ontology_class: OntologyClass | None = None


class Measurement(_Part):
    assay: OntologyClass
    value: Value | None = None


class ExternalReference(_Part):
    id: str = ""


class MetaData(_Part):
    phenopacket_schema_version: str = ""
    external_references: tuple[ExternalReference, ...] = ()


class Phenopacket(_Part):
    id: str = Field(min_length=1)
    subject: Individual = Individual()
    phenotypic_features: tuple[PhenotypicFeature, ...] = ()
    measurements: tuple[Measurement, ...] = ()
    diseases: tuple[Disease, ...] = ()
    interpretations: tuple[Interpretation, ...] = ()
    medical_actions: tuple[Any, ...] = ()
    biosamples: tuple[Any, ...] = ()
    meta_data: MetaData = MetaData()
