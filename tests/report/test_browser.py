"""The report in a real Chromium: hostile texts, accessibility, keyboard, links, phone, dark, print."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import payloads
import pytest
import tomli_w
from chromium import canary, open_browser
from run_folder import answer, case, write_evaluation, write_run

from diagnosis_zero import records
from diagnosis_zero.behaviour.analyse import analyse
from diagnosis_zero.report.build import build
from diagnosis_zero.types import Finding, Verdict

pytestmark = pytest.mark.browser
AXE = Path(__file__).parent / "vendor" / "axe.min.js"
WIDE, NARROW = 1280, 400


@pytest.fixture(scope="session")
def driver() -> Iterator[Any]:
    driver = open_browser()
    driver.set_script_timeout(120)
    yield driver
    driver.quit()


@pytest.fixture(scope="session")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of two ordinary runs with all that a report can show."""
    home = tmp_path_factory.mktemp("plain")
    runs = [write_run(home / name, cases=60, seed=seed) for seed, name in enumerate(("first", "second"))]
    for run in runs:
        analyse(run)
    return build(runs, home / "report.html")


@pytest.fixture(scope="session")
def bait() -> Iterator[Any]:
    with canary() as made:
        yield made


@pytest.fixture(scope="session")
def hostile(tmp_path_factory: pytest.TempPathFactory, bait: Any) -> Path:
    """A report in which every text, name and message that can be hostile is."""
    url = payloads.CANARY.format(port=bait.port)
    evil = [text.replace("CANARY", url) for text in payloads.ALL]
    home = tmp_path_factory.mktemp("hostile")
    return build([write_hostile(home / "evil <img src=x onerror=alert(1)>", evil)], home / "report.html")


def write_hostile(run: Path, evil: Sequence[str]) -> Path:
    write_run(run, cases=3)
    short = [text[:5000] for text in evil]
    cases = [
        case(n, id=f"e{n}-{text[:200]}", text=text, names=(text[:500], "x"), ids=(text[:100],), age=text[:100],
             sex=text[:100], date=text[:100], source=text[:100], findings=(Finding(text[:50], text[:300]),))
        for n, text in enumerate(evil)
    ]  # fmt: skip
    records.write_jsonl(run / "evaluations" / "cases.jsonl", cases)
    for step, texts in ((0, short), (100, short), (200, evil)):
        said = [answer(of, step, text[:5000], text=f"<think>{text}</think><answer>{text[:9000]}</answer>")
                for of, text in zip(cases, texts, strict=True)]  # fmt: skip
        said = [dataclasses.replace(one, think=one.text[:5000]) for one in said]
        folder = run / "evaluations" / f"step-{step:06d}"
        write_evaluation(folder, said)
        verdicts = [Verdict(a.case_id, 0, step, "judge", 0, 0.0, text[:200], text[:500], text[:100])
                    for a, text in zip(said, evil, strict=True)]  # fmt: skip
        records.write_jsonl(folder / "verdicts.jsonl", verdicts)
    events = [{"step": 5 + n, "kind": "event", "event": text, "message": text} for n, text in enumerate(short)]
    metrics = [{"step": 1 + n, "kind": "train", f"reward/{text[:60]}": 0.5 + n} for n, text in enumerate(short[:40])]
    with (run / "metrics.jsonl").open("a") as handle:
        handle.writelines(json.dumps(row) + "\n" for row in (*events, *metrics))
    records.write_json(run / "manifest.json", {text[:80]: text for text in short})
    (run / "config.toml").write_text(
        tomli_w.dumps({"model": {"id": evil[0]}, **{f"k{n}": text for n, text in enumerate(short)}})
    )
    analyse(run)
    return run


# ---- helpers -----------------------------------------------------------------------------------------------


def load(driver: Any, page: Path, width: int = WIDE, *, dark: bool = False, fragment: str = "") -> None:
    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 700}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "", "features": [scheme]})
    driver.get("about:blank")
    driver.get_log("performance"), driver.get_log("browser")
    driver.get(page.as_uri() + fragment)
    wait(driver, "return !document.getElementById('explorer') || document.querySelector('.detail > *') !== null")


def wait(driver: Any, condition: str, seconds: float = 30) -> None:
    from selenium.webdriver.support.ui import WebDriverWait

    WebDriverWait(driver, seconds, poll_frequency=0.02).until(lambda d: d.execute_script(condition))


def requests(driver: Any) -> list[str]:
    """Addresses that the page asked for since it was opened, its own file apart."""
    events = [json.loads(entry["message"])["message"] for entry in driver.get_log("performance")]
    asked = [e["params"]["request"]["url"] for e in events if e["method"] == "Network.requestWillBeSent"]
    own = driver.current_url.partition("#")[0]
    return [url for url in asked if url.partition("#")[0] != own and url != "about:blank"]


