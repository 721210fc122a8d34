"""A served model by its name in a recipe.

    openai:http://localhost:8000/v1#model
    openai:https://host/v1?key_env=HOST_KEY&concurrency=8&price_in=0.5&price_out=1.5#model

Importing this loads nothing heavy.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Any
from urllib.parse import parse_qsl, urlsplit, urlunsplit

from rba.errors import RecipeError

PREFIX = "openai:"
LARGEST_SEED = 2**31  # some servers take no larger ones
_NUMBERS = {"concurrency": int, "retries": int, "timeout": float, "price_in": float, "price_out": float}
_FLAGS = {"true": True, "false": False}


@dataclass(frozen=True)
class Service:
    """Where a served model is and how it is asked; all but the first three are options in the name's query."""

    base_url: str  # up to and with /v1
    model: str  # the name by which the server knows it
    tokenizer: str = ""  # registry name, folder or hub id of its tokenizer: for requests and log-probs
    key_env: str = ""  # environment variable that holds the API key; empty: none is sent
    concurrency: int = 16  # requests under way at once
    timeout: float = 120.0  # seconds until the whole of an answer must be here
    retries: int = 6  # further attempts after the first
    voices: str = ""  # of a speech server, by name, with commas between
    x_vector_only_mode: bool = (
        False  # of a speech server that clones: it takes the voice alone, without the clip's words
    )
    price_in: float = 0.0  # per million tokens read
    price_out: float = 0.0  # per million tokens written

    def __post_init__(self) -> None:
        """Raise RecipeError for values that cannot work."""
        good = self.base_url.startswith(("http://", "https://")) and _has_host(self.base_url)
        _check(good and bool(self.model), self.base_url, "write openai:http://host:8000/v1#model")
        _check(self.concurrency >= 1, "concurrency", "give 1 or more")
        _check(self.retries >= 0, "retries", "give 0 or more")
        _check(0 < self.timeout < math.inf, "timeout", "give seconds above 0")
        _check(0 <= min(self.price_in, self.price_out) < math.inf, "price_in, price_out", "give 0 or more")

    @property
    def identity(self) -> str:
        """What its answers depend on: the name without the options that change speed, access or cost only."""
        voices = f"&voices={self.voices}" if self.voices else ""
        wordless = "&x_vector_only_mode=true" if self.x_vector_only_mode else ""
        return f"{PREFIX}{self.base_url}?tokenizer={self.tokenizer}{voices}{wordless}#{self.model}"


def is_service(name: str) -> bool:
    """Whether a model's name is that of a served one."""
    return name.startswith(PREFIX)


def parse_service(name: str) -> Service:
    """The service that `name` describes. Raises RecipeError for an unknown option or a value that cannot work."""
    try:
        parts = urlsplit(name.removeprefix(PREFIX))
    except ValueError as error:
        raise RecipeError("this is no address", name, "write openai:http://host:8000/v1#model") from error
    known = [field.name for field in fields(Service)][2:]
    options: dict[str, Any] = {}
    for key, value in parse_qsl(parts.query, keep_blank_values=True):
        _check(key in known, key, f"choose from {', '.join(known)}")
        if key == "x_vector_only_mode":
            _check(value in _FLAGS, f"{key}={value}", "give true or false")
            options[key] = _FLAGS[value]
            continue
        try:
            options[key] = _NUMBERS.get(key, str)(value)
        except ValueError as error:
            raise RecipeError("an option of a server is not a number", f"{key}={value}", "give a number") from error
    url = urlunsplit((parts.scheme, parts.netloc, parts.path.rstrip("/"), "", ""))
    return Service(url, parts.fragment, **options)


def _has_host(url: str) -> bool:
    """Whether an address names a host, and a port from 1 to 65535 if any."""
    try:
        parts = urlsplit(url)
        return bool(parts.hostname) and parts.port != 0
    except ValueError:  # the port is no number, or too large
        return False


def _check(good: bool, where: str, fix: str) -> None:
    if not good:
        raise RecipeError("a server's name cannot work", where, fix)
