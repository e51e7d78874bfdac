"""How long ``dz analyse`` takes on 5,000 cases at 10 checkpoints: the goal is under a minute on two cores.

    python -m benchmarks.behaviour [--cases 5000] [--steps 10] [--workers 2] [--json OUT]

Completions of about 600 characters are made from HPO's findings and diseases; one in a hundred slips into another
language, one in fifty loops, one in ten copies the case.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import sys
import tempfile
import time
from pathlib import Path

from diagnosis_zero import records
from diagnosis_zero.behaviour.analyse import analyse
from diagnosis_zero.cases.hpo import load_hpo, read_annotations
from diagnosis_zero.parsing import parse
from diagnosis_zero.types import Answer, Case

SLIPS = (
    "Der Patient leidet an einer seltenen Krankheit.",
    "因此考虑法布里病。",
    "El paciente tiene fiebre y dolor.",
    "Le diagnostic le plus probable est une maladie rare.",
)


def write_run(folder: Path, cases: int, steps: int, rng: random.Random) -> None:
    """A run folder of ``cases`` cases answered at ``steps`` checkpoints."""
    findings = [term.label.lower() for term in load_hpo().terms.values()]
    diseases = sorted({row.disease_name for row in read_annotations()})
    made = (_case(number, rng.sample(findings, 8), rng.choice(diseases)) for number in range(cases))
    records.write_jsonl(folder / "cases.jsonl", made)
    for step in range(steps):
        asked = records.read_jsonl(folder / "cases.jsonl", Case)  # not held: the memory is of the analysis
        answers = (_answer(case, step, findings, diseases, rng) for case in asked)
        records.write_jsonl(folder / f"step-{step:06d}" / "answers.jsonl", answers)


def _case(number: int, findings: list[str], disease: str) -> Case:
    text = f"A {20 + number % 60}-year-old patient presented with {', '.join(findings)}. There was no fever."
    return Case(f"case-{number}", "benchmark", f"case-{number}", text, (disease,))


def _answer(case: Case, step: int, findings: list[str], diseases: list[str], rng: random.Random) -> Answer:
    first, second, last = rng.sample(diseases, 3)
    think = (
        f"The patient has {rng.choice(findings)} and {rng.choice(findings)}, which suggests {first}. However, the "
        f"absence of {rng.choice(findings)} speaks against it, and {second} would not explain the course. Wait, the "
        f"{rng.choice(findings)} is a key finding here. Taken together with {rng.choice(findings)}, the most likely "
        f"diagnosis is {last}, although laboratory tests and imaging would be needed to be sure of it."
    )
    if rng.random() < 0.1:
        think = case.text + " " + think
    if rng.random() < 0.02:
        think += " So it is clear." * 8
    after = f" {rng.choice(SLIPS)}" if rng.random() < 0.01 else ""
    text = f"<think>{think}</think>\n<answer>{last}</answer>{after}"
    parsed = parse(text)
    return Answer(
        case.id, "m", step, 0, text, parsed.think, parsed.answer, parsed.faults, "stop", len(text) // 4, case.names
    )  # fmt: skip


def peak_mb(whose: int) -> float:
    """Most resident memory so far."""
    peak = resource.getrusage(whose).ru_maxrss  # KiB, on macOS bytes
    return peak / (1 << 20 if sys.platform == "darwin" else 1 << 10)


def main() -> None:
    """Make the run, analyse it, print the seconds and the memory."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--cases", type=int, default=5000)
    options.add_argument("--steps", type=int, default=10)
    options.add_argument("--workers", type=int, default=2)
    options.add_argument("--json", type=Path)
    given = options.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder)
        write_run(run / "evaluations", given.cases, given.steps, random.Random(0))
        start = time.perf_counter()
        before = peak_mb(resource.RUSAGE_SELF)
        analyse(run, workers=given.workers)
        seconds = time.perf_counter() - start
    completions = given.cases * given.steps
    found = {
        "completions": completions,
        "workers": given.workers,
        "seconds": round(seconds, 1),
        "per_second": round(completions / seconds),
        "memory_mb_before": round(before),
        "peak_memory_mb": round(peak_mb(resource.RUSAGE_SELF)),
        "peak_memory_mb_of_a_worker": round(peak_mb(resource.RUSAGE_CHILDREN)),
    }
    print(json.dumps(found))
    if given.json:
        records.write_json(given.json, found)


if __name__ == "__main__":
    main()
