"""A structured patient as clinical prose, for a physician to read: organ system by organ system, first
what was found, with the age it was first seen at where that is known, then what was looked for and is
absent.

Nothing is lost and nothing added: every finding stands once, in the words of ``written``; every excluded
one in a sentence that negates it. The text is a function of the patient alone.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import cycle, pairwise

from diagnosis_zero.cases.hpo import Hpo, in_sentence
from diagnosis_zero.cases.prose import (
    AGE_UNITS,
    article,
    duration,
    in_words,
    is_duration,
    listed,
    sentence_start,
    when,
    years,
)

LONGEST_LIST = 6
"""Most findings in one sentence."""
FEW_ABSENT = 6
"""Up to so many excluded findings are told in one sentence, more of them by organ system."""


@dataclass(frozen=True, slots=True)
class Told:
    """A finding as the source has it. ``onset`` and ``resolution`` are points in time (see ``prose``);
    ``severity`` and ``modifiers`` are words of the source ("severe", "bilateral")."""

    id: str
    label: str
    excluded: bool = False
    onset: str | None = None
    resolution: str | None = None
    severity: str | None = None
    modifiers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Patient:
    """What is told of a patient. ``age`` (at the last encounter), ``onset`` (of the disease) and
    ``death`` are points in time; ``sex`` is "MALE", "FEMALE" or None."""

    sex: str | None
    age: str | None = None
    onset: str | None = None
    deceased: bool = False
    death: str | None = None
    cause_of_death: str | None = None
    findings: tuple[Told, ...] = ()
    measurements: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _System:
    """An organ system: how a sentence on it starts - a subject of "showed", an adverb before "had", at
    least one of them - and the HPO terms at the root of its findings."""

    assessment: str
    adverb: str
    roots: frozenset[str]


def _system(assessment: str, adverb: str, *roots: str) -> _System:
    return _System(assessment, adverb, frozenset(f"HP:{root}" for root in roots))


SYSTEMS: Mapping[str, _System] = {
    "prenatal": _system("The history of pregnancy and birth", "", "0001197"),
    "growth": _system("Assessment of growth", "As to growth", "0001507"),
    "head": _system("Examination of the head, face and neck", "", "0000152"),
    "eye": _system("Examination of the eyes", "On eye examination", "0000478"),
    "ear": _system("Examination of ears and hearing", "On examination of ears and hearing", "0000598"),
    "voice": _system("Assessment of the voice", "", "0001608"),
    "nervous": _system("Neurological and developmental assessment", "Neurologically", "0000707", "0011804"),
    "heart": _system("Cardiovascular assessment", "On cardiovascular examination", "0001626"),
    "lung": _system("Respiratory assessment", "On respiratory examination", "0002086"),
    "chest": _system("Examination of the chest", "", "0000769", "0045027"),
    "gut": _system("Gastrointestinal assessment", "On gastrointestinal examination", "0025031"),
    "kidney": _system("Renal and genitourinary assessment", "On urogenital examination", "0000119"),
    "hormones": _system("Endocrine assessment", "Endocrinologically", "0000818"),
    "skeleton": _system("Examination of the skeleton and limbs", "In the skeleton and limbs", "0033127", "0040064"),
    "skin": _system("Examination of skin, hair and nails", "On examination of skin, hair and nails", "0001574"),
    "tumors": _system("The search for tumors", "", "0002664"),
    "blood": _system("Hematological assessment", "Hematologically", "0001871"),
    "immunity": _system("Immunological assessment", "Immunologically", "0002715"),
    "general": _system("", "In general", "0025142", "0004370", "0011032"),
    "laboratory": _system("Metabolic and laboratory investigation", "Biochemically", "0001939", "0025354"),
    "other": _system("", "Apart from that"),
}
"""Organ systems in the order in which they are told."""

_CLAIMS = (
    "tumors", "prenatal", "eye", "ear", "growth", "voice", "nervous", "head", "skin", "gut", "lung", "hormones",
    "chest", "skeleton", "immunity", "heart", "blood", "general", "laboratory", "kidney",
)  # fmt: skip
"""Which system takes a finding that belongs to several: the first of these."""


def narrate(patient: Patient, hpo: Hpo) -> str:
    """The patient in words: a paragraph on who it is, one on what was found, one on what is absent."""
    present = [told for told in patient.findings if not told.excluded]
    absent = [told for told in patient.findings if told.excluded]
    onsets = {told.onset for told in present}
    shared = onsets.pop() if len(onsets) == 1 and len(present) > 1 else None
    if shared:
        present = [replace(told, onset=None) for told in present]
    paragraphs = (
        _introduction(patient, shared),
        [*_present(present, patient, hpo), *_measured(patient.measurements)],
        _absent(absent, patient, hpo),
    )
    return "\n\n".join(filter(None, (" ".join(map(sentence_start, sentences)) for sentences in paragraphs)))


def written(told: Told) -> str:
    """The words that a finding stands in: its label as in mid-sentence, after the severity, before
    modifiers and the times of onset (of what is present) and resolution in brackets."""
    words = label_written(told.label)
    if told.severity and told.severity.casefold() not in words.casefold():
        words = f"{told.severity.casefold()} {words}"
    notes = [modifier.casefold() for modifier in told.modifiers]
    if told.onset and not told.excluded:
        notes.append(f"onset {when(told.onset)}")
    if told.resolution:
        notes.append(f"resolved {when(told.resolution)}")
    return f"{words} ({', '.join(notes)})" if notes else words


def label_written(label: str) -> str:
    """An HPO label as our prose writes it: as in mid-sentence, seizures and spasms in the plural, "small for
    gestational age" as a noun."""
    words = in_sentence(label.strip())
    if words.endswith(" for gestational age"):
        return f"birth size {words}"
    return f"{words}s" if words.endswith(("seizure", "spasm")) else words


