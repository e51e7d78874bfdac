"""Word lists about the language of disease names.

All words are in the folded form that ``normalise`` produces (lower case, American spelling, singular).
"""

from __future__ import annotations


def word_set(text: str) -> frozenset[str]:
    """The words of a text."""
    return frozenset(text.split())


def _phrases(line: str) -> list[tuple[str, ...]]:
    return [tuple(phrase.split()) for phrase in line.split("|")]


FILLERS = word_set("the an of and in by with to for due as its from on at is")
"""Words that join others and tell no diseases apart. "or", "without" and "not" do, so they are not here."""

CLASS_NOUNS = frozenset({"disease", "syndrome"})
"""What closes a name ("disorder" is folded to "disease")."""

KIND_WORDS = word_set("type form subtype")
"""Announce a designator or an eponym ("type 2", "Duchenne type"); the designator carries the meaning."""

DESIGNATED = KIND_WORDS | word_set(
    "variant factor complex class group stage grade nerve collagen category phase serotype isoform"
)
"""After these words a lone roman numeral is a number, "X" included."""

PREFIXES = word_set("non anti pseudo hyper hypo pre post peri intra extra multi poly")
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
    "difference": "disease",
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

DISEASE_IS_NOT_SYNDROME = word_set("caroli cushing moyamoya raynaud meige meniere")
"""Eponyms under which medicine knows both a disease and another syndrome."""

DISEASE_ENDINGS = (
    "syndrome", "syndromes", "disease", "diseases", "disorder", "disorders", "itis", "oma", "omas", "osis",
    "pathy", "pathies", "emia", "aemia", "plasia", "trophy", "deficiency", "anomaly", "cancer", "tumor", "tumour",
    "infection", "ataxia", "plegia", "uria", "sclerosis", "palsy", "epilepsy", "lupus", "defect", "malformation",
)  # fmt: skip
"""Ends of words that head a disease name."""

ISCN = {
    "del": "deletion",
    "dup": "duplication",
    "inv": "inversion",
    "ins": "insertion",
    "der": "derivative",
    "rec": "recombinant",
    "trp": "triplication",
}
"""Signs of the cytogenetic nomenclature (ISCN) before a chromosome."""

AT_A_LOCUS = {
    "monosomy": "deletion",
    "microdeletion": "deletion",
    "trisomy": "duplication",
    "microduplication": "duplication",
    "tetrasomy": "triplication",
    "terminal": "distal",
    "telomeric": "distal",
    "subtelomeric": "distal",
}
"""Wordings that mean one thing where an arm or band is named: a missing or an extra piece of it."""

_EQUIVALENT = """
deafness | hearing loss | hearing impairment
intellectual disability | mental retardation | intellectual deficiency | intellectual deficit | mental deficiency
intellectual disability | intellectual developmental | impaired intellectual development
developmental delay | psychomotor delay | developmental retardation | psychomotor retardation
epilepsy | seizure
keratoderma | hyperkeratosis
glycogenosis | glycogen storage | gsd
cdg | congenital glycosylation | carbohydrate deficient glycoprotein
sex development | sex differentiation | dsd
dwarfism | dysplasia
neuroma | neurinoma | schwannoma | neurilemmoma
tumor | neoplasm
cancer | malignant tumor | malignant neoplasm | malignancy
anomaly | abnormality | malformation
agenesis | aplasia | absence
insufficiency | failure
deficiency | deficit
insensitivity | resistance
hereditary | inherited | familial | genetic
classic | classical
infantile | infancy
childhood | pediatric
myelogenous | myeloid
lymphocytic | lymphoblastic
erythrocyte | red cell
leukocyte | white cell
platelet | thrombocyte
bleeding | hemorrhagic | hemorrhage
stroke | cerebral infarction | brain infarction
infarct | infarction
clot | thrombosis
paraplegia | paraparesis
hemiplegia | hemiparesis
tetraplegia | quadriplegia
palsy | paralysis
kidney | renal
liver | hepatic
heart | cardiac
lung | pulmonary
brain | cerebral
eye | ocular
skin | cutaneous
muscle | muscular
bone | osseous
tooth | dental
ear | otic
nerve | neural
stomach | gastric
bowel | intestinal | intestine
bladder | vesical
spleen | splenic
breast | mammary
ovary | ovarian
uterus | uterine
cervix | cervical
testis | testicular
pituitary | hypophyseal
adrenal | suprarenal
thymus | thymic
pancreas | pancreatic
esophagus | esophageal
larynx | laryngeal
artery | arterial
vein | venous
vessel | vascular
joint | articular
stone | calculus | lithiasis
overgrowth | gigantism
mitochondrial dna | mtdna
cobalamin | vitamin b12
pyridoxine | vitamin b6
growth hormone | gh
lh | luteinizing hormone
fsh | follicle stimulating hormone
tsh | thyroid stimulating hormone
acth | adrenocorticotropic hormone
scid | severe combined immunodeficiency
related | associated | mutation | caused
myoclonic | myoclonus
dystonic | dystonia
ataxic | ataxia
spastic | spasticity
hypotonic | hypotonia
cystic | cyst
hydrocephaly | hydrocephalus
eosinophilia | eosinophilic
hydatidiform mole | molar pregnancy
rupture | perforation
gallstone | cholelithiasis
kidney stone | nephrolithiasis | renal calculus
hypertension | high blood pressure
heart attack | myocardial infarction
nephroblastoma | wilms tumor
hodgkin lymphoma | hodgkin disease
liver cell carcinoma | hepatocellular carcinoma
"""
EQUIVALENT = tuple(
    (tuple(sorted(left)), tuple(sorted(right)))
    for line in _EQUIVALENT.strip().splitlines()
    for left in _phrases(line)
    for right in _phrases(line)
    if left != right
)
"""Phrases (their words sorted) that name one thing; taken in pairs as they stand, never chained."""

NEURODEVELOPMENTAL = word_set(
    "neurodevelopmental developmental development encephalopathy epileptic epilepsy seizure intellectual disability "
    "delay retardation cognitive impairment"
)
"""What the names of a gene's neurodevelopmental disease are made of."""

NOISE = word_set("related associated caused mutation gene human rare")
"""Words that one of two names may hold alone."""

NOISE_BESIDE_NUMBER = NOISE | word_set(
    "hereditary familial inherited genetic "
    "autosomal dominant recessive primary isolated syndromic nonsyndromic idiopathic classic "
    "severe lethal fatal progressive"
)
"""The same where both names carry one series number, which settles these ("spastic paraplegia 4")."""

SOFT_HEADS = word_set("sequence complex association anomaly malformation spectrum dwarfism dysostosis phenotype triad")
"""Nouns that stand in for "syndrome" at the end of a name ("Pierre Robin sequence")."""

INFLECTIONS = (
    "ical", "ular", "ians", "ans", "osa", "ous", "ary", "ing", "ian", "ic", "al", "ar", "ed", "us", "um", "ia", "ly",
    "is", "y", "a", "e",
)  # fmt: skip
"""Endings that turn a word about, not its meaning ("myotonia", "myotonic"); the longest are tried first."""

UNSPELLED = word_set("coa")
"""Words that abbreviations pass over ("MCAD": medium-chain acyl-CoA dehydrogenase)."""
