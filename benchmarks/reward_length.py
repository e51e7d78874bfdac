"""What a completion of 1, 2 and 4 million characters costs to parse and score: linear, under 100 ms a million.

    python -m benchmarks.reward_length [--json OUT]

The texts are made to be slow: floods of tags and brackets, endless answers and reasoning, many scripts.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

from diagnosis_zero.parsing import render
from diagnosis_zero.rewards import build_reward
from diagnosis_zero.types import Case, RewardFn

CASE = Case(id="1", source="", source_id="", text="A tall boy with a dislocated lens.", names=("Marfan syndrome",))
MILLION = 1_000_000
REPEATS = 5

TEXTS: dict[str, Callable[[int], str]] = {
    "prose in the reasoning": lambda n: render("a tall patient with a lens " * (n // 27), "Marfan syndrome"),
    "words that never repeat": lambda n: render(" ".join(map(str, range(n // 7))), "Marfan syndrome"),
    "Chinese reasoning": lambda n: render("综合征" * (n // 3), "Marfan syndrome"),
    "answer repeated": lambda n: render("r", "Marfan syndrome " * (n // 16)),
    "answer of commas": lambda n: render("r", "a, " * (n // 3)),
    "answer of lines": lambda n: render("r", "a\n" * (n // 2)),
    "answer of brackets": lambda n: render("r", "(" * n),
    "one long word": lambda n: render("r", "a" * n),
    "text behind the answer": lambda n: render("r", "Marfan syndrome") + " or not" * (n // 7),
    "opening tags": lambda n: "<think>" * (n // 7),
    "answer blocks": lambda n: "<answer>a</answer>" * (n // 18),
    "brackets of tags": lambda n: "<" * n,
    "tags that never end": lambda n: "<think" * (n // 6) + " " * (n % 6),
    "blanks in a tag": lambda n: "<" + " " * n,
    "every character at once": lambda n: "".join(chr(code % 0x110000) for code in range(n)),
}


def milliseconds(reward: RewardFn, text: str) -> float:
    """CPU time, the best of a few runs: what the work costs when nothing else disturbs."""

    def once() -> float:
        start = time.process_time()
        reward(text, CASE)
        return time.process_time() - start

    return round(1000 * min(once() for _ in range(REPEATS)), 1)


def measure() -> dict[str, dict[str, list[float]]]:
    """Method, then text, then milliseconds at 1, 2 and 4 million characters."""
    rewards = {
        "sequence": build_reward(method="sequence"),
        "ontology": build_reward(catalogue="default"),
        "ontology, top 5": build_reward(catalogue="default", top=5),
    }
    return {
        method: {name: [milliseconds(reward, text(n * MILLION)) for n in (1, 2, 4)] for name, text in TEXTS.items()}
        for method, reward in rewards.items()
    }


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    arguments.add_argument("--json", type=Path)
    options = arguments.parse_args()
    found = measure()
    for method, rows in found.items():
        print(f"\n{method}: ms at 1, 2, 4 million characters")
        for name, times in rows.items():
            print(f"  {name:26}" + "".join(f"{value:9.1f}" for value in times))
    if options.json:
        options.json.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    slow = [name for rows in found.values() for name, times in rows.items() if times[0] >= 100]
    sys.exit(f"100 ms or more: {', '.join(slow)}" if slow else 0)


if __name__ == "__main__":
    main()
