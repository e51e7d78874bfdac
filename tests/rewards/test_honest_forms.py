"""An honest answer loses nothing by the way it is written."""

from __future__ import annotations

import random
import re
from collections.abc import Callable

import pytest
from honest_texts import HONEST

from diagnosis_zero.parsing import render
from diagnosis_zero.types import Case, RewardFn

RewardWith = Callable[[str | None], RewardFn]

FORMS = {
    "plain": "{name}",
    "lower case": "{lower}",
    "capitals": "{upper}",
    "full stop": "{name}.",
    "exclamation": "{name}!",
    "semicolon": "{name};",
    "blanks": "   {name}  ",
    "lines": "\n{name}\n",
    "no-break spaces": "{nbsp}",
    "other dashes": "{dashes}",
    "bold": "**{name}**",
    "italic": "*{name}*",
    "underscores": "_{name}_",
    "code": "`{name}`",
    "heading": "### {name}",
    "html": "<b>{name}</b>",
    "quotes": '"{name}"',
    "curly quotes": "“{name}”",
    "bullet": "- {name}",
    "round bullet": "• {name}",
    "dash before": "– {name}",
    "number": "1. {name}",
    "latex": "\\boxed{{{name}}}",
    "latex text": "\\boxed{{\\text{{{name}}}}}",
    "json": '{{"diagnosis": "{name}"}}',
    "diagnosis": "Diagnosis: {name}",
    "final diagnosis": "Final diagnosis: {name}",
    "most likely": "Most likely diagnosis: {name}",
    "bold lead-in": "**Most likely diagnosis:** {name}",
    "bold all": "**Diagnosis: {name}**",
    "answer": "Answer: {name}",
    "sentence": "The most likely diagnosis is {name}.",
    "my final": "My final diagnosis is {name}.",
    "patient has": "The patient has {name}.",
    "patient likely has": "The patient most likely has {name}.",
    "this is": "This is {name}.",
    "I believe": "I believe this is {name}.",
    "conclusion": "In conclusion, this is {name}.",
    "case of": "A case of {name}",
    "consistent": "Consistent with {name}",
    "likely": "Likely {name}",
    "probable": "Probable {name}",
    "suspected": "Suspected {name}",
    "confidence": "{name} (high confidence)",
    "most likely behind": "{name} (most likely)",
    "is the": "{name} is the most likely diagnosis.",
    "confirmed": "{name}, confirmed by genetic testing",
    "confirmed, no comma": "{name} confirmed by genetic testing",
    "confirmed in brackets": "{name} (confirmed by genetic testing)",
    "confirmed behind a dash": "{name} — confirmed by genetic testing",
    "based on": "{name}, based on the clinical findings",
    "given": "{name}, given the clinical picture",
    "because": "{name} because the findings fit it best",
    "family history supports": "{name}, supported by the family history",
    "as evidenced": "{name}, as evidenced by the course",
    "reason on a new line": "{name}\n\nThe findings described above support this.",
    "reason as a sentence": "{name}. The course and the findings support this.",
    "in a patient": "{name}, in a 12-year-old boy",
    "orpha": "{name} (ORPHA:558)",
    "orpha, spaced": "{name} (ORPHA: 558)",
    "orpha code": "{name} (Orphanet code 558)",
    "omim": "{name} (OMIM 154700)",
    "omim in square brackets": "{name} [OMIM #154700]",
    "omim behind a comma": "{name}, OMIM 154700",
    "icd": "{name} (ICD-10: Q87.4)",
    "dx": "Dx: {name}",
    "disease name": "Disease name: {name}",
    "working diagnosis": "Working diagnosis - {name}",
    "condition": "The condition is {name}",
    "he has": "He has {name}.",
    "patient with": "Patient with {name}",
    "best guess": "My best guess is {name}",
    "arrow": "→ {name}",
    "for this patient": "The most likely diagnosis for this patient is {name}.",
    "reasons first": "Based on the findings, the most likely diagnosis is {name}.",
    "given first": "Given the course and the findings, the diagnosis is {name}.",
    "clinical picture": "The clinical picture is most consistent with {name}.",
    "heading above": "## Diagnosis\n{name}",
    "confirmed before": "Genetically confirmed {name}",
    "confirmed behind": "{name}, genetically confirmed",
    "percent": "{name} (95%)",
    "confidence, colon": "{name}; confidence: high",
    "final": "{name} (final diagnosis)",
    "explains": "{name} best explains the findings",
    "likely behind a dash": "{name} – likely",
    "certainly": "Almost certainly {name}",
    "code before": "ORPHA:558 - {name}",
    "mondo": "{name} (MONDO:0007947)",
    "said twice": "{name} ({name})",
}

