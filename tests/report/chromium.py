"""A real Chromium by Selenium, and a server that counts who calls."""

from __future__ import annotations

import http.server
import os
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
REQUIRED = "DZ_BROWSER"
"""Set to "required" (as the CI does), a missing browser is a failure and not a reason to skip."""


def open_browser() -> Any:
    """A headless Chromium with its driver; the test is skipped, or fails in the CI, where there is none."""
    missing = _missing()
    if missing:
        reason = f"{missing} is missing: apt-get install chromium chromium-driver"
        (pytest.fail if os.environ.get(REQUIRED) == "required" else pytest.skip)(reason)
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = str(next(filter(None, map(shutil.which, BROWSERS))))
    for switch in ("headless=new", "no-sandbox", "disable-gpu", "disable-dev-shm-usage", "window-size=1280,900"):
        options.add_argument(f"--{switch}")
    options.set_capability("goog:loggingPrefs", {"performance": "ALL", "browser": "ALL"})
    options.set_capability("unhandledPromptBehavior", "ignore")
    return webdriver.Chrome(options=options, service=webdriver.ChromeService(shutil.which("chromedriver")))


def _missing() -> str | None:
    try:
        import selenium  # noqa: F401
    except ImportError:
        return "selenium"
    if not any(map(shutil.which, BROWSERS)):
        return "Chromium"
    return None if shutil.which("chromedriver") else "chromedriver"


class Canary:
    """A server on loopback; ``hits`` are the paths that anyone asked for."""

    def __init__(self) -> None:
        hits: list[str] = []

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                hits.append(self.path)
                self.send_response(204)
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:
                pass

        self.hits = hits
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self.server.server_address[1]


@contextmanager
def canary() -> Iterator[Canary]:
    """A running canary."""
    made = Canary()
    thread = threading.Thread(target=made.server.serve_forever, daemon=True)
    thread.start()
    yield made
    made.server.shutdown()
    made.server.server_close()
    thread.join()
