"""From any source to a data folder, in two passes, so that memory does not grow with the texts or the ids.

    source -> duplicates -> length -> leakage -> spool        keys -> split        spool -> export

The first pass checks every item, spools the cases it keeps and remembers a number of each, that of its key; ids wait
on disk. The rule of the split needs all keys at once; the second pass writes the cases, each with its split. Every
stage of the first pass takes and yields ``Case | Rejected``, one for one: what is read is kept or dropped, and counted
once, where it is spooled.
"""

from __future__ import annotations

import sqlite3
from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field, replace
from hashlib import sha256
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

from diagnosis_zero import licences, prompts, records
from diagnosis_zero.cases import export
from diagnosis_zero.cases.folder import appearing
from diagnosis_zero.cases.leakage import leaked
from diagnosis_zero.cases.length import CountTokens
from diagnosis_zero.cases.source import Rejected, as_error, reject
from diagnosis_zero.cases.split import SPLITS, Key, Split, assign, rule_named
from diagnosis_zero.errors import InputError
from diagnosis_zero.types import Case

DROPPED_BY_RULE = frozenset({"too_long", "leak"})
"""Reasons that are no fault of the input: such cases never stop the work."""

LENGTH_BATCH = 256
T = TypeVar("T")
R = TypeVar("R")
Item = Case | Rejected
Synonyms = Callable[[Case], Sequence[str]]
Track = Callable[[Iterable[Any], str, int | None], Iterable[Any]]
"""Passes items on and shows how many went by: (items, what is done to them, how many there are if known)."""


@dataclass(slots=True)
class _Tally:
    """Of every case kept, in order: the number of its key (equal keys have one: there are far fewer diseases than
    cases), and whether its text names the answer."""

    numbers: dict[Key, int] = field(default_factory=dict)
    keys: array[int] = field(default_factory=lambda: array("L"))
    leaking: bytearray = field(default_factory=bytearray)
    sources: set[str] = field(default_factory=set)
    dropped: Counter[str] = field(default_factory=Counter)


def prepare(
    source: Iterable[Item],
    out: Path,
    *,
    split: str = "seed",
    seed: int = 0,
    template: str = prompts.DIAGNOSIS,
    max_prompt_tokens: int | None = None,
    count_tokens: CountTokens | None = None,
    synonyms: Synonyms | None = None,
    drop_leaks: bool = False,
    skip_bad: bool = False,
    limit: int | None = None,
    overwrite: bool = False,
    inputs: Sequence[Path] = (),
    ignored: Sequence[str] = (),
    settings: Mapping[str, Any] | None = None,
    licence: str | None = None,
    shard_rows: int | None = None,
    track: Track = lambda items, *_: items,
) -> dict[str, Any]:
    """Write the data folder ``out`` from the first ``limit`` items of a source; its manifest.

    ``max_prompt_tokens`` needs ``count_tokens``: longer prompts are dropped, never cut. ``synonyms`` are further
    names of a case's disease to look for in its text. The manifest holds the hashes of ``inputs``, the files read,
    and as given ``settings`` and ``ignored``, the files passed over. ``licence`` is what may be done with the cases,
    where it is not what is known of their source. ``shard_rows``: cut the Parquet files into shards of so many rows.
    ``out`` appears whole at the end; on any error nothing is left of it.

    Raises:
        InputError: a bad row without ``skip_bad``, no case at all, an unknown split, or ``out`` is taken.
    """
    rule = rule_named(split)
    with appearing(out, overwrite) as folder:
        items = track(islice(source, limit), "reading", limit)
        items = _first_of_each_id(items, inputs, folder / "ids.sqlite")
        if max_prompt_tokens is not None:
            assert count_tokens is not None
            items = _short_enough(items, inputs, max_prompt_tokens, count_tokens, template)
        items = _with_leaks(items, inputs, synonyms, drop_leaks)
        spool = folder / "spool.jsonl"
        tally = _spool(items, spool, folder / "rejected.jsonl", rule.key, skip_bad)
        _check_any(tally, inputs)
        splits = assign(list(map(list(tally.numbers).__getitem__, tally.keys)), rule.hold_out, seed)
        export.write_cases(folder, track(_with_splits(spool, splits), "writing", len(splits)), template, shard_rows)
        spool.unlink()
        manifest = {
            **_counts(tally, splits),
            "split": split,
            "seed": seed,
            "licences": licences.of_cases(tally.sources, licence),
            "inputs": [{"path": str(path), "sha256": hash_of(path)} for path in inputs],
            "ignored": list(ignored),
            "settings": {
                "max_prompt_tokens": max_prompt_tokens,
                "drop_leaks": drop_leaks,
                "synonyms_checked": synonyms is not None,
                "limit": limit,
                **(settings or {}),
                "template": template,
            },
            **records.provenance(),
        }
        records.write_json(folder / "manifest.json", manifest)
    return manifest


def _first_of_each_id(items: Iterable[Item], inputs: Sequence[Path], index: Path) -> Iterator[Item]:
    with closing(sqlite3.connect(index)) as known:
        known.executescript("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF;")
        known.execute("CREATE TABLE ids (id BLOB PRIMARY KEY, place TEXT) WITHOUT ROWID")
        for item in items:
            if isinstance(item, Case) and (place := _known_since(known, item)):
                message = f"the id {item.id!r} stands already in {place}. Give every case its own."
                item = reject(item, inputs, "duplicate_id", message)
            yield item
    index.unlink()


