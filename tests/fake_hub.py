"""The few routes of a model hub that an upload takes, on 127.0.0.1."""

from __future__ import annotations

import base64
import contextlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from rba.testing.local_server import running


@dataclass
class FakeHub:
    """`private` by repository, the `files` that were committed, `tokens` that were shown; `refuse` answers all else."""

    refuse: int = 0
    private: dict[str, bool] = field(default_factory=dict)
    files: dict[str, bytes] = field(default_factory=dict)
    tokens: set[str] = field(default_factory=set)
    url: str = ""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        hub: FakeHub = self.server.hub  # type: ignore[attr-defined]
        size = self.headers["Content-Length"]
        body = self.rfile.read(int(size)) if size else self._chunks()
        hub.tokens.add(self.headers.get("Authorization", ""))
        if hub.refuse:
            return self._send(hub.refuse, {"error": "no"})
        if self.path.endswith("/repos/create"):
            return self._create(hub, json.loads(body))
        if "/preupload/" in self.path:
            names = [file["path"] for file in json.loads(body)["files"]]
            modes = {"uploadMode": "regular", "shouldIgnore": False, "oid": None}
            return self._send(200, {"files": [{"path": name, **modes} for name in names]})
        if "/commit/" in self.path:
            for line in map(json.loads, body.splitlines()):
                if line["key"] == "file":
                    hub.files[line["value"]["path"]] = base64.b64decode(line["value"]["content"])
            commit = {"success": True, "commitOid": "c0", "commitUrl": f"{hub.url}/org/name/commit/c0"}
            return self._send(200, commit)
        return self._send(200, {"errors": [], "warnings": []})  # the check of a card's front matter

    def do_GET(self) -> None:
        hub: FakeHub = self.server.hub  # type: ignore[attr-defined]
        name = self.path.removeprefix("/api/models/").split("?")[0]
        if name not in hub.private:
            return self._send(404, {"error": "no such repository"})
        return self._send(200, {"id": name, "private": hub.private[name], "siblings": [], "tags": []})

    def _create(self, hub: FakeHub, asked: dict[str, Any]) -> None:
        name = "/".join(part for part in (asked.get("organization"), asked["name"]) if part)
        if name in hub.private:
            return self._send(409, {"error": "it exists", "url": f"{hub.url}/{name}"})
        hub.private[name] = asked.get("private", asked.get("visibility") == "private")
        return self._send(200, {"url": f"{hub.url}/{name}", "name": name, "id": name})

    def _chunks(self) -> bytes:
        parts = []
        while count := int(self.rfile.readline(), 16):
            parts.append(self.rfile.read(count))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)

    def _send(self, status: int, tree: Any) -> None:
        body = json.dumps(tree).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments: Any) -> None:
        """Say nothing."""


@contextlib.contextmanager
def serving(hub: FakeHub) -> Iterator[FakeHub]:
    """The hub while the block runs; `hub.url` is its address."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.hub = hub  # type: ignore[attr-defined]
    with running(server) as hub.url:
        yield hub
