"""The command line ``dz``. Exit status: 0 done, 2 bad usage or input, 1 our own fault, or an error doctor found."""

from __future__ import annotations

import sys

import typer
from rich.console import Console

from diagnosis_zero.errors import InputError

app = typer.Typer(
    name="dz",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Reinforcement learning of language models for rare-disease diagnosis. For research, not for patient care.",
)


def main() -> None:
    """Entry point: registers the commands, turns ``InputError`` into one line and exit status 2."""
    from diagnosis_zero.cli import register

    register.all_commands(app)
    try:
        app()
    except InputError as error:
        Console(stderr=True, highlight=False, soft_wrap=True).print(f"dz: {error}", markup=False, style="red")
        sys.exit(2)