def _introduction(patient: Patient, shared_onset: str | None) -> Iterator[str]:
    yield f"This report concerns {_who(patient)}."
    if patient.onset:
        yield f"The disease became apparent {when(patient.onset)}."
    if shared_onset:
        yield f"All the findings described below were first seen {when(shared_onset)}."
    if patient.deceased:
        died = f"died {when(patient.death)}" if patient.death else "has died"
        cause = f"; the cause of death was {in_sentence(patient.cause_of_death)}" if patient.cause_of_death else ""
        yield f"{_pronoun(patient)} {died}{cause}."


def _who(patient: Patient) -> str:
    """ "a 10-year-old boy", "a girl aged 1 year and 6 months", "a patient of unstated age and sex"."""
    sex, unstated = (f"{patient.sex.lower()} ", "") if patient.sex else ("", " of unstated sex")
    if patient.age is None:
        return f"a {sex}patient" if sex else "a patient of unstated age and sex"
    if patient.age.startswith("gestational"):
        return f"a {sex}fetus{unstated} {when(patient.age)}"
    if not is_duration(patient.age):
        return f"a {sex}patient{unstated} seen {when(patient.age)}"
    noun = _noun(patient.sex, duration(patient.age)[0] >= 18)
    units = [(n, unit) for n, unit in zip(duration(patient.age), AGE_UNITS, strict=True) if n]
    if not units:
        return f"a newborn {noun}{unstated}"
    if len(units) > 1:
        return f"{article(noun)}{unstated} aged {in_words(patient.age)}"
    return article(f"{units[0][0]}-{units[0][1]}-old {noun}") + unstated


def _noun(sex: str | None, grown_up: bool) -> str:
    return {"MALE": ("boy", "man"), "FEMALE": ("girl", "woman"), None: ("child", "adult")}[sex][grown_up]


def _pronoun(patient: Patient) -> str:
    if patient.age and patient.age.startswith("gestational"):
        return "the fetus"
    return {"MALE": "he", "FEMALE": "she"}.get(patient.sex or "", "the patient")


