"""Make small run folders through the project's own record types."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from diagnosis_zero import records
from diagnosis_zero.types import Answer, Case, Finding, Verdict

DISEASES = ("Marfan syndrome", "Fabry disease", "Wilson disease", "Pompe disease", "Alport syndrome")
FINDINGS = ("Ectopia lentis", "Angiokeratoma", "Hepatomegaly", "Muscle weakness", "Hematuria")
ORPHA = ("ORPHA:558", "ORPHA:324", "ORPHA:905", "ORPHA:365", "ORPHA:63")

RECIPE = """
[run]
name = "demo"
[model]
id = "tiny"
[data.vignettes]
cases = 400
diseases = 5
[reward]
method = "sequence"
[train]
objective = "grpo"
"""


def case(number: int, **changed: object) -> Case:
    d = number % len(DISEASES)
    given: dict[str, object] = {
        "id": f"PMC{1000 + number}-1",
        "source": "rarearena",
        "source_id": f"PMC{1000 + number}",
        "text": f"A {20 + number % 50}-year-old patient had {FINDINGS[d].lower()} and fatigue. No fever.",
        "names": (DISEASES[d], DISEASES[d].upper()),
        "ids": (ORPHA[d],),
        "age": f"P{20 + number % 50}Y",
        "sex": "female" if number % 2 else "male",
        "findings": (Finding(f"HP:000{d}", FINDINGS[d]), Finding("HP:0001945", "Fever", excluded=True)),
    }
    return Case(**{**given, **changed})  # type: ignore[arg-type]


def answer(of: Case, step: int, said: str | None, sample: int = 0, text: str | None = None) -> Answer:
    think = f"The patient has {of.findings[0].label.lower()}, which suggests {said or 'little'}."
    whole = f"<think>{think}</think>\n<answer>{said}</answer>" if said else think
    return Answer(
        case_id=of.id,
        model="tiny",
        step=step,
        sample=sample,
        text=whole if text is None else text,
        think=think if said else None,
        answer=said,
        faults=() if said else ("answer_missing",),
        finish="stop",
        tokens=len(whole.split()),
        references=of.names,
        reference_ids=of.ids,
        source_id=of.source_id,
    )


def verdict(of: Answer, judge: str = "sequence") -> Verdict:
    right = of.answer is not None and of.answer.lower() in [name.lower() for name in of.references]
    label = 2 if right else 0
    return Verdict(of.case_id, of.sample, of.step, judge, label, float(right), "exact" if right else "none",
                   matched_id=of.reference_ids[0] if right else None)  # fmt: skip


def write_evaluation(folder: Path, answers: Sequence[Answer]) -> None:
    records.write_jsonl(folder / "answers.jsonl", answers)
    records.write_jsonl(folder / "verdicts.jsonl", [verdict(a) for a in answers])


def write_run(
    folder: Path, *, cases: int = 40, steps: Sequence[int] = (0, 100, 200), rise: float = 0.3, seed: int = 0
) -> Path:
    """A run whose share right starts at 0.2 and grows by ``rise`` in all."""
    rng = random.Random(seed)
    made = [case(number) for number in range(cases)]
    folder.mkdir(parents=True)
    records.write_jsonl(folder / "evaluations" / "cases.jsonl", made)
    luck = [rng.random() for _ in made]
    for index, step in enumerate(steps):
        share = 0.2 + rise * index / max(1, len(steps) - 1)
        answers = [answer(c, step, _said(c, lucky < share, rng)) for c, lucky in zip(made, luck, strict=True)]
        write_evaluation(folder / "evaluations" / f"step-{step:06d}", answers)
    write_metrics(folder, max(steps), rng)
    write_rollouts(folder, made)
    records.write_json(folder / "manifest.json", records.provenance() | {"seed": seed})
    (folder / "config.toml").write_text(RECIPE)
    return folder


def _said(of: Case, right: bool, rng: random.Random) -> str | None:
    if right:
        return of.names[0]
    return rng.choice([*(d for d in DISEASES if d != of.names[0]), None])


def write_metrics(folder: Path, steps: int, rng: random.Random) -> None:
    rows: list[dict[str, object]] = []
    for step in range(1, steps + 1):
        done = step / steps
        rows.append(
            {
                "step": step,
                "kind": "train",
                "reward/mean": 0.2 + 0.4 * done + rng.gauss(0, 0.05),
                "reward/std": 0.3,
                "reward/accuracy": 0.1 + 0.4 * done + rng.gauss(0, 0.05),
                "reward/format": 0.1 + rng.gauss(0, 0.005),
                "length/mean": 200 - 80 * done + rng.gauss(0, 8),
                "length/max": 256,
                "length/truncated": 0.02,
                "format/well_formed": 0.8 + 0.1 * done,
                "format/answer_missing": 0.2 - 0.1 * done,
                "groups/zero_variance": 0.3,
                "policy/entropy": 1.2 - 0.6 * done,
                "policy/kl": 0.02 * done,
                "policy/grad_norm": 0.5 + rng.random() * 0.1,
                "policy/clip_fraction": 0.0,
                "time/step": 2.0,
            }
        )
        if step % 20 == 0:
            rows.append({"step": step, "kind": "val", "val/accuracy": 0.2 + 0.3 * done, "val/reward": 0.3})
    rows.append({"step": steps // 2, "kind": "event", "event": "guard", "message": "entropy fell by half"})
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def write_rollouts(folder: Path, cases: Sequence[Case]) -> None:
    rows = [
        {
            "step": 1,
            "case_id": c.id,
            "sample": sample,
            "text": f"<think>Sample {sample}.</think><answer>{c.names[0]}</answer>",
            "finish": "stop",
            "tokens": 9,
            "score": 1.1,
            "advantage": 0.5,
            "part_accuracy": 1.0,
            "part_format": 0.1,
            "answer": c.names[0],
            "think": f"Sample {sample}.",
            "faults": [],
            "rule": "exact",
        }
        for c in cases[:2]
        for sample in range(4)
    ]
    (folder / "rollouts").mkdir()
    pq.write_table(pa.Table.from_pylist(rows), folder / "rollouts" / "step-000001.parquet")
