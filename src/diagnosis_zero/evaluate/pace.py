"""How fast calls may go out: a rate that the user set, and pauses that the server asked for."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable


class Pace:
    """Shared by all calls to one server; safe among threads. ``clock`` and ``sleep`` are swapped in tests."""

    def __init__(
        self,
        requests_per_minute: float | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._gap = 60.0 / requests_per_minute if requests_per_minute else 0.0
        self._clock, self.sleep = clock, sleep
        self._lock = threading.Lock()
        self._next = clock()

    def wait_turn(self) -> None:
        """Sleep until this call's place in the line."""
        with self._lock:
            turn = max(self._next, self._clock())
            self._next = turn + self._gap
        self.sleep(max(0.0, turn - self._clock()))

    def hold(self, seconds: float) -> None:
        """Let no further call out for this long: a rate limit holds for all calls, not for the one it met."""
        if seconds > 0:
            with self._lock:
                self._next = max(self._next, self._clock() + seconds)
