"""The one exception for what a person can mend: it says what is wrong, where, and how to mend it."""

from __future__ import annotations

from difflib import get_close_matches
from pathlib import Path


class InputError(Exception):
    """Bad input or usage. The command line prints it as one line and exits with status 2.

    ``where`` is a file, or (file, line number counted from 1).
    """

    def __init__(self, what: str, *, where: Path | str | tuple[Path | str, int] | None = None, mend: str = "") -> None:
        self.what = what
        self.where = f"{where[0]}:{where[1]}" if isinstance(where, tuple) else str(where or "")
        self.mend = mend
        super().__init__(": ".join(part for part in (self.where, what) if part) + (f". {mend}" if mend else ""))


def nearest(name: str, known: list[str]) -> str:
    """A hint for a mistyped name: the nearest known one, else all of them."""
    close = get_close_matches(name, known, n=1)
    return f"Did you mean {close[0]!r}?" if close else f"Known: {', '.join(sorted(known))}."
