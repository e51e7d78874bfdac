"""Where a run came from, in facts to be read: what was trained on what, versions, machine, licences."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from diagnosis_zero import licences as licence_notes
from diagnosis_zero.records import read_json, sha256
from diagnosis_zero.report.load import Run

NOTICE = (
    "For research only: nothing here is fit for the diagnosis or care of a patient, and no figure was checked by "
    "a physician."
)


@dataclass(frozen=True, slots=True)
class Provenance:
    """Facts of one run, the commands that make it and this page again, and its recipe as it was written."""

    name: str
    facts: tuple[tuple[str, str], ...]
    commands: tuple[str, ...]
    config: str


def provenance(run: Run, *, redact: bool = False) -> Provenance:
    """Every fact of the manifest, flattened, and the hashes of the data. ``redact`` leaves out what may hold names of
    files or people: commands, paths, the recipe."""
    facts = [("folder", run.name if redact else str(run.path)), *_flat(run.manifest), *_hashes(run)]
    kept = tuple((key, value) for key, value in facts if not (redact and _may_name(key, value)))
    return Provenance(run.name, kept, () if redact else _commands(run), "" if redact else run.config_text)


def _hashes(run: Run) -> Iterator[tuple[str, str]]:
    """Of the data that the run was trained on, and of the cases it was evaluated on."""
    for name in ("data/cases.jsonl", "evaluations/cases.jsonl"):
        if (run.path / name).is_file():
            yield f"sha256 · {name}".replace("/", " · "), sha256(run.path / name)


def _commands(run: Run) -> tuple[str, ...]:
    own = run.manifest.get("command")
    made = [shlex.join(map(str, own))] if isinstance(own, list) and own else []
    again = [f"dz train {shlex.quote(str(run.path / 'config.toml'))}"] if run.config_text else []
    return (*made, *again, f"dz report {shlex.quote(str(run.path))}")


def trained(run: Run, *, redact: bool = False) -> str:
    """What was trained on what, in one line; ``redact`` leaves out the name of the data and folders of models."""
    model = base_model(run) or "a model"
    if redact:
        model = hub_name(model) or "a model of a local folder"
    steps = max((int(row["step"]) for row in run.metrics if row.get("kind") == "train"), default=0)
    objective = str(_get(run.config, "train", "objective") or "grpo").upper()
    return f"{run.name}: {model} trained by {objective} for {steps:,} steps on {_data(run.config, redact)}."


def base_model(run: Run) -> str:
    """What the run began from, as the recipe calls it."""
    return str(_get(run.config, "model", "id") or _get(run.manifest, "model") or "")


def hub_name(model: str) -> str | None:
    """The model's id where it is one of a hub or of this project (NAME or OWNER/NAME); None for a folder."""
    parts = model.split("/")
    is_id = len(parts) <= 2 and all(parts) and parts[0][0] not in ".~" and "\\" not in model
    return model if is_id and not Path(model).exists() else None


def licences(runs: Sequence[Run]) -> list[str]:
    """The notes that the manifests of the runs' data hold, and those of other cases that the runs were evaluated on;
    all that are known where neither is at hand."""
    noted = {source: note for run in runs for source, note in data_manifest(run).get("licences", {}).items()}
    sources = {case.source for run in runs for case in run.cases.values()} - set(noted)
    found = noted | licence_notes.of_cases(sources)
    return [*dict.fromkeys((found or licence_notes.CASES).values()), licence_notes.NAMES]


def data_manifest(run: Run) -> Mapping[str, Any]:
    """What ``dz prepare`` noted of the run's data; empty where that folder is not at hand any more."""
    folder = _get(run.config, "data", "folder")
    path = (Path(folder) if isinstance(folder, str) else run.path / "data") / "manifest.json"
    return dict(read_json(path)) if path.is_file() else {}


def _data(config: Mapping[str, Any], redact: bool) -> str:
    vignettes = _get(config, "data", "vignettes")
    if isinstance(vignettes, Mapping):
        return f"{vignettes.get('cases', '?')} vignettes of {vignettes.get('diseases', '?')} diseases"
    folder = _get(config, "data", "folder")
    return f"the cases of {folder}" if folder and not redact else "cases that are not named here"


def _get(tree: Mapping[str, Any], *keys: str) -> Any:
    node: Any = tree
    for key in keys:
        node = node.get(key) if isinstance(node, Mapping) else None
    return node


def _flat(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for key, value in tree.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key} · ")
        elif key == "command" and isinstance(value, list):
            yield f"{prefix}{key}", shlex.join(map(str, value))
        else:
            yield f"{prefix}{key}", value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _may_name(key: str, value: str) -> bool:
    return "command" in key or "/" in value or "\\" in value
