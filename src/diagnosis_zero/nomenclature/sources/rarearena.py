"""RareArena's ``orphanet_hypernym.json``: Orphanet's diseases with their parents and how many diseases each holds.

Layout: [{"Orphanetid": "5", "name", "type", "parents": [{"parent": name, "parent_disease_count": n}]}].
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from diagnosis_zero.errors import InputError
from diagnosis_zero.nomenclature.facts import Below, Fact, Named, Scope
from diagnosis_zero.nomenclature.sources.files import read_json


def read(path: Path) -> Iterator[Fact]:
    """Names and parents of every disease. Raises InputError where the layout is another."""
    rows = read_json(path)
    if not isinstance(rows, list):
        raise InputError("expected a list of diseases", where=path, mend="Is it orphanet_hypernym.json?")
    for position, row in enumerate(rows, start=1):
        try:
            child = f"ORPHA:{row['Orphanetid']}"
            yield Named(child, row["name"], Scope.PREFERRED)
            for parent in row["parents"]:
                count = int(parent["parent_disease_count"])
                yield Below(child, parent["parent"], count, parent_is_name=True)
        except (KeyError, TypeError, ValueError) as error:
            mend = "Each object needs Orphanetid, name and parents (parent, parent_disease_count)."
            raise InputError(f"object {position}: {error!r}", where=path, mend=mend) from error
