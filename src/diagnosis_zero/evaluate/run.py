"""One evaluation, from cases to ``summary.json``: ask, judge, count.

An evaluation is a folder; each file in it can be made again from the one before:
``evaluation.json`` (the settings), ``answers.jsonl``, ``verdicts.jsonl`` (on the first diagnosis of each
answer), ``ranked.jsonl`` (on all five, when a list was asked for), ``summary.json``. The cases stand beside
the folder; ``judge.json`` says who judged. When another judge is asked later, the verdicts of the one before stay as
``verdicts.JUDGE.jsonl``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from diagnosis_zero import records
from diagnosis_zero.errors import InputError
from diagnosis_zero.evaluate.answers import Progress, Question, collect
from diagnosis_zero.evaluate.judge import Judge, Named, by_name, judge_answers
from diagnosis_zero.evaluate.protocol import named
from diagnosis_zero.evaluate.replies import Streaming
from diagnosis_zero.evaluate.summary import Judged, Summary, summarise
from diagnosis_zero.evaluate.target import slug
from diagnosis_zero.types import Answer, Case, Generator, Label, SamplingParams, Verdict


@dataclass(frozen=True, slots=True)
class Ranked:
    """The diagnoses that one answer ranks, with the label of each (None: unscored)."""

    case_id: str
    sample: int
    step: int
    judge: str
    names: tuple[str, ...]
    labels: tuple[Label | None, ...]


def evaluate(
    generator: Generator | Streaming,
    cases: Sequence[Case],
    out: Path,
    *,
    model: str,
    step: int,
    template: str,
    params: SamplingParams,
    n: int = 1,
    top: int = 1,
    judge: str | tuple[str, Judge] = "sequence",
    catalogue: Path | str | None = None,
    think_opened: bool = False,
    weights: str = "",
    progress: Progress | None = None,
) -> Summary:
    """Ask the model about every case, judge what it says, and write all of it into ``out``.

    Args:
        template: the text of the prompt template (``prompts.load_template``).
        n: answers to each case. With temperature 0 more than one is refused: they would be alike.
        top: 1, or 5 for a template that asks for a ranked list.
        judge: "ontology", "sequence", or a judge of one's own with its name.
        catalogue: for the ontology: a file, "default", or None for the words of the names alone. With a judge of
            one's own it is only noted.
        weights: tells the weights of one run's step from another's, where ``out`` is not of a single run.

    Raises:
        InputError: ``out`` was begun with other settings, or the settings cannot go together.
    """
    if n > 1 and params.temperature == 0:
        raise InputError(f"{n} samples at temperature 0 are all alike", mend="Set a temperature, or n to 1.")
    out.mkdir(parents=True, exist_ok=True)
    question = Question(model, step, template, params, think_opened, weights)
    answers = collect(generator, cases, out, question, n=n, progress=progress)
    keep_cases(out.parent / "cases.jsonl", cases)
    return judge_folder(out, answers, judge=judge, catalogue=catalogue, n=n, top=top, cases=cases)


def judge_folder(
    out: Path,
    answers: Sequence[Answer],
    *,
    judge: str | tuple[str, Judge],
    catalogue: Path | str | None = None,
    n: int = 1,
    top: int = 1,
    cases: Sequence[Case] = (),
) -> Summary:
    """Judge answers at hand; writes the verdicts and the summary."""
    label, judging = (judge, by_name(judge, catalogue)) if isinstance(judge, str) else judge
    items = [Named(answer, named(answer.answer, top)) for answer in answers]
    verdicts = judge_answers(judging, label, items)
    _keep_other_judge(out, {found[0].judge for found in verdicts})
    records.write_jsonl(out / "verdicts.jsonl", (found[0] for found in verdicts))
    records.write_json(out / "judge.json", {"judge": label, "catalogue": _identity(label, catalogue)})
    if top > 1:
        lists = (
            Ranked(item.answer.case_id, item.answer.sample, item.answer.step, label, item.names, labels)
            for item, found in zip(items, verdicts, strict=True)
            for labels in [tuple(verdict.label for verdict in found) if item.names else ()]
        )
        records.write_jsonl(out / "ranked.jsonl", lists)
    judged = [Judged(answer, found) for answer, found in zip(answers, verdicts, strict=True)]
    summary = summarise(judged, samples=n, top=top, judge=label, cases=cases)
    records.write_json(out / "summary.json", records.as_dict(summary))
    return summary


def _keep_other_judge(out: Path, judges: set[str]) -> None:
    path = out / "verdicts.jsonl"
    before = next(records.read_jsonl(path, Verdict), None) if path.is_file() else None
    if before and before.judge not in judges:
        path.replace(out / f"verdicts.{slug(before.judge)}.jsonl")


def _identity(label: str, catalogue: Path | str | None) -> str | None:
    """What tells two catalogues apart; None for judges that look nothing up."""
    if not label.startswith("ontology"):
        return None
    path = Path(catalogue or "none")
    return f"sha256:{records.sha256(path)}" if path.is_file() else path.name


def keep_cases(path: Path, cases: Sequence[Case]) -> None:
    """Keep the evaluated cases beside their evaluations; several evaluations may add to one file.

    Raises:
        InputError: a case of the same id but another content stands there.
    """
    kept = {case.id: case for case in records.read_jsonl(path, Case)} if path.is_file() else {}
    for case in cases:
        if kept.setdefault(case.id, case) != case:
            raise InputError(
                f"case {case.id!r} differs from the one evaluated before",
                where=path,
                mend="Evaluations of different versions of the cases need folders of their own.",
            )
    records.write_jsonl(path, kept.values())
