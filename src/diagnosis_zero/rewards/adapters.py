"""The reward in the calling conventions of verl and TRL. Neither is imported: both call plain functions."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any

from diagnosis_zero.errors import InputError
from diagnosis_zero.rewards.compose import build_reward
from diagnosis_zero.types import Case, RewardFn

TrlReward = Callable[..., list[float]]


def compute_score(
    data_source: str,
    solution_str: str,
    ground_truth: Mapping[str, Any] | str,
    extra_info: Mapping[str, Any] | None = None,
    **settings: Any,
) -> dict[str, float]:
    """verl's reward function (``custom_reward_function.path`` and ``.name``; ``reward_kwargs`` are ``settings``).

    Args:
        data_source: where the case is from (verl hands over a string of numpy); for the error message only.
        solution_str: the completion, decoded without special tokens.
        ground_truth: ``{"diagnosis": [names], "orpha_id": str | None, "ids": [...]}`` as a mapping or as JSON.
        extra_info: its ``text`` (the case text), where present, tells the prompt's script and copied reasoning.
        settings: the keywords of ``build_reward``.

    Returns:
        Plain numbers: "score", "acc" (1 where the label is 2), and every part.

    Raises:
        InputError: ``ground_truth`` is malformed. Never for a completion.
    """
    case = _case(str(data_source), ground_truth, str((extra_info or {}).get("text") or ""))
    reward = _reward(**settings)(solution_str, case)
    return {"score": reward.score, "acc": float(reward.parts["accuracy"] == 1.0), **reward.parts}


def trl_reward(**settings: Any) -> TrlReward:
    """A reward function for TRL's ``reward_funcs``; ``settings`` are the keywords of ``build_reward``.

    It takes ``(prompts, completions, **columns)``, chat or plain text, and reads the truth from the column
    ``ground_truth``, or ``reward_model`` as ``dz prepare`` writes it.
    """
    reward = build_reward(**settings)

    def diagnosis_reward(prompts: Sequence[Any], completions: Sequence[Any], **columns: Any) -> list[float]:
        truths = _truth_column(columns)
        rows = zip(prompts, completions, truths, strict=True)
        return [reward(_text(done), _case("trl", truth, _text(prompt))).score for prompt, done, truth in rows]

    return diagnosis_reward


def _reward(**settings: Any) -> RewardFn:
    weights = settings.pop("weights", None)
    return _cached_reward(tuple(sorted(dict(weights).items())) if weights else None, **settings)


@lru_cache(maxsize=16)
def _cached_reward(weights: tuple[tuple[str, float], ...] | None, **settings: Any) -> RewardFn:
    return build_reward(weights=dict(weights) if weights else None, **settings)


def _case(source: str, ground_truth: Mapping[str, Any] | str, text: str) -> Case:
    """The ground truth as a case."""
    truth = _decoded(ground_truth) if isinstance(ground_truth, str) else ground_truth
    if not isinstance(truth, Mapping) or not (names := _strings(truth.get("diagnosis"))):
        what = f"ground truth from {source!r} without a list of names under 'diagnosis': {ground_truth!r:.200}"
        raise InputError(what, mend='Give {"diagnosis": ["name", ...], "orpha_id": "558"}.')
    return Case(id="", source=source, source_id="", text=text, names=names, ids=_ids(truth))


def _decoded(text: str) -> Any:
    try:
        return json.loads(text)
    except (json.JSONDecodeError, RecursionError) as error:
        raise InputError(f"ground truth is not JSON ({error}): {text!r:.200}") from error


def _strings(value: Any) -> tuple[str, ...] | None:
    """A list of strings, which verl may hand over as an array; None where it is anything else."""
    items = value.tolist() if hasattr(value, "tolist") else value
    if not isinstance(items, list | tuple) or not all(isinstance(item, str) and item.strip() for item in items):
        return None
    return tuple(items)


def _ids(truth: Mapping[str, Any]) -> tuple[str, ...]:
    """``ids``, and ``orpha_id`` with its prefix."""
    given = truth.get("ids")
    ids = () if given is None else _strings(given)
    if ids is None:
        raise InputError(f"ground truth with 'ids' that is no list of strings: {given!r:.200}")
    number = str(truth.get("orpha_id") or "").upper().removeprefix("ORPHA:")
    return tuple(dict.fromkeys([*ids, f"ORPHA:{number}"] if number else ids))


def _truth_column(columns: Mapping[str, Any]) -> Sequence[Any]:
    if "ground_truth" in columns:
        return list(columns["ground_truth"])
    if "reward_model" in columns:
        return [row["ground_truth"] for row in columns["reward_model"]]
    raise InputError(
        "the data set has neither a column 'ground_truth' nor 'reward_model'",
        mend="Use a file that `dz prepare` wrote, or keep the column (remove_unused_columns=False).",
    )


def _text(message: Any) -> str:
    """A prompt or completion as text: a string, or a chat's contents one after the other."""
    return message if isinstance(message, str) else "\n".join(str(turn["content"] or "") for turn in message)