def _present(findings: Sequence[Told], patient: Patient, hpo: Hpo) -> Iterator[str]:
    forms = cycle(("{assessment} showed", "{adverb}, {pronoun} had", "{assessment} revealed"))
    more = cycle(("{pronoun} also had", "further findings were"))
    words = {"pronoun": _pronoun(patient)}
    for system, members in _by_system(findings, hpo):
        alone, together = _by_onset(members)
        for number, part in enumerate(_parts(alone)):
            start = _form(system, forms) if number == 0 else next(more)
            yield f"{start.format(**words, **_titles(system))} {listed([written(told) for told in part])}."
        for onset, group in together:
            for part in _parts(group):
                items = listed([written(replace(told, onset=None)) for told in part])
                found = "first found" if years(onset) > 0 else "found"
                yield f"{when(onset)}, {words['pronoun']} was {found} to have {items}."


def _absent(findings: Sequence[Told], patient: Patient, hpo: Hpo) -> Iterator[str]:
    if len(findings) <= FEW_ABSENT:
        if findings:
            yield f"{_pronoun(patient)} had no {_either(findings)}."
        return
    forms = cycle(("{assessment} showed no", "{adverb}, {pronoun} had no", "{assessment} revealed no"))
    more = cycle(("{pronoun} also had no", "nor did {pronoun} have any"))
    words = {"pronoun": _pronoun(patient)}
    for system, members in _by_system(findings, hpo):
        for number, part in enumerate(_parts(members)):
            start = _form(system, forms) if number == 0 else next(more)
            yield f"{start.format(**words, **_titles(system))} {_either(part)}."


def _measured(measurements: Sequence[str]) -> Iterator[str]:
    if measurements:
        yield f"measured values: {'; '.join(measurements)}."


def _either(findings: Iterable[Told]) -> str:
    return listed([written(told) for told in findings], "or")


def _form(system: _System, forms: Iterator[str]) -> str:
    """The next way to begin a sentence that this system has words for."""
    return next(form for form in forms if (system.assessment if "{assessment}" in form else system.adverb))


def _titles(system: _System) -> dict[str, str]:
    return {"assessment": system.assessment, "adverb": system.adverb}


def _by_system(findings: Iterable[Told], hpo: Hpo) -> list[tuple[_System, list[Told]]]:
    members: dict[str, list[Told]] = {name: [] for name in SYSTEMS}
    for told in findings:
        members[system_of(told.id, hpo)].append(told)
    return [(SYSTEMS[name], found) for name, found in members.items() if found]


def system_of(identifier: str, hpo: Hpo) -> str:
    """The organ system, a key of ``SYSTEMS``, that an HPO term is told under; "other" for an unknown one."""
    term = hpo.find(identifier)
    kinds = hpo.ancestors(term.id) | {term.id} if term else frozenset()
    return next((name for name in _CLAIMS if SYSTEMS[name].roots & kinds), "other")


def _by_onset(findings: Sequence[Told]) -> tuple[list[Told], list[tuple[str, list[Told]]]]:
    """Findings to tell one by one, and groups of several that were first seen at the same time, both in time
    order (what has no onset comes first)."""
    groups: dict[str, list[Told]] = {}
    for told in findings:
        if told.onset:
            groups.setdefault(told.onset, []).append(told)
    together = {onset: group for onset, group in groups.items() if len(group) > 1}
    in_time = sorted(together.items(), key=lambda item: years(item[0]))
    alone = (told for told in findings if told.onset not in together)
    return sorted(alone, key=lambda told: years(told.onset) if told.onset else -math.inf), in_time


def _parts(findings: Sequence[Told]) -> list[Sequence[Told]]:
    """Cut into sentences of much the same length, none with more than ``LONGEST_LIST`` findings."""
    count = -(-len(findings) // LONGEST_LIST)
    bounds = [round(index * len(findings) / count) for index in range(count + 1)] if count else []
    return [findings[start:end] for start, end in pairwise(bounds)]
