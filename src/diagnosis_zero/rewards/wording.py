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
        "less least could might may both opposed overlap overlapping coexisting coexistent concurrent concomitant "
        "unclear undetermined unknown uncertain"
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
    "dismissed discarded misdiagnosed incorrect wrong false against mistake mistaken error erroneous"
)
"""Behind a true claim these take it back or set another beside it; "no" and "without" speak of findings there."""

JOINS = _words("and plus with due caused secondary without")
"""Begin what may belong to a name ("with or without seizures", "due to TUBA1A mutation"), or add to it."""

SAME_SENSE = (("a.k.a.", "aka"), ("i.e.", "ie"), ("vs.", "vs"), (" as well as ", " and "))
"""Written with marks that would cut, or in several words; and how it is read."""

STRUCK = re.compile(
    r"~~|<(?:s|del|strike)\b|line-through|<!--|^\s*!(?=[A-Za-z0-9])|(?<![\d.])0 ?%|"
    r"\\(?:x?cancel|sout|st|neg|lnot|not)\b|"
    "[\u00ac\u2204\u2205\u2260\u2298\u2612\u2715-\u2718\u274c\u26d4\u0335-\u0338\U0001f44e\U0001f6ab]",
    re.IGNORECASE,
)
"""Signs that deny: "~~struck out~~", "<del>", "\u2717", "0 %"; and a comment of markup, which hides its text."""

ALIKE = re.compile(
    r"^\s*[~\u2248\u223c](?=\s?[A-Za-z0-9])|-type(?= (?:disease|disorder|syndrome|illness|condition)s?\b)",
    re.IGNORECASE,
)
"""What says "something like" without saying so."""

WRAPPER = re.compile(
    r"</?(?:final|(?:final_)?(?:diagnosis|answer)|result|disease|output|response|solution|conclusion)>", re.IGNORECASE
)
AGE = re.compile(r"\b\d{1,3}[ -](?:year|month|week|day)s?[ -]old\b", re.IGNORECASE)
AT_THE_END = re.compile(r"[\s(\[,:~-]*+(?:about |score ?[:=] ?|p ?= ?)?(?:\d{1,3}(?:\.\d{1,4})? ?%|0?\.\d{1,4})[)\]]?$")
"""A probability behind the name, in brackets or not."""

UNSURE = _words("likely probable probably possible possibly suspected presumed presumptive presumably")
LINKS = UNSURE | _words(
    "is are was be has have with as diagnose diagnosed confirmed suffering suffers from consistent compatible "
    "suggestive suggests indicative indicates represents believe think suspect conclude certainly definitely so thus "
    "therefore hence summary conclusion known clearly undoubtedly keeping : :- = - > -> => |"
)
"""What may stand right before the name in "the most likely diagnosis is ..."."""

FRAME = LINKS | _words(
    "the a an my our his her this that these it he she i we patient patients case child boy girl man woman person "
    "infant individual clinical picture findings presentation overall final definitive definite single one primary "
    "principal main leading working underlying unifying provisional diagnosis diagnoses dx answer disease disorder "
    "condition name impression conclusion result assessment here in for based on above would say guess am most best "
    "correct english classic typical textbook newly strongly appears appear seems seem to point points everything all "
    "those diagnostic features suspicion exclusion molecular score see above "
    "very highly almost genetically clinically molecularly suggested proposed predicted top candidate high moderate "
    "low confidence probability certainty certain of"
)
"""Words that frame a diagnosis and name nothing; a run of them that ends with a link leads in to the name."""

CONTRACTED = _words("it's that's this's here's he's she's")
"""Framing words that hold their "is" or "has"."""

SURENESS = _words("confidence probability certainty certain score")
EMPTY = FRAME - _words("primary single infant child high moderate low classic typical features")
"""Framing words that add nothing to a name even behind it; the others may qualify it ("hyperoxaluria, primary")."""

PREPOSITIONS = {
    "of": _words("case diagnosis example diagnostic features suspicion those"),
    "to": _words("point points"),
}
"""Links only behind these ("a case of", but not "the child of a patient with")."""

REASONED = re.compile(
    r"(?:based on|given|(?:after )?considering|in view of|in light of)\b.*?\b"
    r"(?=(?:the|my|most)[\w ]{0,30} (?:diagnosis|answer)\b)",
    re.IGNORECASE,
)
"""Reasons before the statement: "Given the findings, the diagnosis is ..."."""

