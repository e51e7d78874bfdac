"""The rules of dependence of the design, held by reading every import of the package (none is executed)."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

PACKAGE = "diagnosis_zero"
SOURCE = Path(__file__).resolve().parents[1] / "src" / PACKAGE

WITHOUT_TORCH = (
    "types",
    "errors",
    "records",
    "recipe",
    "config",
    "prompts",
    "parsing",
    "nomenclature",
    "rewards",
    "cases",
    "evaluate",
    "behaviour",
    "report",
)
"""Parts that can be used on a machine without torch, and whose import is quick."""

INSIDE_A_FUNCTION = {
    "evaluate.harness": {f"{PACKAGE}.engine"},  # the local model that lm-eval measures
    "cases.length": {"transformers"},  # the tokenizer that --max-prompt-tokens counts with
}
"""What these modules may import after all, inside the function that needs it."""

NEVER = {
    **{part: {"torch", "transformers", f"{PACKAGE}.engine"} for part in WITHOUT_TORCH},
    "train": {f"{PACKAGE}.rewards"},  # the reward arrives as an argument
}
NEVER["evaluate"] = NEVER["evaluate"] | {f"{PACKAGE}.train"}
for reader in ("behaviour", "report"):  # they read files only
    NEVER[reader] = NEVER[reader] | {f"{PACKAGE}.{part}" for part in ("train", "rewards", "cases", "config", "recipe")}

HPO_READER = f"{PACKAGE}.cases.hpo"
"""The reader of HPO's files: behaviour analysis looks findings up in the same terms as the vignettes."""

ONLY = {  # of the project; types, besides, takes the standard library alone
    "types": set[str](),
    "engine": {f"{PACKAGE}.{part}" for part in ("engine", "types", "errors")},
}
MAY_READ_CONFIG = (
    *("cli", "config", "recipe", "experiment", "supervised", "demo", "scale", "doctor"),
    *("train.loop", "train.opening", "train.start"),
)
"""Where a run is put together: the commands, the experiments they start, and the loop with its opening."""
OF_AN_EXTRA = {
    *("verl", "ray", "trl", "lm_eval", "wandb", "tensorboard", "peft", "openai", "gguf", "psutil", "lingua"),
    "matplotlib",
}


@dataclass(frozen=True)
class Import:
    target: str
    line: int
    in_function: bool


def imports(source: str, module: str, is_package: bool = False) -> Iterator[Import]:
    """Every import of a module, wherever it stands; ``from a import b`` counts as a and as a.b."""

    def visit(node: ast.AST, in_function: bool) -> Iterator[Import]:
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(alias.name, node.lineno, in_function)
        if isinstance(node, ast.ImportFrom):
            base = module.split(".")[: len(module.split(".")) - node.level + is_package] if node.level else []
            origin = ".".join([*base, *([node.module] if node.module else [])])
            for target in [origin, *(f"{origin}.{alias.name}" for alias in node.names)]:
                yield Import(target, node.lineno, in_function)
        inner = in_function or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        for child in ast.iter_child_nodes(node):
            yield from visit(child, inner)

    yield from visit(ast.parse(source), False)


def within(name: str, prefixes: set[str] | tuple[str, ...]) -> bool:
    return any(name == prefix or name.startswith(prefix + ".") for prefix in prefixes)


def broken(module: str, one: Import) -> str | None:
    """The rule that this import breaks, or None."""
    name = module.removeprefix(f"{PACKAGE}.")
    part = name.split(".")[0]
    ours = within(one.target, {PACKAGE})
    allowed = one.in_function and within(one.target, INSIDE_A_FUNCTION.get(name, set()))
    allowed |= part == "behaviour" and within(one.target, {HPO_READER})
    if within(one.target, NEVER.get(part, set())) and not allowed:
        return f"{part} never imports {one.target}"
    if part in ONLY and ours and one.target != PACKAGE and not within(one.target, ONLY[part]):
        return f"{part} imports of the project only {sorted(ONLY[part])}"
    if part == "types" and one.target.split(".")[0] not in sys.stdlib_module_names:
        return "types imports the standard library only"
    if within(one.target, {f"{PACKAGE}.cli"}) and part != "cli":
        return "nobody imports cli"
    if within(one.target, {f"{PACKAGE}.config", f"{PACKAGE}.recipe"}) and not within(name, MAY_READ_CONFIG):
        return "config is read where a run is put together only"
    if within(one.target, OF_AN_EXTRA) and not one.in_function:
        return f"{one.target.split('.')[0]} is of an extra: imported inside the function that needs it"
    return None


