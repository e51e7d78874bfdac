import base64
import gzip
import json
import random
import re
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from run_folder import answer, case, write_evaluation, write_run

from diagnosis_zero import records
from diagnosis_zero.behaviour.analyse import analyse
from diagnosis_zero.report.build import build
from diagnosis_zero.types import Verdict


def read(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def unpack(page: str) -> list[object]:
    blocks = re.findall(r'<script type="application/gzip;base64" class="block">([^<]*)</script>', page)
    return [json.loads(gzip.decompress(base64.b64decode(block))) for block in blocks]


def test_one_file_says_what_was_trained_and_whether_it_is_better(tmp_path: Path) -> None:
    page = read(build([write_run(tmp_path / "demo", cases=60)], tmp_path / "out" / "report.html"))
    assert "demo: tiny trained by GRPO for 200 steps on 400 vignettes of 5 diseases." in page
    assert '<span class="verdict">Better.</span>' in page
    assert "For research only" in page
    assert "CC BY-NC-SA 4.0" in page
    for chart in ("score", "length", "reward-accuracy", "policy-kl"):
        assert f'data-chart="{chart}"' in page


def test_the_file_asks_no_network_for_anything(tmp_path: Path) -> None:
    page = read(build([write_run(tmp_path / "demo", cases=5)], tmp_path / "report.html"))
    own = re.sub(r"<script>.*?</script>", "", page, flags=re.DOTALL)
    assert not re.search(r'(?:src|href)\s*=\s*"(?!#)', own)
    assert not re.search(r"url\(|@import", own)


def test_every_table_and_chart_is_there_for_machines(tmp_path: Path) -> None:
    page = read(build([write_run(tmp_path / "demo", cases=5)], tmp_path / "report.html"))
    found = re.search(r'<script type="application/json" id="report-data">([^<]*)</script>', page)
    assert found
    data = json.loads(found[1])
    assert data["tables"]["by-step"]["rows"][0]["step_200"]["n"] == 5
    assert {f'data-chart="{name}"' in page for name in data["charts"]} == {True}


def test_every_case_is_in_the_explorer_with_all_its_answers(tmp_path: Path) -> None:
    page = read(build([write_run(tmp_path / "demo", cases=90)], tmp_path / "report.html"))
    index, *blocks = unpack(page)
    assert isinstance(index, dict)
    rows = [row for block in blocks for row in block]  # type: ignore[attr-defined]
    assert len(rows) == len(index["ids"]) == 90
    assert [len(cells) for _, cells in rows] == [3] * 90
    about, cells = rows[7]
    assert about["text"].startswith("A 27-year-old")
    assert cells[0][0][5].startswith(("<think>", "The patient"))


def test_markup_in_names_and_texts_stays_text(tmp_path: Path) -> None:
    evil = "</script><img src=x onerror=alert(1)>"
    path = write_run(tmp_path / "demo", cases=3)
    of = case(0, text=evil, names=(evil,), id=evil)
    write_evaluation(path / "evaluations" / "step-000300", [answer(of, 300, evil, text=evil)])
    records.write_json(path / "manifest.json", {"note": evil})
    (path / "config.toml").write_text(f"title = '{evil}'\n")
    page = read(build([path], tmp_path / "report.html"))
    assert "<img" not in page
    assert page.count("</script>") == page.count("<script")


def test_several_runs_are_overlaid(tmp_path: Path) -> None:
    paths = [write_run(tmp_path / name, cases=5) for name in ("one", "two")]
    page = read(build(paths, tmp_path / "report.html"))
    assert re.search(r"<title>one · two</title>", page)
    index = unpack(page)[0]
    assert [c["run"] for c in index["checkpoints"]] == ["one"] * 3 + ["two"] * 3  # type: ignore[call-overload]


def test_redacted_reports_hold_no_word_by_or_about_a_patient(tmp_path: Path) -> None:
    path = write_run(tmp_path / "demo", cases=5)
    secret = "Zebedee"
    of = case(0, text=f"{secret} had a fall.", id=f"{secret}-1", age=f"{secret}-age")
    said = answer(of, 300, f"{secret} disease", text=f"<think>{secret}</think><answer>{secret}</answer>")
    write_evaluation(path / "evaluations" / "step-000300", [said])
    records.write_jsonl(path / "evaluations" / "cases.jsonl", [of])
    records.write_json(path / "manifest.json", {"command": ["dz", secret], "data": f"/home/{secret}/cases"})
    (path / "config.toml").write_text(f"[data]\nfolder = '{secret}'\n")
    event = {"step": 1, "kind": "event", "event": "guard", "message": f"{secret} looped"}
    with (path / "metrics.jsonl").open("a") as handle:
        handle.write(json.dumps(event) + "\n")
    open_page = read(build([path], tmp_path / "open.html"))
    page = read(build([path], tmp_path / "redacted.html", redact=True))
    assert secret in open_page
    assert secret in json.dumps(unpack(open_page))
    assert secret not in page
    assert secret not in json.dumps(unpack(page))
    assert "presented" not in json.dumps(unpack(page))
    assert "Marfan syndrome" in json.dumps(unpack(page))


WORDS = ("amber", "birch", "cedar", "delta", "ember", "fjord", "grove", "heron", "iris", "jade", "kelp", "lunar")


def test_no_five_words_of_a_case_are_left_in_a_redacted_report(tmp_path: Path) -> None:
    """Wherever a case is quoted: its text, answers, reasoning, a judge's reason, rollouts, messages of the guard."""
    rng = random.Random(0)
    path = write_run(tmp_path / "demo", cases=5)
    texts = [" ".join(rng.choices(WORDS, k=60)) for _ in range(6)]
    cases = [case(n, text=text, leaks=(text[:60],)) for n, text in enumerate(texts)]
    said = [answer(of, 300, of.text[:80], text=f"<think>{of.text}</think><answer>{of.text}</answer>") for of in cases]
    folder = path / "evaluations" / "step-000300"
    write_evaluation(folder, said)
    verdicts = [Verdict(one.case_id, 0, 300, "sequence", 0, 0.0, "none", reason=one.text) for one in said]
    records.write_jsonl(folder / "verdicts.jsonl", verdicts)
    records.write_jsonl(path / "evaluations" / "cases.jsonl", cases)
    rollouts = path / "rollouts" / "step-000001.parquet"
    table = [
        row | {"text": texts[0], "answer": texts[1], "think": texts[2]} for row in pq.read_table(rollouts).to_pylist()
    ]
    pq.write_table(pa.Table.from_pylist(table), rollouts)
    with (path / "metrics.jsonl").open("a") as handle:
        handle.write(json.dumps({"step": 1, "kind": "event", "event": "guard", "message": texts[3]}) + "\n")
    analyse(path)
    windows = {window for text in texts for window in five_words(text)}
    shown = read_all(build([path], tmp_path / "open.html"))
    assert all(window in shown for window in windows)
    redacted = read_all(build([path], tmp_path / "redacted.html", redact=True))
    assert not [window for window in windows if window in redacted]


def five_words(text: str) -> list[str]:
    words = text.split()
    return [" ".join(words[start : start + 5]) for start in range(len(words) - 4)]


def read_all(page: Path) -> str:
    """Everything that a file holds, its packed blocks too."""
    return read(page) + json.dumps(unpack(read(page)))


def test_a_run_without_evaluations_still_gets_its_curves(tmp_path: Path) -> None:
    path = tmp_path / "young"
    path.mkdir()
    (path / "metrics.jsonl").write_text('{"step": 1, "kind": "train", "length/mean": 12.0}\n')
    page = read(build([path], tmp_path / "report.html"))
    assert 'data-chart="length"' in page
    assert "No evaluation was found" in page


def test_the_same_run_gives_the_same_file(tmp_path: Path) -> None:
    path = write_run(tmp_path / "demo", cases=5)
    first, second = (read(build([path], tmp_path / name)) for name in ("a.html", "b.html"))
    assert first == second