CLAUSE = re.compile(
    r"(?:based on|given|(?:after )?considering|in view of|in light of|as (?:explained|discussed|noted|described|stated)"
    r")\b[^,:;.\n]{0,100}[,:] *",
    re.IGNORECASE,
)
"""The same before a bare name: "As explained above, ..."."""

RANK = _words("rank ranked top choice")
""""Rank 1" is no type."""

SHARE = re.compile(r"\d{1,3}(?:\.\d+)? ?%|(?<![\w.])0?\.\d+|\b\d{5,7}\b")
"""A probability ("95 %", "0.9"), or a number too long to be a type's (a code without its authority)."""

PROBABILITY = re.compile(r"\bp ?= ?(?=0?\.\d)", re.IGNORECASE)

AFFIRMS = UNSURE | _words(
    "diagnosis diagnosed confirmed supported established proven best answer consistent correct made favored favoured"
)
"""Behind "is" or "was", one of these must stand, else something is said against the claim ("was rejected")."""

FOLLOWS_UP = AFFIRMS | _words("recommended needed advised required pending indicated warranted")
"""Behind "is" in an explanation, one of these: the explanation may also say what is to be done."""

TYPICAL = _words("typical classic classical characteristic compatible suggestive clinical all the these a")
PICTURE = _words("features presentation findings symptoms signs manifestations phenotype course picture")
"""First and last words of "with typical features", which say nothing of the kind of disease."""

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
    "patient his her he she it is was are meets meeting leading complicated in at on as affecting involving a an by "
    "after via would accounts can see reason reasons reasoning rationale explanation justification comment note key "
    "supporting confirm"
)
"""First words of an explanation."""

REASONS = _words("reason reasons reasoning rationale explanation justification comment note evidence")
GOES_ON = frozenset(("", ":", ",", "\n", "."))
"""Last words of what announces a list of reasons or findings, and the marks within one."""

ADDS = _words("top combination addition association conjunction")
"""Behind "on" or "in", these bring a second disease."""

EVIDENCE = _words(
    "mutation mutations variants pathogenic heterozygous homozygous hemizygous gene sequencing testing tests biopsy "
    "presence criteria evidence findings"
)
"""Anywhere in a piece, these make an explanation of it."""

HEADS = _words("syndrome syndromes disease diseases disorder disorders")
GENERAL = _words("the this that these a an any very genetic rare inherited same underlying hereditary my his her")
"""Before a head noun, these speak of the disease in question ("this disorder")."""

HAS_TOO = _words("has have had also too additionally setting context")
"""With a disease word, these give the patient a second disease."""

CODE = re.compile(
    r"\b(orpha(?:net|code)?|o?mim|icd(?:-?1[01]|-?9)?(?:-cm)?|doid|mondo|umls|gard|mesh|snomed(?: ct)?)"
    r"(?: code| number| id)?[ :-]{0,3}([a-z]{0,3}\d[\w.]*)",
    re.IGNORECASE,
)
"""An identifier of a nomenclature."""

LEADING_CODE = re.compile(r"[\[( ]*+code:\S+[ :-]*+")
LATEX = re.compile(r"\\[a-zA-Z]+(?=\{)")
BULLET = re.compile(r"(?:[-*>] ?|\d{1,2}[.):] |[a-z]\) )", re.IGNORECASE)

BREAK = re.compile(
    r" ?\n ?| ?[;|()\[\]{}=] ?|, ?(?=[^\d\s])|(?<!confidence)[.!?:]+(?: |$)| -{1,3}>? | ?/ ?| [&+] "
    r"| (?=(?:or|and|vs|versus|plus|rather|instead|not|but|with|without|due|caused|secondary|is|was|which|because|"
    r"given|based|on the basis|confirmed|proven|supported|established|diagnosed|presenting|manifesting|"
    r"characteri[sz]ed|complicated|would|can be|accounts|explains|"
    r"(?:by|per|after|via|on) (?:exclusion|biopsy|histology|pathology|imaging|genetic|molecular|clinical|laboratory|"
    r"exome|genome|whole|gene|sequencing|testing|criteria)|best|fits|genetically|clinically|"
    r"consistent|as (?:evidenced|shown|supported|suggested|indicated|demonstrated|confirmed|per)|also|aka|"
    r"formerly|previously|code:\S+|in (?:a|an|the|this|our|his|her|which|whom|view|light))\b)",
    re.IGNORECASE,
)
"""Where an answer may be cut: punctuation, and before the words that begin something new."""
