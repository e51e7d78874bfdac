"""One case, one differential: what the model answers in several samples, the most frequent first."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass

from diagnosis_zero.nomenclature.normalise import normalise
from diagnosis_zero.parsing import parse
from diagnosis_zero.prompts import build_chat
from diagnosis_zero.types import Case, Generator, Parsed, SamplingParams

NOTICE = "For research only. This is no medical advice and not for the care of patients."

LookUp = Callable[[str], tuple[str, str] | None]
"""From a name to (identifier, preferred name) of the catalogue's entry, None where it has none."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A diagnosis, the share of all samples that gave it, and the reasoning of the first that did."""

    name: str
    share: float
    reasoning: str
    entry: tuple[str, str] | None


def diagnose(
    generator: Generator,
    text: str,
    template: str,
    params: SamplingParams,
    samples: int,
    look_up: LookUp,
    *,
    think_opened: bool = False,
) -> list[Candidate]:
    """Candidates by the share of samples that name them; samples without an answer count in the whole."""
    case = Case("case", "user", "case", text, ("unknown",))
    (completions,) = generator.generate([build_chat(case, template)], samples, params)
    groups: dict[str, list[Parsed]] = defaultdict(list)
    for completion in completions:
        parsed = parse(completion.text, think_opened=think_opened, truncated=completion.finish == "length")
        if parsed.answer:
            entry = look_up(parsed.answer)
            groups[entry[0] if entry else normalise(parsed.answer)].append(parsed)
    ordered = sorted(groups.values(), key=len, reverse=True)
    return [_candidate(group, samples, look_up) for group in ordered]


def as_text(candidates: list[Candidate], samples: int) -> str:
    """The differential as lines, with the reasoning behind the first, and the notice."""
    lines = [
        f"{place}. {one.name}  ({round(one.share * samples)} of {samples})  {' '.join(one.entry or ())}".rstrip()
        for place, one in enumerate(candidates, start=1)
    ]
    if candidates:
        lines += ["", f"Reasoning behind {candidates[0].name}:", candidates[0].reasoning or "(none)"]
    else:
        lines.append("The model gave no diagnosis.")
    return "\n".join([*lines, "", NOTICE])


def _candidate(group: list[Parsed], samples: int, look_up: LookUp) -> Candidate:
    name = group[0].answer or ""
    return Candidate(name, len(group) / samples, group[0].think or "", look_up(name))
