"""A real HTTP server on loopback that speaks the OpenAI protocol, with faults on demand."""

from __future__ import annotations

import json
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

FAULTS = ("429", "500", "timeout", "broken", "empty", "cut")


Request = Mapping[str, Any]
Answer = Callable[[Request], str | dict[str, Any]]
"""The text of a reply, or its whole body."""
Reply = tuple[int, Mapping[str, Any]] | tuple[int, Mapping[str, Any], Mapping[str, str]]
"""A status, a body, and headers."""
Fault = Callable[[Request, int], str | Reply | None]


class Double:
    """What the server does and what it saw.

    ``answer(request) -> text`` writes a reply; ``fault(request, count) -> name or None`` says what goes
    wrong at this request, the ``count``-th with the same body. ``delivered`` counts whole good replies by
    body.
    """

    def __init__(self, answer: Answer, fault: Fault = lambda request, count: None, slow: float = 0.0) -> None:
        self.answer, self.fault, self.slow = answer, fault, slow
        self.requests: list[Request] = []
        self.headers: list[tuple[str, dict[str, str]]] = []
        self.seen: Counter[str] = Counter()
        self.delivered: Counter[str] = Counter()
        self.lock = threading.Lock()
        self.most_at_once = self.at_once = 0


def random_faults(share: float, seed: int = 0) -> Fault:
    """Each of the six faults alike, decided by the request and how often it came: the same in every run."""

    def fault(request: Request, count: int) -> str | None:
        draw = random.Random(f"{seed}/{json.dumps(request, sort_keys=True)}/{count}")
        return draw.choice(FAULTS) if draw.random() < share else None

    return fault


def reply_body(text: str, finish: str = "stop", **message: Any) -> dict[str, Any]:
    """A chat completion (and a plain one) that says ``text``."""
    return {
        "id": "x",
        "object": "chat.completion",
        "created": 0,
        "model": "double",
        "choices": [
            {
                "index": 0,
                "finish_reason": finish,
                "text": text,
                "message": {"role": "assistant", "content": text, **message},
            }
        ],
        "usage": {"prompt_tokens": 100, "completion_tokens": 5, "total_tokens": 105},
    }


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"

    def log_message(self, *args: object) -> None:
        pass

    def do_POST(self) -> None:
        double = self.server.double
        request = json.loads(self.rfile.read(int(self.headers["content-length"])))
        body = json.dumps(request, sort_keys=True)
        with double.lock:
            double.requests.append(request)
            double.headers.append((self.path, {k.lower(): v for k, v in self.headers.items()}))
            double.seen[body] += 1
            count = double.seen[body]
            double.at_once += 1
            double.most_at_once = max(double.most_at_once, double.at_once)
        try:
            time.sleep(double.slow)
            self._respond(double, request, body, double.fault(request, count))
        finally:
            with double.lock:
                double.at_once -= 1

    def _respond(self, double: Double, request: Request, body: str, fault: str | Reply | None) -> None:
        if isinstance(fault, tuple):
            self._send(fault[0], json.dumps(fault[1]).encode(), fault[2] if len(fault) > 2 else None)
        elif fault is not None and fault.isdecimal():
            self._send(int(fault), json.dumps({"error": {"message": f"fault {fault}"}}).encode())
        elif fault == "timeout":
            self.server.stopping.wait(1.5)
            self.close_connection = True
        elif fault == "broken":
            self._send(200, b'{"choices": [{"message": {"content": "1: 2"')
        elif fault == "empty":
            self._send(200, json.dumps(reply_body("")).encode())
        elif fault == "cut":
            whole = json.dumps(reply_body("1: 2")).encode()
            self._send(200, whole[:20], length=len(whole))
            self.close_connection = True
        else:
            written = double.answer(request)
            made = reply_body(written) if isinstance(written, str) else written
            self._send(200, json.dumps(made).encode())
            with double.lock:
                double.delivered[body] += 1

    def _send(
        self, status: int, payload: bytes, headers: Mapping[str, str] | None = None, length: int | None = None
    ) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(length or len(payload)))
        for name, value in (headers or {}).items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(payload)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def __init__(self, double: Double) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.double, self.stopping = double, threading.Event()

    def handle_error(self, request: object, client_address: object) -> None:
        pass  # a client that was killed or timed out


@contextmanager
def serving(double: Double) -> Iterator[str]:
    """The double's base address."""
    server = _Server(double)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/v1"
    finally:
        server.stopping.set()
        server.shutdown()
        server.server_close()
        thread.join()
