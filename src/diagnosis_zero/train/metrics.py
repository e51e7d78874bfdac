"""``metrics.jsonl`` is the truth of a run: one JSON object a line, written as it happens. TensorBoard and
wandb are optional sinks fed from the same rows. What every metric means: ``docs/metrics.md``.

A row is ``{"step": int, "kind": "train" | "val" | "test" | "event", ...}``. A number that is not finite is
written as null (JSON has no NaN) and read back as NaN.
"""

from __future__ import annotations

import json
import math
import os
import secrets
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from diagnosis_zero.errors import InputError
from diagnosis_zero.records import atomic_write, parse_row

FILE = "metrics.jsonl"
Row = dict[str, Any]
Sink = Callable[[Row], None]


class MetricsLog:
    """Appends rows to ``RUN/metrics.jsonl`` and hands them to the sinks; ``rows`` is the whole history.

    Rows of an earlier run of the folder are kept (cut them with ``checkpoint.cut_after`` before).
    """

    def __init__(self, run_dir: Path, sinks: Sequence[str] = ()) -> None:
        run_dir.mkdir(parents=True, exist_ok=True)
        path = run_dir / FILE
        _drop_torn_line(path)
        self.rows = read(path) if path.exists() else []
        self._stack = ExitStack()
        self._file = self._stack.enter_context(path.open("a", encoding="utf-8", buffering=1))
        first = self.rows[-1]["step"] + 1 if self.rows else 0
        self._sinks = [self._stack.enter_context(SINKS[name](run_dir, first)) for name in sinks]

    def write(self, step: int, kind: str, values: Mapping[str, float]) -> None:
        """One row of numbers; on disk, to the system, when this returns."""
        self._append({"step": step, "kind": kind, **values})

    def event(self, step: int, event: str, message: str) -> None:
        """Something that happened: a skipped step, a rewind, a warning of the guard."""
        self._append({"step": step, "kind": "event", "event": event, "message": message})

    def sync(self) -> None:
        """To the disk; before a checkpoint is written."""
        os.fsync(self._file.fileno())

    def close(self) -> None:
        self._stack.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _append(self, row: Row) -> None:
        self.rows.append(row)
        written = {key: None if _not_finite(value) else value for key, value in row.items()}
        self._file.write(json.dumps(written, ensure_ascii=False, allow_nan=False) + "\n")
        for sink in self._sinks:
            sink(row)


def read(path: Path) -> list[Row]:
    """The rows of a ``metrics.jsonl``; a last line that a kill left torn is passed over.

    Raises:
        InputError: no such file, or a broken line that is not the torn last one; names file and line.
    """
    if not path.is_file():
        raise InputError("no such file", where=path)
    lines = path.read_bytes().splitlines(keepends=True)
    whole = lines if not lines or lines[-1].endswith(b"\n") else lines[:-1]
    return [_row(line, path, number) for number, line in enumerate(whole, start=1)]


def series(rows: Sequence[Row], key: str) -> list[tuple[int, float]]:
    """(step, value) of every row that has the metric, in the order written."""
    return [(row["step"], row[key]) for row in rows if key in row]


def best_step(rows: Sequence[Row], key: str = "val/accuracy", among: Collection[int] | None = None) -> int | None:
    """The step at which the metric was highest (the earliest of equals), among these steps; None: no such
    row."""
    found = [(value, -step) for step, value in series(rows, key) if among is None or step in among]
    finite = [pair for pair in found if math.isfinite(pair[0])]
    return -max(finite)[1] if finite else None


# --- sinks: given the run's folder and the first step that will be written, a context that yields a function of rows


@contextmanager
def _tensorboard(run_dir: Path, first_step: int) -> Iterator[Sink]:
    try:
        from tensorboard.compat.proto.summary_pb2 import Summary
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise _missing("tensorboard") from error
    with SummaryWriter(str(run_dir / "tensorboard"), purge_step=first_step) as writer:

        def write(row: Row) -> None:
            if row["kind"] == "event":
                writer.add_text(f"event/{row['event']}", row["message"], row["step"])
            # one record for the whole row: a record for each number costs ten times as much
            numbers = [Summary.Value(tag=name, simple_value=value) for name, value in _numbers(row).items()]
            writer.file_writer.add_summary(Summary(value=numbers), row["step"])
            writer.flush()

        yield write


@contextmanager
def _wandb(run_dir: Path, first_step: int) -> Iterator[Sink]:
    """Offline or not is wandb's own setting (WANDB_MODE). A resume goes on in the same wandb run, and a run of the
    same name elsewhere in another. The step is a metric of its own, since wandb's counter cannot go back."""
    try:
        import wandb
    except ImportError as error:
        raise _missing("wandb") from error
    name = run_dir.resolve().name
    run = wandb.init(project="diagnosis-zero", name=name, id=_wandb_id(run_dir), resume="allow", dir=str(run_dir))
    run.define_metric("*", step_metric="step")
    try:
        yield lambda row: run.log({"step": row["step"], **_numbers(row)})
    finally:
        run.finish()


def _wandb_id(run_dir: Path) -> str:
    """Drawn once and kept with the run."""
    kept = run_dir / "wandb" / "run-id.txt"
    if not kept.is_file():
        with atomic_write(kept) as handle:
            handle.write(f"{run_dir.resolve().name}-{secrets.token_hex(4)}")
    return kept.read_text(encoding="utf-8")


SINKS: dict[str, Callable[[Path, int], AbstractContextManager[Sink]]] = {
    "tensorboard": _tensorboard,
    "wandb": _wandb,
}


# --- small parts


def _missing(package: str) -> InputError:
    return InputError(
        f"the sink {package!r} needs the package {package}",
        mend="Install it with: pip install 'diagnosis-zero[train]'",
    )


def _numbers(row: Row) -> dict[str, float]:
    return {key: value for key, value in row.items() if key != "step" and isinstance(value, int | float)}


def _not_finite(value: object) -> bool:
    return isinstance(value, float) and not math.isfinite(value)


def _row(line: bytes, path: Path, number: int) -> Row:
    row = parse_row(line, (path, number))
    if not isinstance(row.get("step"), int) or "kind" not in row:
        raise InputError("no step or kind", where=(path, number), mend="Is it a metrics.jsonl of a run?")
    return {key: math.nan if value is None else value for key, value in row.items()}


def _drop_torn_line(path: Path) -> None:
    """A kill in the middle of a line leaves it without its newline; the next row must not be glued to it."""
    if not path.exists():
        return
    content = path.read_bytes()
    if not content.endswith(b"\n"):
        os.truncate(path, content.rfind(b"\n") + 1)
