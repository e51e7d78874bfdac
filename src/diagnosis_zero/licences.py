"""Licence notes of the case sources and of the models that runs begin from, as their owners state them.

They stand in data manifests, reports and model cards. They are facts to start from, not legal advice.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

CASES: Mapping[str, str] = {
    "rarearena": "RareArena cases: CC BY-NC-SA 4.0 (non-commercial); what is made of them too.",
    "phenopackets": "Phenopacket Store: BSD-3-Clause; cite the publication of each case.",
    "vignettes": "Vignettes: made from the annotations of the Human Phenotype Ontology, unaltered; cite HPO.",
}
"""By ``Case.source``."""

NAMES = "Orphanet names and identifiers: Orphadata, CC BY 4.0."

_RESEARCH = "Qwen Research License (non-commercial)"
_MODELS: tuple[tuple[str, str], ...] = (
    ("tiny", "weights drawn at random, trained by this run alone; no base model"),
    ("smollm2", "Apache-2.0"),
    ("huggingfacetb/smollm2", "Apache-2.0"),
    ("qwen/qwen2.5-3b", _RESEARCH),
    ("qwen/qwen2.5-72b", "Qwen License"),
    ("qwen/qwen2.5", "Apache-2.0"),
    ("qwen/qwen3", "Apache-2.0"),
    ("meta-llama/llama-3.1", "Llama 3.1 Community License (names of derived models begin with Llama)"),
    ("meta-llama/llama-3.2", "Llama 3.2 Community License (names of derived models begin with Llama)"),
    ("meta-llama/llama-3.3", "Llama 3.3 Community License (names of derived models begin with Llama)"),
)
"""By the beginning of the model's id in small letters; the first that fits."""


def of_cases(sources: Iterable[str], stated: str | None = None) -> dict[str, str]:
    """Note by source, in order of name: the one ``stated`` for all, else what is known of each; a source that nothing
    is known of says so."""
    return {source: stated or CASES.get(source) or _unknown(source) for source in sorted(sources)}


def of_model(model: str) -> str:
    """The licence of a base model by its id."""
    for start, licence in _MODELS:
        if model.lower().startswith(start):
            return licence
    return "not known here; it is stated where the model comes from, and holds for what is trained from it"


def _unknown(source: str) -> str:
    return f'Cases of "{source}": no licence was stated when they were prepared; ask those who hold them.'
