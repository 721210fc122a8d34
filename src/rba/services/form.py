"""A request that uploads a file: multipart form data instead of JSON."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Form:
    """`fields` beside one file: its `name`, its `content` and the media `kind` of that."""

    fields: Mapping[str, str]
    name: str
    content: bytes
    kind: str

    @property
    def facts(self) -> dict[str, Any]:
        """What identifies the request: the fields, and the SHA-256 of the file in place of its bytes."""
        return {"fields": dict(self.fields), "file": hashlib.sha256(self.content).hexdigest()}

    @property
    def files(self) -> dict[str, tuple[str, bytes, str]]:
        """The file as an HTTP client takes it."""
        return {"file": (self.name, self.content, self.kind)}
