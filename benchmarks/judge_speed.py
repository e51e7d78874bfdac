"""How long 10,000 answers wait for the ontology judge, with the reading and writing of an evaluation folder.

    python -m benchmarks.judge_speed [--catalogue FILE] [--pairs name_match.jsonl] [--json OUT]

The answers are names of diseases of the catalogue, all pairs different: a third the true disease by another of its
names, a third another disease at random, a third a sentence of framing around one of the two. ``--pairs`` takes real
pairs first. Everything starts cold: the catalogue is opened, and no pair has been seen.
"""

from __future__ import annotations

import argparse
import json
import random
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from diagnosis_zero import records
from diagnosis_zero.evaluate.run import judge_folder
from diagnosis_zero.nomenclature.catalogue import Catalogue, default_catalogue
from diagnosis_zero.types import Answer

ANSWERS = 10_000


def made_up(catalogue: Catalogue, seed: int = 0) -> Iterator[tuple[str, str]]:
    """(answer, true name) without end."""
    draw = random.Random(seed)
    diseases = [number for number, grouping in catalogue.entries() if not grouping]
    while True:
        true, other = draw.sample(diseases, 2)
        names = [name for scope in catalogue.names(true).values() for name in scope]
        wrong = catalogue.entry(other).name
        said = draw.choice((draw.choice(names), wrong, f"The most likely diagnosis is {draw.choice([*names, wrong])}."))
        yield said, catalogue.entry(true).name


def real(path: Path) -> Iterator[tuple[str, str]]:
    """Pairs of a file of predictions and references."""
    for _, row in records.read_rows(path):
        yield row["prediction"], row["references"][0]


def answers(catalogue: Catalogue, pairs: Path | None) -> list[Answer]:
    """``ANSWERS`` distinct ones."""
    found = dict.fromkeys(real(pairs) if pairs else ())
    for pair in made_up(catalogue):
        if len(found) >= ANSWERS:
            break
        found.setdefault(pair)
    return [
        Answer(f"case-{i}", "model", 0, 0, "", None, said, (), "stop", 1, (true,))
        for i, (said, true) in enumerate(list(found)[:ANSWERS])
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--catalogue", default="default", help="default, or a file made by `dz catalogue build`")
    parser.add_argument("--pairs", type=Path)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    opened = default_catalogue() if given.catalogue == "default" else Catalogue.open(given.catalogue)
    asked = answers(opened, given.pairs)
    with tempfile.TemporaryDirectory() as scratch:
        wall, processor = time.perf_counter(), time.process_time()
        summary = judge_folder(Path(scratch), asked, judge="ontology", catalogue=given.catalogue)
        wall, processor = time.perf_counter() - wall, time.process_time() - processor
    assert summary.unscored == 0
    result: dict[str, Any] = {
        "answers": len(asked),
        "catalogue": {key: opened.meta()[key] for key in ("diseases", "names")},
        "seconds": round(wall, 2),
        "processor seconds": round(processor, 2),
    }
    print(json.dumps(result, indent=2))
    if given.json:
        records.write_json(given.json, result)


if __name__ == "__main__":
    main()
