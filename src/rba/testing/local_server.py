"""A server on 127.0.0.1, for as long as a block runs, and one that answers what is posted to it."""

from __future__ import annotations

import contextlib
import json
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Answer = Callable[[str, Mapping[str, Any]], Any]
"""`answer(path, payload)`: JSON, or the bytes of a body."""


class RefusedError(Exception):
    """What an `Answer` raises for a request that is refused: the status, and what is said with it."""

    def __init__(self, status: int, said: str):
        super().__init__(said)
        self.status = status


@contextlib.contextmanager
def running(server: ThreadingHTTPServer) -> Iterator[str]:
    """The server's address, without a slash at its end; it has shut down when the block ends."""
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextlib.contextmanager
def answering(answer: Answer) -> Iterator[str]:
    """The base address, up to and with /v1, of a server that posts to `answer`, while the block runs.

    What that raises is a refusal: RefusedError with its status, ValueError, KeyError and TypeError with 400, all else
    with 500.
    """
    server = _Server(("127.0.0.1", 0), _Handler)
    server.answer = answer  # type: ignore[attr-defined]
    with running(server) as address:
        yield f"{address}/v1"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """The list of models."""
        self._send(200, {"object": "list", "data": [{"id": "tiny", "object": "model"}]})

    def do_POST(self) -> None:
        """An answer, or the reason why there is none."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        answer: Answer = self.server.answer  # type: ignore[attr-defined]
        try:
            form = self.headers["Content-Type"].startswith("multipart/")
            self._send(200, answer(self.path, {} if form else json.loads(body)))
        except RefusedError as error:
            self._send(error.status, {"error": {"message": str(error)}})
        except (ValueError, KeyError, TypeError) as error:
            self._send(400, {"error": {"message": f"{type(error).__name__}: {error}"}})
        except Exception as error:
            self._send(500, {"error": {"message": f"{type(error).__name__}: {error}"}})

    def _send(self, status: int, answer: Any) -> None:
        body = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
        with contextlib.suppress(OSError):
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    def log_message(self, *arguments: Any) -> None:
        """Say nothing."""


class _Server(ThreadingHTTPServer):
    request_queue_size = 256

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of a client that has gone."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)