REAL_NAMES = [
    "Renal hypodysplasia/aplasia 1",
    "Amyotrophic lateral sclerosis and/or frontotemporal dementia 1",
    "Mucolipidosis II alpha/beta",
    "Lecithin:cholesterol acyltransferase deficiency",
    "Migraine with or without aura, susceptibility to, 5",
    "Acrodysostosis 1, with or without hormone resistance",
    "Hypogonadotropic hypogonadism 27 without anosmia",
    "Coloboma, ocular, with or without hearing impairment, cleft lip/palate, and/or mental retardation",
    "Huntington disease-like 2",
    "Wolfram-like syndrome, autosomal dominant",
    "Classical-like Ehlers-Danlos syndrome type 2",
    "Ichthyosis, hystrix-like, with deafness",
    "Autosomal dominant hyperinsulinism due to Kir6.2 deficiency",
    "Kleefstra syndrome due to a point mutation",
    "Mendelian susceptibility to mycobacterial diseases due to partial IRF8 deficiency",
    "Epilepsy, hearing loss, and mental retardation syndrome",
    "Developmental delay, impaired speech, and behavioral abnormalities",
    "Muscular dystrophy, limb-girdle, autosomal recessive 26",
    "Muscular dystrophy-dystroglycanopathy (congenital with impaired intellectual development), type B, 2",
    "Peroxisome biogenesis disorder 13A (Zellweger)",
    "1q21.1 recurrent microdeletion (susceptibility locus for neurodevelopmental disorders)",
    "Bleeding disorder in hemophilia A carriers",
    "Pelizaeus-Merzbacher disease in female carriers",
    "Symptomatic form of fragile X syndrome in female carriers",
    "Familial Mediterranean fever, AR",
    "Non-syndromic metopic craniosynostosis",
    "T-B+ severe combined immunodeficiency due to CD3delta/CD3epsilon/CD3zeta",
    "Thalassemia, beta+, silent allele",
    "Non-specific syndromic intellectual disability",
    "Very long chain acyl-CoA dehydrogenase deficiency",
    "Primary ciliary dyskinesia",
    "Glycogen storage disease not otherwise specified",
    "Congenital disorder of glycosylation without intellectual disability",
    "Not X-linked Charcot-Marie-Tooth disease",
    "Guillain-Barré syndrome",
    "α-thalassemia-X-linked intellectual disability syndrome",
    "Sjögren-Larsson syndrome",
    "46,XX ovotesticular difference of sex development",
    "3-methylglutaconic aciduria type 1",
    "May-Hegglin anomaly",
    "Facioscapulohumeral dystrophy or scapuloperoneal syndrome",
    "X-linked intellectual disability - hypotonia - facial dysmorphism",
    "Hereditary hemorrhagic telangiectasia (Rendu-Osler-Weber)",
]

OTHER_FORMS = [
    # (accepted names, answer)
    (["Marfan syndrome"], "Marfan's syndrome"),
    (["Marfan syndrome"], "Marfan syndrome (MFS)"),
    (["Marfan syndrome"], "Marfan syndrome (MFS1)"),
    (["Marfan syndrome"], "Marfan syndrome; MFS"),
    (["Marfan syndrome"], "MFS (Marfan syndrome)"),
    (["Marfan syndrome"], "Marfan syndrome (FBN1)"),
    (["Marfan syndrome"], "Marfan syndrome (FBN1 mutation)"),
    (["Marfan syndrome"], "Marfan syndrome due to a heterozygous FBN1 variant"),
    (["Marfan syndrome"], "Marfan syndrome caused by a pathogenic variant in the FBN1 gene"),
    (["Marfan syndrome"], "Marfan syndrome, also known as Marfan's disease"),
    (["Marfan syndrome"], "Marfan syndrome, a genetic disorder of connective tissue"),
    (["Marfan syndrome"], "Marfan syndrome (fulfils the revised Ghent criteria)"),
    (["Marfan syndrome"], "Marfan syndrome - FBN1 mutation confirmed"),
    (["Marfan syndrome"], "Marfan syndrome. This disorder explains the lens, the aorta and the stature."),
    (["Mucopolysaccharidosis type 2", "Hunter syndrome"], "Hunter syndrome (mucopolysaccharidosis type II)"),
    (["Mucopolysaccharidosis type 2", "Hunter syndrome"], "Mucopolysaccharidosis type II (Hunter syndrome)"),
    (["Mucopolysaccharidosis type 2", "Hunter syndrome"], "MPS II (Hunter syndrome)"),
    (["Mucopolysaccharidosis type 2", "Hunter syndrome"], "Hunter syndrome, also known as mucopolysaccharidosis II"),
    (["Mucopolysaccharidosis type 2", "Hunter syndrome"], "Hunter syndrome / mucopolysaccharidosis type 2"),
    (["Mucopolysaccharidosis type 2", "Hunter syndrome"], "Hunter syndrome or mucopolysaccharidosis type II"),
    (["Mucopolysaccharidosis type 2", "Hunter syndrome"], "Hunter syndrome = mucopolysaccharidosis type II"),
    (["Pompe disease"], "Pompe disease (formerly called glycogen storage disease type II)"),
    (["Pompe disease"], "Pompe disease, a.k.a. acid maltase deficiency"),
    (["Myotonic dystrophy type 1"], "Myotonic dystrophy type 1 (DM1)"),
    (["Amyotrophic lateral sclerosis"], "Amyotrophic lateral sclerosis (ALS)"),
    (["Guillain-Barré syndrome"], "Guillain-Barre syndrome"),
    (["Duchenne muscular dystrophy"], "Muscular dystrophy, Duchenne type"),
    (["Mucopolysaccharidosis type 2"], "Mucopolysaccharidosis, type II."),
]  # fmt: skip


