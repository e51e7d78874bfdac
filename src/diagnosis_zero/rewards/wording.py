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

CONTRASTS = TURNS["hedged"] | _words("not neither nor unlikely excluded exclude excluding")
"""Behind a true claim these take it back or set another beside it; "no" and "without" speak of findings there."""

JOINS = _words("and plus with due caused secondary without")
"""Begin what may belong to a name ("with or without seizures", "due to TUBA1A mutation")."""

SAME_SENSE = (("a.k.a.", "aka"), ("i.e.", "ie"), ("vs.", "vs"), (" as well as ", " and "))
"""Written with marks that would cut, or in several words; and how it is read."""

CONFIDENCE = re.compile(
    r"(?:(?:(?:most|highly|very|quite|high|moderate|low) )?(?:definite(?:ly)?|likely|probabl[ey]|possibl[ey]|"
    r"presumed|presumptive|presumably|suspected|certain|confidence|probability|certainty)\b ?)++",
    re.IGNORECASE,
)

LEAD_IN = re.compile(
    r"(?:(?:so|therefore|thus|hence|overall|in (?:conclusion|summary)|to conclude)\b[ ,:]*+)?"
    r"(?:(?:i (?:think|believe|suspect|conclude|would say|favou?r)(?: that)?|"
    r"we (?:think|believe|suspect|conclude))\b ?)?"
    r"(?:(?:this|it|that|he|she|the (?:patient|child|case|picture|presentation|findings))\b ?"
    r"(?:(?:most likely|likely|probably|clearly) )?"
    r"(?:is|was|has|have|represents?|suffers from|points? to|fits?|suggests?|are|indicates?)\b ?)?"
    r"(?:(?:most likely|likely|probably|clearly|most) )?"
    r"(?:(?:consistent|compatible) with|suggestive of|indicative of|diagnostic of|in keeping with|diagnosed with)?"
    r"(?: ?(?:an?|the)? ?(?:clinical |classic |typical )?(?:case|diagnosis|example|instance) of\b)?[ :]*+",
    re.IGNORECASE,
)
"""Ways to begin a sentence that ends with a diagnosis. May match nothing."""

ALIAS = re.compile(
    r"(?:(?:also|or|which is|otherwise|formerly|previously|commonly|now|sometimes|simply) )*+"
    r"(?:(?:known|referred to|abbreviated)(?: as)?|called|termed|named|aka|alias|ie|that is|synonyms?)\b[ :,]*+"
    r"|(?:formerly|previously) ",
    re.IGNORECASE,
)

EXPLAINS = _words(
    "confirmed proven established verified supported diagnosed documented evidenced demonstrated shown based given "
    "because since per according consistent compatible presenting presentation manifesting manifested manifests "
    "characterized characterised which that who features explains explaining explained fits by the this these "
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

HAS_TOO = _words("has have had also too additionally")
"""With a disease word, these give the patient a second disease."""

CODE = re.compile(
    r"\b(orpha(?:net|code)?|o?mim|icd(?:-?1[01]|-?9)?(?:-cm)?|doid|mondo|umls|gard|mesh|snomed(?: ct)?)"
    r"(?: code| number| id)?[ :-]{0,3}([a-z]{0,3}\d[\w.]*)",
    re.IGNORECASE,
)
"""An identifier of a nomenclature."""

LATEX = re.compile(r"\\[a-zA-Z]+(?=\{)")
BULLET = re.compile(r"(?:[-*>] ?|\d{1,2}[.)] |[a-z]\) )", re.IGNORECASE)

BREAK = re.compile(
    r" ?\n ?| ?[;|()\[\]{}=] ?|, ?(?=[^\d\s])|[.!?:]+(?: |$)| -{1,3}>? | ?/ ?| [&+] "
    r"| (?=(?:or|and|vs|versus|plus|rather|instead|not|but|with|without|due|caused|secondary|is|was|which|because|"
    r"given|based|confirmed|proven|supported|established|diagnosed|presenting|manifesting|characteri[sz]ed|"
    r"consistent|as (?:evidenced|shown|supported|suggested|indicated|demonstrated|confirmed|per)|also|aka|"
    r"formerly|previously|code:\S+|in (?:a|an|the|this|our|his|her|which|whom|view|light))\b)",
    re.IGNORECASE,
)
"""Where an answer may be cut: punctuation, and before the words that begin something new."""