def alert_is_open(driver: Any) -> bool:
    from selenium.common.exceptions import NoAlertPresentException

    try:
        driver.switch_to.alert.accept()
    except NoAlertPresentException:
        return False
    return True


SIDEWAYS = "return document.documentElement.scrollWidth - document.documentElement.clientWidth"
FOREIGN = (
    "return [...document.querySelectorAll('img,iframe,object,embed,video,audio,form,base,link,marquee,math,"
    "template,[onerror],[onload],[onclick],[onfocus],[ontoggle],[style*=fixed]')].map(e => e.outerHTML.slice(0, 200))"
)
SKELETON = (
    "return [...document.body.children].map(e => e.tagName).join() + ' ' + "
    "[...document.querySelectorAll('main > *')].map(e => e.tagName + '#' + e.id).join()"
)


def keys(driver: Any, *pressed: str) -> None:
    from selenium.webdriver.common.action_chains import ActionChains

    for key in pressed:
        ActionChains(driver).send_keys(key).perform()


# ---- hostile texts -----------------------------------------------------------------------------------------


def test_the_detectors_detect(driver: Any, bait: Any, tmp_path: Path) -> None:
    """Negative control: the same payloads do harm in a page that protects itself by nothing."""
    page = tmp_path / "naive.html"
    url = payloads.CANARY.format(port=bait.port)
    page.write_text(f"<!doctype html><body><img src='{url}/naive'><img src=x onerror='window.pwned=1'>")
    driver.get(page.as_uri())
    wait(driver, "return window.pwned === 1")
    assert any("/naive" in address for address in requests(driver))
    assert driver.execute_script(FOREIGN)
    from selenium.webdriver.support.ui import WebDriverWait

    driver.execute_script(
        "setTimeout(() => document.body.insertAdjacentHTML('beforeend', '<img src=x onerror=alert(1)>'))"
    )
    WebDriverWait(driver, 30).until(alert_is_open)
    assert any("/naive" in path for path in bait.hits)
    bait.hits.clear()


def test_there_are_enough_payloads() -> None:
    assert len(set(payloads.ALL)) >= 50


@pytest.mark.parametrize("width", [WIDE, NARROW])
def test_no_payload_runs_asks_or_breaks_anything(
    driver: Any, hostile: Path, plain: Path, bait: Any, width: int
) -> None:
    load(driver, plain, width)
    load(driver, hostile, width)
    skeleton = driver.execute_script(SKELETON)
    assert skeleton.startswith("A,HEADER,MAIN,SCRIPT")
    assert "SECTION#cases" in skeleton
    assert "SECTION#provenance" in skeleton
    driver.execute_script("document.querySelectorAll('details').forEach(d => d.open = true)")
    count = driver.execute_script("return document.querySelectorAll('script.block').length")
    assert count >= 2
    for number in range(len(payloads.ALL)):
        show(driver, number)
        found = driver.execute_script(f"return [window.pwned, (() => {{ {FOREIGN} }})(), (() => {{ {SIDEWAYS} }})()]")
        assert found == [None, [], 0], (number, payloads.ALL[number][:80], found)
    assert not alert_is_open(driver)
    assert requests(driver) == []
    assert bait.hits == []
    assert driver.execute_script(SKELETON) == skeleton


def show(driver: Any, number: int) -> None:
    """Go to the payload's case by the page's own list order, and press its buttons."""
    driver.execute_script(
        "const list = document.querySelector('.list'); list.focus();"
        "list.dispatchEvent(new KeyboardEvent('keydown', { key: arguments[0] }))",
        "Home" if number == 0 else "ArrowDown",
    )
    wait(driver, f"return (document.querySelector('.detail .bar span') || {{}}).textContent?.startsWith('e{number}-')")
    driver.execute_script("document.querySelectorAll('.detail button').forEach(b => b.click())")


def test_a_page_that_is_tampered_with_still_runs_nothing(driver: Any, plain: Path, bait: Any, tmp_path: Path) -> None:
    """The policy in the file holds by itself, should the escaping ever fail."""
    url = payloads.CANARY.format(port=bait.port)
    evil = f"<script>window.pwned=1</script><img src='{url}/x' onerror='window.pwned=2'><iframe src='{url}/y'></iframe>"
    page = tmp_path / "tampered.html"
    page.write_text(plain.read_text().replace('<main id="main">', f'<main id="main">{evil}', 1))
    load(driver, page)
    assert driver.execute_script("return window.pwned ?? null") is None
    assert bait.hits == []


# ---- use ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [WIDE, NARROW])
def test_axe_finds_no_serious_fault(driver: Any, plain: Path, width: int, dark: bool) -> None:
    load(driver, plain, width, dark=dark)
    driver.execute_script("document.querySelectorAll('details').forEach(d => d.open = true)")
    driver.execute_script(AXE.read_text(encoding="utf-8"))
    found = driver.execute_async_script(
        "const done = arguments[0]; axe.run(document, { resultTypes: ['violations'] }).then(r => done(r.violations))"
    )
    serious = [(v["id"], v["impact"], [n["html"][:200] for n in v["nodes"][:3]])
               for v in found if v["impact"] in ("serious", "critical")]  # fmt: skip
    assert serious == []