def accuracy(reward: RewardFn, answer: str, names: list[str], ids: tuple[str, ...] = ()) -> float:
    case = Case(id="1", source="test", source_id="1", text="A patient.", names=tuple(names), ids=ids)
    found = reward(render("The findings fit.", answer), case)
    assert found.parts["format"] == 1.0
    return found.parts["accuracy"]


def written(form: str, name: str) -> str:
    return form.format(
        name=name,
        lower=name.lower(),
        upper=name.upper(),
        nbsp=name.replace(" ", "\u00a0"),
        dashes=re.sub(r"(?<=\w)-(?=\w)", "\u2010", name),
    )


@pytest.mark.parametrize("catalogue", [None, "default"])
@pytest.mark.parametrize("form", FORMS)
def test_forms(form: str, catalogue: str | None, reward_with: RewardWith) -> None:
    answer = written(FORMS[form], "Marfan syndrome")
    assert accuracy(reward_with(catalogue), answer, ["Marfan syndrome"]) == 1.0


@pytest.mark.parametrize("catalogue", [None, "default"])
@pytest.mark.parametrize(
    "name", ["Marfan syndrome", "Cystinosis", "Charcot-Marie-Tooth disease type 1A", "Renal hypodysplasia/aplasia 1"]
)
def test_more_forms(name: str, catalogue: str | None, reward_with: RewardWith) -> None:
    reward = reward_with(catalogue)
    assert [form for form in HONEST if accuracy(reward, form.format(name=name), [name]) != 1.0] == []


@pytest.mark.parametrize("catalogue", [None, "default"])
@pytest.mark.parametrize("name", REAL_NAMES)
def test_names_that_hold_what_would_be_cut(name: str, catalogue: str | None, reward_with: RewardWith) -> None:
    reward = reward_with(catalogue)
    assert [form for form in FORMS if accuracy(reward, written(FORMS[form], name), [name]) != 1.0] == []


@pytest.mark.parametrize("catalogue", [None, "default"])
@pytest.mark.parametrize(("names", "answer"), OTHER_FORMS)
def test_other_forms(names: list[str], answer: str, catalogue: str | None, reward_with: RewardWith) -> None:
    assert accuracy(reward_with(catalogue), answer, names) == 1.0


@pytest.mark.parametrize("catalogue", [None, "default"])
def test_drawn_diseases(catalogue: str | None, reward_with: RewardWith, hpo_diseases: list[tuple[str, str]]) -> None:
    """Every form on 20 diseases drawn from HPO, most of them with names that hold a word or mark of trouble."""
    draw, reward = random.Random(0), reward_with(catalogue)
    troubled = [row for row in hpo_diseases if re.search(r"/|\(|:|\bor\b|\band\b|without|due to|-like|carrier", row[1])]
    lost = []
    for identifier, name in draw.sample(hpo_diseases, 8) + draw.sample(troubled, 12):
        for form, template in FORMS.items():
            if accuracy(reward, written(template, name), [name], (identifier,)) != 1.0:
                lost.append((form, name))
    assert lost == []
