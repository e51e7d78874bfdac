"""How large the report of 5,000 cases at 10 checkpoints is, and how quickly it opens and filters in a real Chromium.

    python -m benchmarks.report [--cases 5000] [--steps 10] [--json OUT]

Goals: first screen within 2 s, a filter within 200 ms, a file of at most 1.5 times the compressed data plus 1.5 MB.
*Data* is what the report shows of the run's files: cases, answers, verdicts, behaviours, metrics; *compressed* is gzip
(level 6) of each file. Needs Chromium, its driver and selenium.
"""

from __future__ import annotations

import argparse
import gzip
import json
import random
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks import behaviour, common
from diagnosis_zero import records
from diagnosis_zero.behaviour.analyse import analyse
from diagnosis_zero.report.build import build
from diagnosis_zero.types import Answer, Verdict

FIRST_SCREEN = """
const seen = new MutationObserver(() => {
  if (!window.firstChart && document.querySelector('#result svg.plot')) window.firstChart = performance.now();
  if (!window.firstCase && document.querySelector('.detail .steps')) { window.firstCase = performance.now(); }
});
seen.observe(document, { childList: true, subtree: true });
"""
FILTER = """
const [label, value, done] = arguments;
const box = [...document.querySelectorAll('.filters label')].find((l) => l.textContent.startsWith(label));
const control = box.querySelector('select,input');
const begun = performance.now();
control.value = value;
control.dispatchEvent(new Event(control.tagName === 'INPUT' ? 'input' : 'change', { bubbles: true }));
requestAnimationFrame(() => requestAnimationFrame(() => {
  const took = performance.now() - begun;
  const left = document.querySelector('output').textContent;
  control.value = control.tagName === 'INPUT' ? '' : control.options[0].value;
  control.dispatchEvent(new Event(control.tagName === 'INPUT' ? 'input' : 'change', { bubbles: true }));
  done([took, left]);
}));
"""


def write_run(run: Path, cases: int, steps: int) -> None:
    """A run folder: evaluations with verdicts and behaviours, and metrics of 1,500 steps."""
    rng = random.Random(0)
    behaviour.write_run(run / "evaluations", cases, steps, rng)
    for folder in sorted((run / "evaluations").glob("step-*")):
        answers = records.read_jsonl(folder / "answers.jsonl", Answer)
        records.write_jsonl(folder / "verdicts.jsonl", (_verdict(answer, rng) for answer in answers))
    analyse(run, workers=2)
    rows = (
        {"step": step, "kind": "train", **{key: rng.random() for key in ("reward/mean", "length/mean", "policy/kl")}}
        for step in range(1500)
    )
    (run / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def _verdict(answer: Answer, rng: random.Random) -> Verdict:
    right = rng.random() < 0.2 + answer.step * 0.02
    return Verdict(answer.case_id, answer.sample, answer.step, "ontology", 2 if right else 0, float(right), "exact")


def compressed(run: Path) -> int:
    """Bytes of the run's files, each by gzip."""
    return sum(len(gzip.compress(file.read_bytes(), 6)) for file in run.rglob("*.jsonl"))


def measure(page: Path) -> dict[str, Any]:
    """Milliseconds from the start of the navigation, the best of three; and of every filter."""
    driver = _chromium()
    try:
        driver.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": FIRST_SCREEN})
        opened = [_open(driver, page) for _ in range(3)]
        time.sleep(10)  # the texts are made searchable in the background
        return {"open_ms": min(opened, key=lambda one: one["first_chart"]), "filter_ms": dict(_filters(driver))}
    finally:
        driver.quit()


def _chromium() -> Any:
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = str(shutil.which("chromium") or shutil.which("google-chrome"))
    for switch in ("headless=new", "no-sandbox", "disable-gpu", "window-size=1280,900"):
        options.add_argument(f"--{switch}")
    return webdriver.Chrome(options=options, service=webdriver.ChromeService(shutil.which("chromedriver")))


def _open(driver: Any, page: Path) -> dict[str, float]:
    from selenium.webdriver.support.ui import WebDriverWait

    driver.get("about:blank")
    driver.get(page.as_uri())
    WebDriverWait(driver, 60).until(lambda d: d.execute_script("return window.firstChart && window.firstCase"))
    paint = "performance.getEntriesByName('first-contentful-paint')[0].startTime"
    first, chart, case = driver.execute_script(f"return [{paint}, window.firstChart, window.firstCase]")
    return {"first_paint": round(first), "first_chart": round(chart), "explorer_ready": round(case)}


def _filters(driver: Any) -> Iterator[tuple[str, float]]:
    disease = driver.execute_script("return document.querySelectorAll('.filters select')[1].options[7].value")
    wanted = (
        ("Search", "hypotonia"),
        ("Search", "suggests"),
        ("Outcome", "gained"),
        ("Disease", disease),
        ("Behaviour", "2"),
    )
    for label, value in wanted:
        times = [driver.execute_async_script(FILTER, label, value) for _ in range(3)]
        yield f"{label}: {value}, {times[0][1]}", round(min(took for took, _ in times), 1)


def main() -> None:
    """Make the run, build the report, open it, print the figures."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--cases", type=int, default=5000)
    options.add_argument("--steps", type=int, default=10)
    options.add_argument("--json", type=Path)
    given = options.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        run, page = Path(folder) / "run", Path(folder) / "report.html"
        write_run(run, given.cases, given.steps)
        start = time.perf_counter()
        build([run], page)
        built = time.perf_counter() - start
        data = compressed(run)
        found = {
            "cases": given.cases,
            "checkpoints": given.steps,
            "build_seconds": round(built, 1),
            "file_bytes": page.stat().st_size,
            "compressed_data_bytes": data,
            "file_limit_bytes": round(1.5 * data + 1.5e6),
            **measure(page),
        }
    print(json.dumps(found, indent=2))
    common.report(given.json, found)


if __name__ == "__main__":
    main()
