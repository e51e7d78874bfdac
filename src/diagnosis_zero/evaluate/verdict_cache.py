"""Grades already paid for, in SQLite: the same model asked the same prompt is never asked twice.

One row a prompt, keyed by (model, temperature, prompt). Only replies that were read as grades are kept; a
row is committed before the next reply is looked at. Several processes may share the file.
"""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

from diagnosis_zero.errors import InputError
from diagnosis_zero.types import Chat, Label

_SCHEMA = """
CREATE TABLE IF NOT EXISTS grades (
    key TEXT PRIMARY KEY, model TEXT NOT NULL, temperature REAL NOT NULL, prompt TEXT NOT NULL,
    reply TEXT NOT NULL, labels TEXT NOT NULL, prompt_tokens INTEGER NOT NULL, tokens INTEGER NOT NULL,
    created TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP
) STRICT
"""


def default_path() -> Path:
    """In the user's cache folder, shared by all evaluations."""
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return base / "diagnosis-zero" / "verdicts.sqlite"


def key_of(model: str, temperature: float, chat: Chat) -> str:
    """What makes two calls the same call."""
    return hashlib.sha256(json.dumps([model, temperature, list(chat)], sort_keys=True).encode()).hexdigest()


class VerdictCache:
    """Open for reading and writing; use as a context manager."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._database = sqlite3.connect(path, timeout=30)
        try:
            self._database.execute("PRAGMA journal_mode=WAL")
            self._database.execute(_SCHEMA)
        except sqlite3.DatabaseError as error:
            self._database.close()
            raise InputError(f"not a verdict cache ({error})", where=path, mend="Name another file.") from error

    def __enter__(self) -> VerdictCache:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._database.close()

    def get(self, key: str) -> tuple[Label, ...] | None:
        """The grades of a call that was made before."""
        row = self._database.execute("SELECT labels FROM grades WHERE key = ?", (key,)).fetchone()
        return tuple(json.loads(row[0])) if row else None

    def put(
        self,
        key: str,
        labels: Sequence[Label],
        *,
        model: str,
        temperature: float,
        prompt: str,
        reply: str,
        billed: tuple[int, int],
    ) -> None:
        """Keep the grades of a call, with its prompt, its reply and what it cost in tokens."""
        row = (key, model, temperature, prompt, reply, json.dumps(list(labels)), *billed)
        with self._database:
            self._database.execute(
                "INSERT OR REPLACE INTO grades (key, model, temperature, prompt, reply, labels, prompt_tokens, tokens)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                row,
            )
