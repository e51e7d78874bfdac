"""The options that choose a judge, and the judge they make. Used by ``dz evaluate``."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from diagnosis_zero.errors import InputError, nearest
from diagnosis_zero.evaluate.clients import OpenAIGenerator
from diagnosis_zero.evaluate.endpoint import Endpoint, check_address
from diagnosis_zero.evaluate.judge import Judge, by_name
from diagnosis_zero.evaluate.judge_prompt import load_judge_template
from diagnosis_zero.evaluate.llm_judge import Bill, LLMJudge, first_then, majority
from diagnosis_zero.evaluate.protocol import Sets, load_hypernyms, rules_2024, rules_2026
from diagnosis_zero.evaluate.verdict_cache import VerdictCache, default_path
from diagnosis_zero.types import SamplingParams

METHODS = ("ontology", "sequence", "llm", "ontology+llm")
REPLY_TOKENS = 512


@dataclass(frozen=True, slots=True)
class Judging:
    """How answers are judged. ``server`` is None for the judges that need none."""

    method: str
    catalogue: str | None = "default"
    server: Endpoint | None = None
    models: tuple[str, ...] = ()
    protocol: str = "2024"
    hypernyms: Path | None = None
    template: Path | None = None
    cache: Path | None = None
    temperature: float = 0.0
    bill: Bill = field(default_factory=Bill)


def catalogue_note(source: Path | str | None) -> str:
    """What the ontology judge looks names up in, and how to give it more, in a line or two."""
    if source is None:
        return "The ontology judge has no catalogue: it knows the accepted names alone. --catalogue FILE gives it one."
    from diagnosis_zero.nomenclature.catalogue import Catalogue, default_catalogue

    opened = default_catalogue() if source == "default" else Catalogue.open(source)
    meta = opened.meta()
    said = f"The ontology judge looks names up in {source}: {meta['diseases']:,} diseases, {meta['names']:,} names"
    if source != "default":
        return f"{said}."
    return (
        f"{said} ({meta['sources'][0]}), few of them synonyms. For more, build one from Orphanet, Disease Ontology and "
        "Mondo by `dz catalogue build`, and give it by --catalogue FILE."
    )


@contextmanager
def open_judge(
    judging: Judging, say: Callable[[str], None], progress: Callable[[int, int], None]
) -> Iterator[tuple[str, Judge]]:
    """A judge with its name; a cache is open as long as it is used.

    Raises:
        InputError: options that do not go together, or a remote server that is not allowed.
    """
    if judging.method not in METHODS:
        raise InputError(f"unknown judge {judging.method!r}", mend=nearest(judging.method, list(METHODS)))
    if "llm" not in judging.method:
        yield judging.method, by_name(judging.method, judging.catalogue)
        return
    server = _server(judging)
    sets = _sets(judging)
    template = load_judge_template(judging.template) if judging.template else None
    if sends := check_address(server, "the answers and the true diagnoses (no case texts)"):
        say(sends)
    params = SamplingParams(max_tokens=REPLY_TOKENS, temperature=judging.temperature)
    with VerdictCache(judging.cache or default_path()) as cache:
        judges: dict[str, Judge] = {
            model: LLMJudge(
                model,
                OpenAIGenerator(_with_model(server, model)),
                sets,
                cache,
                params,
                template,
                judging.bill,
                say,
                progress,
                server.attempts,
            )
            for model in judging.models
        }
        label, judge = next(iter(judges.items()))
        if len(judges) > 1:
            label = f"majority({','.join(judges)})"
            judge = majority(label, judges)
        if judging.method == "ontology+llm":
            label, judge = f"ontology+{label}", first_then(f"ontology+{label}", _ontology(judging), judge)
        yield label, judge


def _ontology(judging: Judging) -> Judge:
    return by_name("ontology", judging.catalogue)


def _server(judging: Judging) -> Endpoint:
    if judging.server is None or not judging.models:
        mend = "Give --judge-endpoint URL and --judge-model NAME."
        raise InputError(f"--judge {judging.method} needs a server", mend=mend)
    return judging.server


def _sets(judging: Judging) -> Sets:
    if judging.protocol == "2024":
        return rules_2024
    if judging.protocol != "2026":
        raise InputError(f"unknown protocol {judging.protocol!r}", mend="Known: 2024, 2026.")
    if judging.hypernyms is None:
        mend = "Give --hypernyms orphanet_hypernym.json (from RareArena)."
        raise InputError("the 2026 protocol needs the score sets", mend=mend)
    return rules_2026(load_hypernyms(judging.hypernyms))


def _with_model(server: Endpoint, model: str) -> Endpoint:
    from dataclasses import replace

    return replace(server, model=model, empty_is_fault=True)
