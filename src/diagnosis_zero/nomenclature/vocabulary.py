"""Word lists about the language of disease names.

All words are in the folded form that ``normalise`` produces (lower case, American spelling, singular).
"""

from __future__ import annotations


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


FILLERS = _words("the a an of and in by with to for due as its from on at is")
"""Words that join others and tell no diseases apart. "or", "without" and "not" do, so they are not here."""

CLASS_NOUNS = frozenset({"disease", "syndrome"})
"""What closes a name ("disorder" is folded to "disease")."""

KIND_WORDS = frozenset({"type", "form", "variant", "subtype", "variety"})
"""Announce a designator or an eponym ("type 2", "Duchenne type"); the designator carries the meaning."""

DESIGNATED = KIND_WORDS | _words("factor complex class group stage grade nerve collagen category phase serotype isoform")
"""After these words a lone roman numeral is a number, "X" included."""

PREFIXES = _words("non anti pseudo hyper hypo pre post peri intra extra multi poly")
"""Written apart, hyphened or closed ("non-syndromic"): joined to the word that follows."""

GREEK = {
    "α": "alpha", "β": "beta", "γ": "gamma", "δ": "delta", "ε": "epsilon", "ζ": "zeta", "η": "eta",
    "θ": "theta", "ι": "iota", "κ": "kappa", "λ": "lambda", "μ": "mu", "ν": "nu", "ξ": "xi", "ο": "omicron",
    "π": "pi", "ρ": "rho", "σ": "sigma", "ς": "sigma", "τ": "tau", "υ": "upsilon", "φ": "phi", "χ": "chi",
    "ψ": "psi", "ω": "omega",
}  # fmt: skip

LETTERS = {"ß": "ss", "æ": "ae", "œ": "oe", "ø": "o", "ł": "l", "đ": "d", "ð": "d", "þ": "th", "ı": "i"}
"""Letters that Unicode does not take apart into a base and an accent."""

IRREGULAR = {
    "disorder": "disease",
    "nevi": "nevus",
    "lentigines": "lentigo",
    "fungi": "fungus",
    "bronchi": "bronchus",
    "thrombi": "thrombus",
    "emboli": "embolus",
    "testes": "testis",
    "teeth": "tooth",
    "feet": "foot",
    "children": "child",
    "goitre": "goiter",
    "fibre": "fiber",
    "centre": "center",
    "grey": "gray",
    "mould": "mold",
    "ageing": "aging",
    "programme": "program",
    "artefact": "artifact",
    "aluminium": "aluminum",
    "disc": "disk",
}
"""Plurals and British spellings that no rule covers."""

NUMBER_WORDS = {
    "one": "1", "two": "2", "three": "3", "four": "4", "five": "5", "six": "6", "seven": "7", "eight": "8",
    "nine": "9", "ten": "10",
}  # fmt: skip

INHERITANCE_CODES = {
    "AD": ("autosomal", "dominant"),
    "AR": ("autosomal", "recessive"),
    "XL": ("xlinked",),
    "XLR": ("xlinked", "recessive"),
    "XLD": ("xlinked", "dominant"),
}
"""Abbreviations of the mode of inheritance; read as such only inside a longer name."""

DISEASE_IS_NOT_SYNDROME = _words("caroli cushing moyamoya raynaud meige meniere")
"""Eponyms under which medicine knows both a disease and another syndrome."""

DISEASE_ENDINGS = (
    "syndrome", "syndromes", "disease", "diseases", "disorder", "disorders", "itis", "oma", "omas", "osis",
    "pathy", "pathies", "emia", "aemia", "plasia", "trophy", "deficiency", "anomaly", "cancer", "tumor", "tumour",
    "infection", "ataxia", "plegia", "uria", "sclerosis", "palsy", "epilepsy", "lupus", "defect", "malformation",
)  # fmt: skip
"""Ends of words that head a disease name."""
