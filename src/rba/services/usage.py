"""What servers were asked, and what it cost."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rba.services.service import Service


@dataclass
class Usage:
    """Counts of answers, and tokens of those that were not in the cache."""

    answers: int = 0
    cached: int = 0
    tokens_in: int = 0
    tokens_out: int = 0

    def add(self, reported: Mapping[str, Any], cached: bool) -> None:
        """Count one answer with the `usage` that its server reported."""
        self.answers += 1
        self.cached += cached
        if not cached:
            self.tokens_in += int(reported.get("prompt_tokens") or 0)
            self.tokens_out += int(reported.get("completion_tokens") or 0)

    def cost(self, service: Service) -> float:
        """At the service's prices per million tokens."""
        return (self.tokens_in * service.price_in + self.tokens_out * service.price_out) / 1e6

    def line(self, service: Service) -> str:
        """One line for people."""
        price = f", cost {self.cost(service):.4f}" if service.price_in or service.price_out else ""
        read, written = f"{self.tokens_in} tokens read", f"{self.tokens_out} written"
        return f"{service.model}: {self.answers} answers, {self.cached} from the cache, {read}, {written}{price}"