def test_the_page_opens_without_an_error_and_without_a_request(driver: Any, plain: Path) -> None:
    load(driver, plain)
    assert requests(driver) == []
    assert [line for line in driver.get_log("browser") if line["level"] == "SEVERE"] == []
    assert driver.execute_script(
        "return document.querySelectorAll('[data-chart] svg.plot').length"
    ) == driver.execute_script("return document.querySelectorAll('[data-chart]').length")


@pytest.mark.parametrize("width", [WIDE, NARROW])
def test_nothing_scrolls_sideways(driver: Any, plain: Path, width: int) -> None:
    load(driver, plain, width)
    assert driver.execute_script(SIDEWAYS) == 0
    driver.execute_script("document.querySelectorAll('details').forEach(d => d.open = true)")
    assert driver.execute_script(SIDEWAYS) == 0


def test_the_keyboard_reaches_and_walks_the_cases(driver: Any, plain: Path) -> None:
    from selenium.webdriver.common.keys import Keys

    load(driver, plain)
    keys(driver, Keys.TAB)
    assert driver.execute_script("return document.activeElement.className") == "skip"
    for _ in range(200):
        keys(driver, Keys.TAB)
        if driver.execute_script("return document.activeElement.getAttribute('role')") == "listbox":
            break
    chosen = "return document.querySelector('[aria-selected=true] .id')?.textContent"
    keys(driver, Keys.HOME)
    wait(driver, "return location.hash === '#case=PMC1000-1'")
    keys(driver, Keys.ARROW_DOWN, Keys.ARROW_DOWN)
    wait(driver, "return location.hash === '#case=PMC1002-1'")
    assert driver.execute_script(chosen) == "PMC1002-1"
    keys(driver, Keys.END)
    wait(driver, "return location.hash === '#case=PMC1059-1'")


def test_a_link_to_a_case_opens_it(driver: Any, plain: Path) -> None:
    load(driver, plain, fragment="#case=PMC1042-1")
    wait(driver, "return document.querySelector('.detail .bar').textContent.includes('PMC1042-1')")
    driver.execute_script("location.hash = '#case=PMC1007-1'")
    wait(driver, "return document.querySelector('.detail .bar').textContent.includes('PMC1007-1')")
    load(driver, plain, fragment="#case=nobody%20<img>")
    assert "No case is called nobody <img>" in driver.execute_script(
        "return document.querySelector('.detail').textContent"
    )


def test_filters_narrow_the_list_and_say_how_many_are_left(driver: Any, plain: Path) -> None:
    load(driver, plain)
    tally = "return document.querySelector('output').textContent"
    choose = (
        "const [label, value] = arguments; const box = [...document.querySelectorAll('.filters label')]"
        ".find(l => l.textContent.startsWith(label)).querySelector('select,input'); box.value = value;"
        "box.dispatchEvent(new Event(box.tagName === 'INPUT' ? 'input' : 'change', { bubbles: true }))"
    )
    assert driver.execute_script(tally) == "60 of 60 cases"
    driver.execute_script(choose, "Disease", "Fabry disease")
    assert driver.execute_script(tally) == "12 of 60 cases"
    driver.execute_script(choose, "Search", "pmc1001")
    assert driver.execute_script(tally) == "1 of 60 cases"
    driver.execute_script(choose, "Search", "no such words")
    assert driver.execute_script(tally) == "0 of 60 cases"


def test_the_same_case_at_two_checkpoints_shows_what_changed(driver: Any, plain: Path) -> None:
    load(driver, plain, fragment="#case=PMC1000-1")
    wait(driver, "return document.querySelectorAll('.pair > div').length === 2")
    assert driver.execute_script("return document.querySelectorAll('.detail .steps tbody tr').length") == 6
    marked = "return [...document.querySelectorAll('.pair .part-think mark')].map(m => m.textContent.toLowerCase())"
    assert "ectopia" in " ".join(driver.execute_script(marked))


def test_dark_and_light_differ_and_paper_is_light(driver: Any, plain: Path) -> None:
    ground = "return getComputedStyle(document.body).backgroundColor"
    load(driver, plain)
    light = driver.execute_script(ground)
    load(driver, plain, dark=True)
    dark = driver.execute_script(ground)
    assert (light, dark) == ("rgb(255, 255, 255)", "rgb(16, 22, 29)")
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print", "features": []})
    assert driver.execute_script("return getComputedStyle(document.querySelector('header nav')).display") == "none"
    assert driver.execute_script("return getComputedStyle(document.querySelector('.filters')).display") == "none"
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "", "features": []})
