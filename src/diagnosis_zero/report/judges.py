"""How far the judges of an evaluation agree, where more than one was asked."""

from __future__ import annotations

from diagnosis_zero.evaluate.judge_audit import Pair, agreements
from diagnosis_zero.report.load import Evaluation, Run
from diagnosis_zero.report.tables import Column, Table


def table(run: Run) -> Table:
    """One row for every two judges that saw the same answers, of all steps; no rows where there was one judge."""
    pairs = [pair for one in (*run.evaluations, *run.sampled) for pair in _pairs(one)]
    rows = tuple((f"{one.first} against {one.second}", one.n, one.agreement, one.kappa) for one in agreements(pairs))
    columns = (
        Column("judges", "Judges"),
        Column("n", "Answers", "count"),
        Column("alike", "Same label", "percent"),
        Column("kappa", "Cohen's kappa", "number"),
    )
    note = (
        "On the labels 0, 1, 2, over all steps; 95 % intervals, clustered by case. Kappa: 0 is chance, 1 always alike."
    )
    return Table(f"judges-{run.name}", f"Do the judges agree? {run.name}", columns, rows, note)


def _pairs(evaluation: Evaluation) -> list[Pair]:
    if len(evaluation.verdicts) < 2:
        return []
    return [
        Pair(answer.case_id, answer.case_id, evaluation.run, answer.answer or "", answer.references, labels)
        for answer in evaluation.answers
        if (labels := _labels(evaluation, answer.case_id, answer.sample))
    ]


def _labels(evaluation: Evaluation, case_id: str, sample: int) -> dict[str, int | None]:
    found = {judge: said.get((case_id, sample)) for judge, said in evaluation.verdicts.items()}
    return {judge: verdict.label for judge, verdict in found.items() if verdict is not None}
