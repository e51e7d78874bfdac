"""A real HTTP server on loopback that speaks the OpenAI protocol, with faults on demand."""

from __future__ import annotations

import json
import random
import threading
import time
from collections import Counter
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

FAULTS = ("429", "500", "timeout", "broken", "empty", "cut")


class Double:
    """What the server does and what it saw.

    ``answer(request) -> text`` writes a reply; ``fault(request, count) -> name or None`` says what goes
    wrong at this request, the ``count``-th with the same body. ``delivered`` counts whole good replies by
    body.
    """

    def __init__(self, answer, fault=lambda request, count: None, slow=0.0):
        self.answer, self.fault, self.slow = answer, fault, slow
        self.requests, self.headers = [], []
        self.seen, self.delivered = Counter(), Counter()
        self.lock = threading.Lock()
        self.most_at_once = self.at_once = 0


def random_faults(share, seed=0):
    """Each of the six faults alike, decided by the request and how often it came: the same in every run."""

    def fault(request, count):
        draw = random.Random(f"{seed}/{json.dumps(request, sort_keys=True)}/{count}")
        return draw.choice(FAULTS) if draw.random() < share else None

    return fault


def reply_body(text, finish="stop", **message):
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
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def do_POST(self):
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

    def _respond(self, double, request, body, fault):
        if fault in ("429", "500", "401", "400"):
            self._send(int(fault), json.dumps({"error": {"message": f"fault {fault}"}}).encode())
        elif isinstance(fault, tuple):
            self._send(fault[0], json.dumps(fault[1]).encode(), **(fault[2] if len(fault) > 2 else {}))
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

    def _send(self, status, payload, length=None, **headers):
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(length or len(payload)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(payload)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def handle_error(self, request, client_address):
        pass  # a client that was killed or timed out


@contextmanager
def serving(double):
    """The double's base address."""
    server = _Server(("127.0.0.1", 0), _Handler)
    server.double, server.stopping = double, threading.Event()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/v1"
    finally:
        server.stopping.set()
        server.shutdown()
        server.server_close()
        thread.join()