def modules() -> dict[str, Path]:
    named = {}
    for path in sorted(SOURCE.rglob("*.py")):
        parts = path.relative_to(SOURCE.parent).with_suffix("").parts
        named[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return named


MODULES = modules()


def imports_of(module: str) -> list[Import]:
    path = MODULES[module]
    return list(imports(path.read_text(encoding="utf-8"), module, path.name == "__init__.py"))


def test_every_import_keeps_the_rules() -> None:
    found = [
        f"{MODULES[module]}:{one.line}: {rule}"
        for module in MODULES
        for one in imports_of(module)
        if (rule := broken(module, one))
    ]
    assert not found, "\n".join(found)


def test_no_detour_to_torch() -> None:
    """A module without torch imports, when it is imported itself, no module that imports torch."""

    def reached(module: str, seen: dict[str, str]) -> dict[str, str]:
        for one in imports_of(module):
            if not one.in_function and one.target in MODULES and one.target not in seen:
                seen[one.target] = module
                reached(one.target, seen)
        return seen

    for module in MODULES:
        if within(module, {f"{PACKAGE}.{part}" for part in WITHOUT_TORCH}):
            for other, by in reached(module, {}).items():
                heavy = [i for i in imports_of(other) if not i.in_function and within(i.target, {"torch"})]
                assert not heavy, f"{module} reaches torch by {by} -> {other}"


@pytest.mark.parametrize(
    ("module", "source", "rule"),
    [
        ("types", "import numpy", "standard library only"),
        ("types", "from diagnosis_zero.errors import InputError", "types imports of the project only"),
        ("rewards.compose", "def f():\n    import torch.nn", "rewards never imports torch.nn"),
        ("cases.length", "from transformers import AutoTokenizer", "cases never imports transformers"),
        ("nomenclature.match", "from diagnosis_zero import engine", "never imports diagnosis_zero.engine"),
        ("engine.model", "from diagnosis_zero.cases.export import x", "engine imports of the project only"),
        ("engine.model", "from .. import config", "engine imports of the project only"),
        ("train.rollout", "from diagnosis_zero.rewards import build_reward", "train never imports"),
        ("evaluate.run", "from diagnosis_zero.train.metrics import read", "evaluate never imports"),
        ("report.build", "from diagnosis_zero.cases import export", "report never imports"),
        ("train.step", "def f():\n    from diagnosis_zero.config import Recipe", "config is read"),
        ("train.loop", "from diagnosis_zero.cli import main", "nobody imports cli"),
        ("scale.verl", "import verl", "verl is of an extra"),
        ("train.metrics", "from wandb import init", "wandb is of an extra"),
        ("evaluate.harness", "import torch", "evaluate never imports torch"),
    ],
)
def test_broken_rule_is_found(module: str, source: str, rule: str) -> None:
    """Negative control: each rule, broken in a made-up module, is told."""
    name = f"{PACKAGE}.{module}"
    found = [text for one in imports(source, name) if (text := broken(name, one))]
    assert any(rule in text for text in found), found


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("train.loop", "from diagnosis_zero import config"),
        ("train.metrics", "def sink():\n    import wandb"),
        ("evaluate.harness", "def client():\n    from diagnosis_zero.engine.model import load"),
        ("engine.model", "import torch\nfrom diagnosis_zero.types import Completion"),
        ("cli.train", "from diagnosis_zero.cli import app\nfrom diagnosis_zero.config import load"),
    ],
)
def test_kept_rule_is_not_told(module: str, source: str) -> None:
    name = f"{PACKAGE}.{module}"
    assert [text for one in imports(source, name) if (text := broken(name, one))] == []


def test_relative_imports_are_resolved() -> None:
    found = {one.target for one in imports("from . import a\nfrom ..b import c", "p.q.r")}
    assert found == {"p.q", "p.q.a", "p.b", "p.b.c"}
    in_package = {one.target for one in imports("from . import a", "p.q", is_package=True)}
    assert in_package == {"p.q", "p.q.a"}


def test_importing_the_rewards_is_quick() -> None:
    """By what it loads, not by the clock."""
    code = "import sys, diagnosis_zero.rewards; print([m for m in ('torch', 'transformers') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "[]", done.stderr
