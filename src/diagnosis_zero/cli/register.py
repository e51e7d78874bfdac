"""Which module holds which commands. Each has ``register(app)``; heavy imports stay inside its functions."""

from __future__ import annotations

from importlib import import_module

import typer

MODULES = ("prepare", "catalogue", "train", "doctor", "sft", "evaluate", "report", "export", "demo")


def all_commands(app: typer.Typer) -> None:
    """Add every command to ``app``."""
    for name in MODULES:
        import_module(f"diagnosis_zero.cli.{name}").register(app)
