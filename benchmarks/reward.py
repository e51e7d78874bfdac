"""Speed and agreement of the reward's name matching, beside the original system's formula.

    python -m benchmarks.reward --catalogue shared.sqlite --pairs name_match.jsonl [--judged judged_pairs.jsonl]

Speed is processor time on one core, both methods in one run, on four loads: every name new ("cold"), new pairs of the
same names, the load of training (500 cases, five epochs of 16 samples, each case with seven answers that the model
gives), and all pairs seen before.
Agreement is on rows of {"prediction", "reference", "judges": {"gpt": bool}}.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import time
from collections.abc import Callable, Sequence
from difflib import SequenceMatcher
from pathlib import Path
from typing import Any

from diagnosis_zero.nomenclature.catalogue import Catalogue
from diagnosis_zero.nomenclature.match import match
from diagnosis_zero.records import read_rows, write_json
from diagnosis_zero.rewards import sequence

Pair = tuple[str, list[str]]
GROUP = 16


def original(prediction: str, references: Sequence[str]) -> bool:
    """The original's formula as it stood: no cache, no short cut."""
    answer = prediction.lower().strip()
    best = 0.0
    for name in (reference.lower().strip() for reference in references):
        if answer == name:
            return True
        ratio = SequenceMatcher(None, answer, name).ratio()
        left, right = set(re.findall(r"\w+", answer)), set(re.findall(r"\w+", name))
        best = max(best, 0.8 * ratio + 0.2 * (len(left & right) / max(1, len(left | right))))
    return best > 0.8


def training_load(pairs: Sequence[Pair], cases: int = 500, epochs: int = 5, seed: int = 0) -> list[Pair]:
    """What a run asks: each case's 16 samples an epoch, drawn from the true answer and six wrong ones of its own."""
    draw = random.Random(seed)
    drawn = draw.sample(pairs, k=cases)
    answers = [[prediction, *(wrong for wrong, _ in draw.sample(pairs, k=6))] for prediction, _ in drawn]
    return [
        (draw.choice(answers[case]), drawn[case][1])
        for _ in range(epochs)
        for case in range(cases)
        for _ in range(GROUP)
    ]


def new_pairs(pairs: Sequence[Pair], seed: int = 0) -> list[Pair]:
    """The same names in other pairs."""
    predictions = [prediction for prediction, _ in pairs]
    random.Random(seed).shuffle(predictions)
    return [(prediction, references) for prediction, (_, references) in zip(predictions, pairs, strict=True)]


def seconds(method: Callable[[str, list[str]], object], pairs: Sequence[Pair]) -> float:
    """Processor time of judging all pairs once."""
    start = time.process_time()
    for prediction, references in pairs:
        method(prediction, references)
    return time.process_time() - start


def speed(pairs: Sequence[Pair], path: Path | None) -> dict[str, dict[str, float]]:
    """Pairs a second of both methods, and their ratio, by load."""
    catalogue = Catalogue.open(path) if path else None
    figures = {
        "every name new": _compared(pairs, catalogue),
        "new pairs of the same names": _compared(new_pairs(pairs), catalogue),
    }
    load = training_load(pairs)
    catalogue = Catalogue.open(path) if path else None
    figures["training"] = _compared(load, catalogue)
    figures["seen before"] = _compared(load, catalogue)
    return figures


def _compared(pairs: Sequence[Pair], catalogue: Catalogue | None) -> dict[str, float]:
    theirs = len(pairs) / seconds(original, pairs)
    ours = len(pairs) / seconds(lambda p, r: match(p, r, catalogue=catalogue), pairs)
    return {"pairs": len(pairs), "original_per_s": theirs, "ontology_per_s": ours, "ratio": ours / theirs}


def agreement(said: Sequence[bool], scores: Sequence[float], gold: Sequence[bool]) -> dict[str, float]:
    """Accuracy, Cohen's kappa, precision, recall and the area under the ROC curve of a judge against another."""
    count, yes, true = len(gold), sum(said), sum(gold)
    agreed = sum(a == b for a, b in zip(said, gold, strict=True)) / count
    chance = (true * yes + (count - true) * (count - yes)) / count**2
    hits = sum(a and b for a, b in zip(said, gold, strict=True))
    right = [score for score, g in zip(scores, gold, strict=True) if g]
    wrong = [score for score, g in zip(scores, gold, strict=True) if not g]
    above = sum((a > b) + 0.5 * (a == b) for a in right for b in wrong)
    return {
        "rows": count,
        "accuracy": agreed,
        "kappa": (agreed - chance) / (1 - chance),
        "precision": hits / max(1, yes),
        "recall": hits / true,
        "auc": above / (len(right) * len(wrong)),
    }


def judged(rows: Sequence[dict[str, Any]], path: Path | None) -> dict[str, dict[str, float]]:
    """Agreement of both methods with the GPT judge."""
    catalogue = Catalogue.open(path) if path else None
    gold = [bool(row["judges"]["gpt"]) for row in rows]
    figures = {}
    for name, verdicts in (
        ("sequence", [sequence.match(row["prediction"], [row["reference"]]) for row in rows]),
        ("ontology", [match(row["prediction"], [row["reference"]], catalogue=catalogue) for row in rows]),
    ):
        said, scores = [verdict.label == 2 for verdict in verdicts], [verdict.score for verdict in verdicts]
        figures[name] = agreement(said, scores, gold)
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--catalogue", type=Path, help="made by `dz catalogue build`; none without")
    parser.add_argument("--pairs", type=Path, required=True)
    parser.add_argument("--judged", type=Path)
    parser.add_argument("--json", type=Path)
    chosen = parser.parse_args()
    pairs = [(row["prediction"], row["references"]) for _, row in read_rows(chosen.pairs)]
    figures: dict[str, Any] = {"speed": speed(pairs, chosen.catalogue)}
    if chosen.judged:
        rows = [row for _, row in read_rows(chosen.judged) if row["judges"].get("gpt") is not None]
        figures["judged"] = judged(rows, chosen.catalogue)
    if chosen.json:
        write_json(chosen.json, figures)
    print(json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()
