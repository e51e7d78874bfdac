"""The words that turn, hedge or explain a diagnosis. English of clinical answers; no list holds a disease."""

from __future__ import annotations

import re


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


TURNS: dict[str, frozenset[str]] = {
    "denied": _words(
        "not no never neither nor without excluded excludes exclude excluding unlikely absent absence except "
        "negative denied denies disproved refuted against false incorrect wrong"
    ),
    "hedged": _words(
        "or vs versus either rather instead alternatively alternative alternatives differential differentials ddx "
        "ruled rule cannot perhaps maybe consider but although though however while unless else other another "
        "could might may both opposed overlap overlapping coexisting coexistent concurrent concomitant unclear "
        "undetermined unknown uncertain"
    ),
    "not the patient's": _words(
        "carrier carriers family relative relatives mother father sister brother sibling siblings parent parents "
        "son daughter uncle aunt cousin grandmother grandfather history risk screening"
    ),
    "only alike": _words(
        "like mimic mimics mimicking mimicked mimicker resembling resembles resemble similar phenocopy simulating "
        "imitating reminiscent lookalike"
    ),
}
"""Reason to refuse, and the words that give it. Disease names hold some of them, so they count only beyond what
the accepted names hold."""

CONTRASTS = TURNS["hedged"] | _words(
    "not neither nor never unlikely improbable doubtful excluded exclude excluding disproved refuted rejected "
    "dismissed discarded misdiagnosed incorrect wrong false"
)
"""Behind a true claim these take it back or set another beside it; "no" and "without" speak of findings there."""

JOINS = _words("and plus with due caused secondary without")
"""Begin what may belong to a name ("with or without seizures", "due to TUBA1A mutation"), or add to it."""

SAME_SENSE = (("a.k.a.", "aka"), ("i.e.", "ie"), ("vs.", "vs"), (" as well as ", " and "))
"""Written with marks that would cut, or in several words; and how it is read."""

UNSURE = _words("likely probable probably possible possibly suspected presumed presumptive presumably")
LINKS = UNSURE | _words(
    "is are was be has have with as diagnose diagnosed confirmed suffering suffers from consistent compatible "
    "suggestive suggests indicative indicates represents believe think suspect conclude certainly definitely : :- = "
    "- > -> =>"
)
"""What may stand right before the name in "the most likely diagnosis is ..."."""

FRAME = LINKS | _words(
    "the a an my our his her this that these it he she i we patient patients case child boy girl man woman person "
    "infant individual clinical picture findings presentation overall final definitive definite single one primary "
    "principal main leading working underlying unifying provisional diagnosis diagnoses dx answer disease disorder "
    "condition name impression conclusion result assessment here in for based on above would say guess am most best "
    "very highly almost genetically clinically molecularly so thus therefore hence summary high moderate low "
    "confidence probability certainty of"
)
"""Words that frame a diagnosis and name nothing; a run of them that ends with a link leads in to the name."""

SURENESS = _words("confidence probability certainty")
EMPTY = FRAME - _words("primary single infant child high moderate low")
"""Framing words that add nothing to a name even behind it; the others may qualify it ("hyperoxaluria, primary")."""

OF = _words("case diagnosis example")
""""of" is a link only behind these ("a case of", but not "the child of a patient with")."""

REASONED = re.compile(
    r"(?:based on|given|considering|in view of|in light of)\b.*?\b"
    r"(?=(?:the|my|most)[\w ]{0,30} (?:diagnosis|answer)\b)",
    re.IGNORECASE,
)
"""Reasons before the statement: "Given the findings, the diagnosis is ..."."""

SHARE = re.compile(r"\d{1,3}(?:\.\d+)? ?%|(?<![\w.])0?\.\d+")
"""A probability ("95 %", "0.9")."""

AFFIRMS = UNSURE | _words("diagnosis diagnosed confirmed supported established proven best answer consistent correct")
"""Behind "is" or "was", one of these must stand, else something is said against the claim ("was rejected")."""

ALIAS = re.compile(
    r"(?:(?:also|or|which is|otherwise|formerly|previously|commonly|now|sometimes|simply) )*+"
    r"(?:(?:known|referred to|abbreviated)(?: as)?|called|termed|named|aka|alias|ie|that is|synonyms?)\b[ :,]*+"
    r"|(?:formerly|previously) ",
    re.IGNORECASE,
)

EXPLAINS = _words(
    "confirmed proven established verified supported diagnosed documented evidenced demonstrated shown based given "
    "because since per according consistent compatible presenting presentation manifesting manifested manifests "
    "characterized characterised which that who features explains explaining explained fits best by the this these "
    "patient his her he she it is was are meets meeting leading complicated in at on as affecting involving a an"
)
"""First words of an explanation."""

EVIDENCE = _words(
    "mutation mutations variants pathogenic heterozygous homozygous hemizygous gene sequencing testing tests biopsy "
    "presence criteria evidence findings"
)
"""Anywhere in a piece, these make an explanation of it."""

HEADS = _words("syndrome syndromes disease diseases disorder disorders")
GENERAL = _words("the this that these a an any genetic rare inherited same underlying hereditary my his her")
"""Before a head noun, these speak of the disease in question ("this disorder")."""

HAS_TOO = _words("has have had also too additionally setting context")
"""With a disease word, these give the patient a second disease."""

CODE = re.compile(
    r"\b(orpha(?:net|code)?|o?mim|icd(?:-?1[01]|-?9)?(?:-cm)?|doid|mondo|umls|gard|mesh|snomed(?: ct)?)"
    r"(?: code| number| id)?[ :-]{0,3}([a-z]{0,3}\d[\w.]*)",
    re.IGNORECASE,
)
"""An identifier of a nomenclature."""

LEADING_CODE = re.compile(r"code:\S+[ :-]*+")
LATEX = re.compile(r"\\[a-zA-Z]+(?=\{)")
BULLET = re.compile(r"(?:[-*>] ?|\d{1,2}[.)] |[a-z]\) )", re.IGNORECASE)

BREAK = re.compile(
    r" ?\n ?| ?[;|()\[\]{}=] ?|, ?(?=[^\d\s])|(?<!confidence)[.!?:]+(?: |$)| -{1,3}>? | ?/ ?| [&+] "
    r"| (?=(?:or|and|vs|versus|plus|rather|instead|not|but|with|without|due|caused|secondary|is|was|which|because|"
    r"given|based|confirmed|proven|supported|established|diagnosed|presenting|manifesting|characteri[sz]ed|complicated|"
    r"explains|best|fits|genetically|clinically|"
    r"consistent|as (?:evidenced|shown|supported|suggested|indicated|demonstrated|confirmed|per)|also|aka|"
    r"formerly|previously|code:\S+|in (?:a|an|the|this|our|his|her|which|whom|view|light))\b)",
    re.IGNORECASE,
)
"""Where an answer may be cut: punctuation, and before the words that begin something new."""