def _known_since(known: sqlite3.Connection, case: Case) -> str | None:
    """The place of the case that had this id before; None, and it is noted, where there was none."""
    file, line = case.extra.get("file"), f"line {case.extra.get('line', '?')}"
    place = ", ".join([file, line] if file and "line" in case.extra else [file or line])
    key = case.id.encode()
    try:
        known.execute("INSERT INTO ids VALUES (?, ?)", (key, place))
    except sqlite3.IntegrityError:
        return str(known.execute("SELECT place FROM ids WHERE id = ?", (key,)).fetchone()[0])
    return None


def _short_enough(
    items: Iterable[Item], inputs: Sequence[Path], longest: int, count_tokens: CountTokens, template: str
) -> Iterator[Item]:
    def count(batch: Sequence[Item]) -> list[int]:
        chats = [prompts.build_chat(item, template) for item in batch if isinstance(item, Case)]
        return count_tokens(chats) if chats else []

    for batch, lengths in _ahead(count, _batches(items, LENGTH_BATCH)):
        counts = iter(lengths)
        for item in batch:
            if isinstance(item, Case) and (tokens := next(counts)) > longest:
                message = f"the prompt of {item.id!r} has {tokens} tokens, the limit is {longest}"
                item = reject(item, inputs, "too_long", message)
            yield item


def _batches(items: Iterable[T], size: int) -> Iterator[list[T]]:
    iterator = iter(items)
    while batch := list(islice(iterator, size)):
        yield batch


def _ahead(function: Callable[[T], R], items: Iterable[T]) -> Iterator[tuple[T, R]]:
    """Items with their results, one computed ahead in a thread: tokenizers work outside the interpreter's lock."""
    waiting: tuple[T, Future[R]] | None = None
    with ThreadPoolExecutor(max_workers=1) as worker:
        for item in items:
            started = item, worker.submit(function, item)
            if waiting:
                yield waiting[0], waiting[1].result()
            waiting = started
        if waiting:
            yield waiting[0], waiting[1].result()


def _with_leaks(items: Iterable[Item], inputs: Sequence[Path], synonyms: Synonyms | None, drop: bool) -> Iterator[Item]:
    for item in items:
        if isinstance(item, Case):
            names = dict.fromkeys((*item.names, *(synonyms(item) if synonyms else ())))
            if leaks := leaked(item.text, names):
                message = f"the text of {item.id!r} names the answer: {leaks[0]!r}"
                item = reject(item, inputs, "leak", message) if drop else replace(item, leaks=leaks)
        yield item


def _spool(items: Iterable[Item], spool: Path, rejected: Path, key: Callable[[Case], Key], skip_bad: bool) -> _Tally:
    tally = _Tally()
    with spool.open("w", encoding="utf-8") as kept, rejected.open("w", encoding="utf-8") as dropped:
        for item in items:
            if isinstance(item, Case):
                kept.write(records.to_line(item) + "\n")
                tally.keys.append(tally.numbers.setdefault(key(item), len(tally.numbers)))
                tally.leaking.append(bool(item.leaks))
                tally.sources.add(item.source)
            elif skip_bad or item.reason in DROPPED_BY_RULE:
                dropped.write(records.to_line(item) + "\n")
                tally.dropped[item.reason] += 1
            else:
                raise as_error(item)
    return tally


def _check_any(tally: _Tally, inputs: Sequence[Path]) -> None:
    if not tally.keys:
        reasons = ", ".join(f"{reason}: {count}" for reason, count in tally.dropped.items()) or "nothing was read"
        raise InputError(f"no case is left ({reasons})", where=inputs[0] if inputs else None)


def _with_splits(spool: Path, splits: Sequence[Split]) -> Iterator[Case]:
    for case, split in zip(records.read_jsonl(spool, Case), splits, strict=True):
        yield replace(case, split=split)


def _counts(tally: _Tally, splits: Sequence[Split]) -> dict[str, Any]:
    leaking = Counter(split for split, leaks in zip(splits, tally.leaking, strict=True) if leaks)
    sizes = Counter(splits)
    return {
        "read": len(tally.keys) + tally.dropped.total(),
        "kept": len(tally.keys),
        "dropped": dict(tally.dropped.most_common()),
        "splits": {split: sizes[split] for split in SPLITS},
        "leakage": {
            "found": leaking.total() + tally.dropped["leak"],
            "dropped": tally.dropped["leak"],
            "kept": {split: leaking[split] for split in SPLITS},
        },
    }


def hash_of(path: Path) -> str:
    """SHA-256 of a file; of a folder, that of its files' relative names and hashes, in order of name."""
    if not path.is_dir():
        return records.sha256(path)
    files = sorted(file for file in path.rglob("*") if file.is_file())
    lines = "".join(f"{records.sha256(file)}  {file.relative_to(path).as_posix()}\n" for file in files)
    return sha256(lines.encode()).hexdigest()
