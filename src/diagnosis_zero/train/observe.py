"""What a step's groups look like: the metrics of a rollout, and the file that keeps every completion."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from statistics import correlation, fmean, pstdev

import pyarrow as pa
import pyarrow.parquet as pq

from diagnosis_zero.parsing import FAULTS, parse
from diagnosis_zero.records import atomic_write
from diagnosis_zero.train.batch import AS_SCORED, Credit, silent_share
from diagnosis_zero.types import Completion, Group, Parsed, Reward, RewardFn


def rollout_metrics(groups: Sequence[Group], think_opened: bool, credit: Credit = AS_SCORED) -> dict[str, float]:
    """Means over the completions of a step (see docs/metrics.md); ``credit`` says which groups teach."""
    rewards = [reward for group in groups for reward in group.rewards]
    scores = [reward.score for reward in rewards]
    return {
        "reward/mean": fmean(scores),
        "reward/std": pstdev(scores),
        **{f"reward/{name}": fmean(r.parts[name] for r in rewards) for name in rewards[0].parts},
        **_form(groups, think_opened),
        "groups/zero_variance": silent_share(groups, credit),
        **_paid_for_accuracy(groups),
    }


def _paid_for_accuracy(groups: Sequence[Group]) -> dict[str, float]:
    """Mean correlation of score and accuracy over the groups in which both vary; nothing where there is none."""
    found = []
    for group in groups:
        scores, accuracy = ([r.score for r in group.rewards], [r.parts["accuracy"] for r in group.rewards])
        if len(set(scores)) > 1 and len(set(accuracy)) > 1:
            found.append(correlation(scores, accuracy))
    return {"groups/paid_for_accuracy": fmean(found)} if found else {}


def resampling_metrics(groups: Sequence[Group], unused: Sequence[Group], credit: Credit) -> dict[str, float]:
    """What dynamic sampling cost, and what it left silent, where it is on. ``groups``: those learnt from."""
    return {
        "groups/drawn": len(groups) + len(unused),
        "groups/still_silent": silent_share(groups, credit),
        "tokens/generated": sum(len(c.token_ids) for group in (*groups, *unused) for c in group.completions),
    }


def _form(groups: Sequence[Group], think_opened: bool) -> dict[str, float]:
    completions = [completion for group in groups for completion in group.completions]
    parsed = [parsed_completion(completion, think_opened) for completion in completions]
    faults = Counter(fault for one in parsed for fault in one.faults)
    lengths = [len(completion.token_ids) for completion in completions]
    return {
        "length/mean": fmean(lengths),
        "length/max": max(lengths),
        "length/truncated": fmean(completion.finish == "length" for completion in completions),
        "format/well_formed": fmean(one.well_formed for one in parsed),
        **{f"format/{fault}": faults[fault] / len(completions) for fault in FAULTS if faults[fault]},
        "tokens/generated": sum(lengths),
        "text/repetition": fmean(_repeated(completion.token_ids) for completion in completions),
    }


def _repeated(tokens: Sequence[int], n: int = 4) -> float:
    """Share of a completion's token n-grams that stood in it before."""
    grams = [tuple(tokens[at : at + n]) for at in range(len(tokens) - n + 1)]
    return 1 - len(set(grams)) / len(grams) if grams else 0.0


def parsed_completion(completion: Completion, think_opened: bool) -> Parsed:
    return _parsed(completion.text, think_opened, completion.finish == "length")


@lru_cache(maxsize=1024)  # the completions of a step, which are asked for by the metrics and by the file
def _parsed(text: str, think_opened: bool, truncated: bool) -> Parsed:
    return parse(text, think_opened=think_opened, truncated=truncated)


def validation_metrics(
    greedy: Sequence[Group], sampled: Sequence[Group], think_opened: bool, judge: RewardFn | None = None
) -> dict[str, float]:
    """Scores on the validation cases: one greedy answer each, and (where drawn) the mean of several samples; the
    judge's opinion of the greedy ones, where there is a judge."""
    rewards = [group.rewards[0] for group in greedy]
    form = _form(greedy, think_opened)
    metrics = {
        "val/accuracy": fmean(map(_right, rewards)),
        "val/reward": fmean(reward.score for reward in rewards),
        "val/length": form["length/mean"],
        "val/well_formed": form["format/well_formed"],
        "val/cases": len(greedy),
    }
    if judge is not None:
        metrics["val/judge"] = fmean(_right(judge(group.completions[0].text, group.case)) for group in greedy)
    if sampled:
        metrics["val/sampled_accuracy"] = fmean(_right(reward) for group in sampled for reward in group.rewards)
    return metrics


def _right(reward: Reward) -> bool:
    """Whether the answer was the disease itself; an accepted hypernym earns a part of 1 and is not."""
    return reward.parts["accuracy"] >= 1.0


def write_rollouts(
    path: Path, step: int, groups: Sequence[Group], advantages_BG: Sequence[Sequence[float]], think_opened: bool
) -> None:
    """Every completion of a step with its reward parts and advantage, as Parquet."""
    rows = [
        _row(step, group, member, advantages_BG[g][member], think_opened)
        for g, group in enumerate(groups)
        for member in range(len(group.completions))
    ]
    schema = _schema(groups[0].rewards[0].parts)
    columns = [pa.array([row[field.name] for row in rows], field.type) for field in schema]
    table, content = pa.Table.from_arrays(columns, schema=schema), pa.BufferOutputStream()
    # a small file that is always read whole: statistics and dictionaries would cost more than they save
    pq.write_table(table, content, compression="zstd", write_statistics=False, use_dictionary=False)
    with atomic_write(path, "wb") as handle:
        handle.write(content.getvalue())


def _schema(parts: Iterable[str]) -> pa.Schema:
    """Spelled out, so that all files of a run agree: a column in which a step has no value has a type all the same."""
    whole, number, text = pa.int64(), pa.float64(), pa.string()
    columns: dict[str, pa.DataType] = {"step": whole, "case_id": text, "sample": whole, "text": text}
    columns |= {"finish": text, "tokens": whole, "score": number, "advantage": number}
    columns |= {f"part_{name}": number for name in parts}
    columns |= {"think": text, "answer": text, "faults": pa.list_(text), "rule": text}
    return pa.schema(columns)


def _row(step: int, group: Group, member: int, advantage: float, think_opened: bool) -> Mapping[str, object]:
    completion, reward = group.completions[member], group.rewards[member]
    parsed = parsed_completion(completion, think_opened)
    return {
        "step": step,
        "case_id": group.case.id,
        "sample": member,
        "text": completion.text,
        "finish": completion.finish,
        "tokens": len(completion.token_ids),
        "score": reward.score,
        "advantage": advantage,
        **{f"part_{name}": value for name, value in reward.parts.items()},
        "think": parsed.think,
        "answer": parsed.answer,
        "faults": list(parsed.faults),
        "rule": reward.notes.get("rule"),
    }
