"""An OpenAI-compatible server on 127.0.0.1 that fails as it is told; what it says is a function of the payload."""

from __future__ import annotations

import base64
import contextlib
import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from email import message_from_bytes
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from rba.testing.local_server import running

FAULTS = ("429", "500", "time-out", "drip", "cut", "garbage", "no choice", "two choices")


@dataclass
class FaultServer:
    """`fault(number)` names what befalls the attempt of that number at a payload ("" : nothing): one of `FAULTS`, or a
    status and what the server says with it."""

    answer: Callable[[str, dict[str, Any]], Any]
    fault: Callable[[str, int], str] = lambda text, number: ""
    attempts: Counter[str] = field(default_factory=Counter)
    answered: Counter[str] = field(default_factory=Counter)
    paths: list[str] = field(default_factory=list)
    payloads: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    said: dict[str, str] = field(default_factory=lambda: {"Retry-After": "0"})  # headers of what is no answer
    most: int = 0
    busy: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)
    url: str = ""


def echo(path: str, payload: dict[str, Any]) -> dict[str, Any]:
    """Answers a chat with its own words."""
    said = payload["messages"][-1]["content"]
    choice = {"message": {"content": f"about {said}"}, "finish_reason": "stop"}
    return {"choices": [choice], "usage": {"prompt_tokens": 10, "completion_tokens": 4}}


def _payload(kind: str, body: bytes) -> dict[str, Any]:
    """What was sent as JSON, or the fields of a form; its file as base64 under the file's name."""
    if kind == "application/json":
        return json.loads(body)
    head = f"Content-Type: {kind}\r\n\r\n".encode()
    fields = {}
    for part in message_from_bytes(head + body).get_payload():
        content = part.get_payload(decode=True)
        name = part.get_param("name", header="Content-Disposition")
        file = part.get_filename()
        fields[file or name] = base64.b64encode(content).decode() if file else content.decode()
    return fields


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        state: FaultServer = self.server.state  # type: ignore[attr-defined]
        payload = _payload(self.headers["Content-Type"], self.rfile.read(int(self.headers["Content-Length"])))
        text = json.dumps(payload, sort_keys=True)
        with state.lock:
            number = state.attempts[text]
            state.attempts[text] += 1
            state.busy += 1
            state.most = max(state.most, state.busy)
            state.paths.append(self.path)
            state.payloads.append(payload)
            state.headers.append(dict(self.headers))
        try:
            self._reply(state, state.fault(text, number), text, payload)
        finally:
            with state.lock:
                state.busy -= 1

    def _reply(self, state: FaultServer, fault: str, text: str, payload: dict[str, Any]) -> None:
        time.sleep(0.005)
        status, _, said = fault.partition(" ")
        if status.isdecimal():
            return self._send(int(status), said.encode() or b'{"error": "no"}')
        tree = state.answer(self.path, payload)
        if fault == "time-out":
            time.sleep(0.7)
        if fault == "no text":
            tree = {**tree, "text": None}
        if fault == "no choice":
            tree = {**tree, "choices": []}
        if fault == "two choices":
            tree = {**tree, "choices": tree["choices"] * 2}
        whole = tree if isinstance(tree, bytes) else json.dumps(tree).encode()
        body = b"<html>" if fault == "garbage" else whole
        if fault == "cut":
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body[: len(body) // 2])
            self.close_connection = True
            return None
        if fault == "drip":
            return self._drip(body)
        if not fault:
            with state.lock:
                state.answered[text] += 1
        return self._send(200, body)

    def _drip(self, body: bytes) -> None:
        """An answer of which a piece arrives often enough, and the whole not soon."""
        with contextlib.suppress(OSError):
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            for place in range(len(body)):
                self.wfile.write(body[place : place + 1])
                time.sleep(0.05)

    def _send(self, status: int, body: bytes) -> None:
        with contextlib.suppress(OSError):
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            for name, value in self.server.state.said.items() if status != 200 else ():  # type: ignore[attr-defined]
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

    def log_message(self, *arguments: Any) -> None:
        """Say nothing."""


class _Server(ThreadingHTTPServer):
    request_queue_size = 64


@contextlib.contextmanager
def serving(state: FaultServer) -> Iterator[FaultServer]:
    """The server while the block runs; `state.url` is its base address."""
    server = _Server(("127.0.0.1", 0), _Handler)
    server.state = state  # type: ignore[attr-defined]
    with running(server) as address:
        state.url = f"{address}/v1"
        yield state
