"""2,000 verdicts from a judge that fails three calls in ten, then the same with the judging process killed 20 times.

    python -m benchmarks.judge_faults [--verdicts 2000] [--kills 20] [--json OUT]

The judge is a real HTTP server on loopback (the tests' double): a third of a tenth each of status 429, status 500,
no reply in time, broken JSON, an empty reply, and a reply cut off. Counted are verdicts lost (unscored), verdicts
that nobody gave, and prompts that were paid for twice. A killed process can lose a reply that was on its way to it;
those are counted by themselves and are at most the calls under way at each kill.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.gullible import gullible
from benchmarks.judge_server import Double, random_faults, serving
from diagnosis_zero import records
from diagnosis_zero.evaluate.clients import OpenAIGenerator
from diagnosis_zero.evaluate.endpoint import Endpoint
from diagnosis_zero.evaluate.llm_judge import LLMJudge
from diagnosis_zero.evaluate.protocol import rules_2024
from diagnosis_zero.evaluate.run import judge_folder
from diagnosis_zero.evaluate.verdict_cache import VerdictCache
from diagnosis_zero.types import Answer, SamplingParams, Verdict

FAULTS, CONCURRENCY = 0.3, 16


def answers(count: int) -> list[Answer]:
    """Distinct pairs, every third right."""
    pairs = [(f"Disease {i}", f"Disease {i}" if i % 3 == 0 else f"Disorder {i}") for i in range(count)]
    return [
        Answer(f"case-{i}", "model", 0, 0, "", None, said, (), "stop", 1, (true,))
        for i, (true, said) in enumerate(pairs)
    ]


def judge_all(url: str, out: Path, count: int) -> None:
    """One whole judging; asks only for what the cache lacks."""
    endpoint = Endpoint(
        url, "double", concurrency=CONCURRENCY, timeout=0.3, attempts=12, backoff=0.005, empty_is_fault=True
    )
    with VerdictCache(out / "cache.sqlite") as cache:
        judge = LLMJudge("double", OpenAIGenerator(endpoint), rules_2024, cache, SamplingParams(64, 0.0))
        print("judging", flush=True)  # the parent waits for it
        judge_folder(out, answers(count), judge=("double", judge))


def straight(url: str, folder: Path, double: Double, count: int) -> dict[str, Any]:
    started = time.perf_counter()
    judge_all(url, folder, count)
    seconds = time.perf_counter() - started
    calls = len(double.requests)
    judge_all(url, folder, count)
    verdicts = list(records.read_jsonl(folder / "verdicts.jsonl", Verdict))
    wrong = sum(v.label is not None and (v.label == 2) != (i % 3 == 0) for i, v in enumerate(verdicts))
    return {
        "verdicts": len(verdicts),
        "seconds": round(seconds, 1),
        "calls": calls,
        "calls of a second run": len(double.requests) - calls,
        "lost": sum(v.label is None for v in verdicts),
        "not as judged": wrong,
        "paid for twice": sum(count - 1 for count in double.delivered.values()),
    }


def killed(url: str, folder: Path, double: Double, count: int, kills: int) -> dict[str, Any]:
    draw = random.Random(0)
    for _ in range(kills):
        worker = start(url, folder, count)
        enough = sum(double.delivered.values()) + draw.randint(1, max(1, min(count // 2, count * 3 // 2 // kills)))
        while sum(double.delivered.values()) < enough:
            assert worker.poll() is None, "it was done before all kills"
            time.sleep(0.002)
        os.kill(worker.pid, signal.SIGKILL)
        worker.wait()
    kept_before = len(double.delivered)
    worker = start(url, folder, count)
    assert worker.wait() == 0
    return {
        "kills": kills,
        "prompts answered before the last start": kept_before,
        "replies lost on their way": sum(count - 1 for count in double.delivered.values()),
    }


def start(url: str, folder: Path, count: int) -> subprocess.Popen[str]:
    """A worker that has just begun to judge."""
    command = [sys.executable, "-m", __spec__.name, "--worker", url, str(folder), "--verdicts", str(count)]
    worker = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert worker.stdout is not None
    assert worker.stdout.readline() == "judging\n"
    return worker


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--verdicts", type=int, default=2000)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--worker", nargs=2, metavar=("URL", "FOLDER"))
    given = parser.parse_args()
    if given.worker:
        judge_all(given.worker[0], Path(given.worker[1]), given.verdicts)
        return
    with tempfile.TemporaryDirectory() as scratch:
        whole, torn = Path(scratch) / "whole", Path(scratch) / "torn"
        for folder in (whole, torn):
            folder.mkdir()
        first, second = (Double(gullible, random_faults(FAULTS, seed), slow=0.02) for seed in (1, 2))
        with serving(first) as url:
            result = {"straight": straight(url, whole, first, given.verdicts)}
        with serving(second) as url:
            result["killed"] = killed(url, torn, second, given.verdicts, given.kills)
        alike = all(
            (whole / name).read_bytes() == (torn / name).read_bytes() for name in ("verdicts.jsonl", "summary.json")
        )
        result["killed"]["the same verdicts and summary"] = alike
    text = json.dumps(result, indent=2)
    print(text)
    if given.json:
        given.json.write_text(text + "\n")


if __name__ == "__main__":
    main()
