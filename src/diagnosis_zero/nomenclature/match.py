"""Whether a predicted diagnosis is the reference disease: 2 the same, 1 an accepted hypernym, 0 neither.

The order of judgement: the same name; what the catalogue says both names mean; the same name but for wording
(only for what the catalogue does not know); the name before "with ..."; and, for a reference that is no entry of
the nomenclature but a clinician's sentence, shared content. Pure and deterministic; never raises on text.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import lru_cache

from diagnosis_zero.nomenclature import guards, reference, vocabulary
from diagnosis_zero.nomenclature.answer import heads_and_rests, views
from diagnosis_zero.nomenclature.catalogue import Catalogue
from diagnosis_zero.nomenclature.compare import Comparison, compare, differing
from diagnosis_zero.nomenclature.facts import authority, rank
from diagnosis_zero.nomenclature.freetext import same_content
from diagnosis_zero.nomenclature.index import Entry, Found, meant_by
from diagnosis_zero.nomenclature.lexicon import BUILT_IN, Lexicon
from diagnosis_zero.nomenclature.normalise import MAX_CHARS, Name, analyse, literal_key
from diagnosis_zero.nomenclature.reference import Reference
from diagnosis_zero.types import Match

HYPERNYM_SCORE = 0.5
ANOTHER, TOO_BROAD = "another disease", "hypernym of too many diseases"
"""The rules by which the catalogue decides that a name is wrong; others only fail to show that it is right."""
GENE_TIES = ("related", "associated")


def match(
    prediction: str,
    references: Sequence[str],
    *,
    reference_ids: Sequence[str] = (),
    catalogue: Catalogue | None = None,
) -> Match:
    """Score one predicted diagnosis against the accepted names of one disease.

    Args:
        prediction: the answer as the model wrote it, of which 1,000 characters are read; explanations, brackets
            and markup are read past.
        references: the accepted names.
        reference_ids: identifiers of the reference disease ("ORPHA:558"), used with a catalogue.
        catalogue: the nomenclature; None judges by the words of the names alone.

    Returns:
        The label; a score (names of one disease from 0.9, sentences of one content above 0.5, a hypernym at 0.5,
        the rest below by shared words); the rule that decided; with a catalogue the entry that was found.
    """
    return _match(prediction[:MAX_CHARS], tuple(references), tuple(reference_ids), catalogue)


@lru_cache(maxsize=100_000)
def _match(prediction: str, references: tuple[str, ...], ids: tuple[str, ...], catalogue: Catalogue | None) -> Match:
    """The verdict (cached: a group's completions often give the same answer)."""
    truth = reference.read(references, ids, catalogue)
    if literal_key(prediction) in truth.literals:
        return _same(Comparison(True, 1.0, "same name"), truth, catalogue)
    if catalogue is not None:
        found = catalogue.find(prediction)
        if found and (verdict := _by_meaning(found, prediction, truth, catalogue)):
            return verdict
    return _by_reading(prediction, references, truth, catalogue)


def _by_reading(prediction: str, references: Sequence[str], truth: Reference, catalogue: Catalogue | None) -> Match:
    """Judge every reading of the text: what it means, then how it is worded."""
    readings = [(view, analyse(view)) for view in views(prediction)]
    if any(name.literal in truth.literals or name.canonical in truth.canonicals for _, name in readings):
        return _same(Comparison(True, 1.0, "same name"), truth, catalogue)
    known = Found()
    if catalogue is not None:
        for view, _ in readings:
            known = catalogue.find(view)
            if known and (verdict := _by_meaning(known, view, truth, catalogue)):
                return verdict
            if known:
                break
    names = [name for _, name in readings]
    closest = _closest(names, truth.names, catalogue or BUILT_IN)
    if closest.same:
        return _same(closest, truth, catalogue)
    if not known and (parent := _closest(names, truth.parent_names, catalogue or BUILT_IN)).same:
        return Match(1, HYPERNYM_SCORE, f"hypernym: {parent.rule}")
    if catalogue is not None and not known:
        verdict = _by_head(prediction, truth, catalogue) or _by_gene(names, truth, catalogue)
        if verdict:
            return verdict
    if catalogue is not None and not truth.entries and catalogue.comprehensive:
        return _by_content(prediction, references, catalogue, known)
    return Match(0, min(closest.score, 0.49), closest.rule, *_shown(known.entries, catalogue))


def _by_content(prediction: str, references: Sequence[str], catalogue: Catalogue, known: Found) -> Match:
    """For references that no nomenclature numbers: sentences of a case report."""
    verdicts = [same_content(prediction, reference, catalogue) for reference in references]
    same, score, rule = max(verdicts, default=(False, 0.0, "no reference"))
    return Match(2 if same else 0, score if same else min(score, 0.49), rule, *_shown(known.entries, catalogue))


def _by_meaning(found: Found, name: str, truth: Reference, catalogue: Catalogue) -> Match | None:
    """The verdict by what the catalogue says the prediction means; None where it cannot say."""
    if len(found.entries) == 1 and found.entries <= truth.entries:
        return Match(2, 0.98, "synonym", *_shown(found.entries, catalogue))
    parents = found.entries & truth.parents
    if parents and _siblings(analyse(name), truth):
        parents = frozenset()
    if not truth.entries.isdisjoint([entry for entry, _, _ in found.said]):
        meanings = {number: _meaning_for(found, catalogue.entry(number)) for number in truth.entries}
        same = frozenset(number for number, meant in meanings.items() if meant == {number})
        if same:
            return Match(2, 0.98, "synonym", *_shown(same, catalogue))
        if not parents and any(number in meant for number, meant in meanings.items()):
            return Match(0, 0.45, "ambiguous name", *_shown(found.entries, catalogue))
    if parents:
        return Match(1, HYPERNYM_SCORE, "accepted hypernym", *_shown(parents, catalogue))
    if found.entries & truth.broad_parents:
        return Match(0, 0.3, TOO_BROAD, *_shown(found.entries, catalogue))
    if truth.entries and not catalogue.compatible(found.entries | truth.entries):
        return Match(0, 0.1, ANOTHER, *_shown(found.entries, catalogue))
    return None


def _meaning_for(found: Found, entry: Entry) -> frozenset[int]:
    """What the name means to the first authority, among those that number ``entry``, that uses it at all."""
    if len(found.entries) == 1:
        return found.entries
    for wanted in sorted(entry.authorities, key=rank):
        meant = meant_by(found.said, wanted)
        if meant:
            return meant
    return frozenset()


def _siblings(name: Name, truth: Reference) -> bool:
    """Whether the name and an accepted one say different things on one guarded axis and differ in nothing else
    ("syndrome 1", "syndrome 2"; not "type 2" and its "type 2B")."""
    for accepted in truth.given:
        left, right = differing(name.words, accepted.words)
        axes = {guards.axis(word) for word in (*left, *right)}
        if left and right and len(axes) == 1 and None not in axes:
            return not any(other.startswith(word) for word in left for other in right)
    return False


def _closest(names: Iterable[Name], accepted: Iterable[Name], lexicon: Lexicon) -> Comparison:
    accepted = tuple(accepted)
    best = Comparison(False, 0.0, "no name")
    for name in dict.fromkeys(names):
        for other in accepted:
            found = compare(name, other, lexicon)
            if (found.same, found.score) > (best.same, best.score):
                best = found
    return best


def _by_head(prediction: str, truth: Reference, catalogue: Catalogue) -> Match | None:
    """Judge "Marfan syndrome with aortic dilatation" as Marfan syndrome, unless the rest names another disease or
    says what kind it is. The earliest name that the catalogue holds decides."""
    for head, rest in heads_and_rests(prediction):
        other = catalogue.find(rest) or catalogue.find(rest.partition(")")[0])
        if other and not other.entries & truth.entries:
            return None
        for view in views(head):
            if found := catalogue.find(view):
                verdict = _by_meaning(found, view, truth, catalogue)
                return _described(verdict) if verdict and verdict.label == 2 else None
        if _closest(map(analyse, views(head)), truth.names, catalogue).same:
            return _described(_same(Comparison(True, 0.9, ""), truth, catalogue))
    return None


def _described(verdict: Match) -> Match:
    return replace(verdict, score=0.9, rule="name before its description")


def _by_gene(names: Iterable[Name], truth: Reference, catalogue: Catalogue) -> Match | None:
    """Judge "SYNGAP1-related encephalopathy" as "SYNGAP1-related developmental and epileptic encephalopathy": a gene's
    neurodevelopmental disease goes by many names. Only where no other disease is named after the gene."""
    genes = {gene for name in truth.names if (gene := _neurodevelopmental(name))}
    for name in names:
        gene = _neurodevelopmental(name)
        if gene in genes and all(catalogue.beginning(gene + tie) <= truth.entries for tie in GENE_TIES):
            return _same(Comparison(True, 0.9, "one gene, one neurodevelopmental disease"), truth, catalogue)
    return None


def _neurodevelopmental(name: Name) -> str:
    """The gene after which a neurodevelopmental disease is named ("SYNGAP1-related ..."), or nothing."""
    gene, tie, *rest = (*name.words, "", "")
    phenotype = set(rest) - vocabulary.CLASS_NOUNS - {""}
    named = gene in name.short and tie in GENE_TIES and phenotype and phenotype <= vocabulary.NEURODEVELOPMENTAL
    return gene if named else ""


def _same(comparison: Comparison, truth: Reference, catalogue: Catalogue | None) -> Match:
    return Match(2, comparison.score, comparison.rule, *_shown(truth.entries, catalogue))


def _shown(entries: frozenset[int], catalogue: Catalogue | None) -> tuple[str | None, str | None]:
    """Identifier and name of the entry whose authority is heard first."""
    if catalogue is None or not entries:
        return None, None
    shown = [catalogue.entry(number) for number in entries]
    entry = shown[0] if len(shown) == 1 else min(shown, key=lambda one: (rank(authority(one.id)), one.id))
    return entry.id, entry.name
