"""What servers were asked, and what it cost."""

from __future__ import annotations

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

    def add(self, reported: Any, cached: bool) -> None:
        """Count one answer with the `usage` that its server reported, as far as that holds numbers."""
        self.answers += 1
        self.cached += cached
        if not cached and isinstance(reported, dict):
            self.tokens_in += _count(reported.get("prompt_tokens"))
            self.tokens_out += _count(reported.get("completion_tokens"))

    def cost(self, service: Service) -> float:
        """At the service's prices per million tokens."""
        return (self.tokens_in * service.price_in + self.tokens_out * service.price_out) / 1e6

    def line(self, service: Service) -> str:
        """One line for people."""
        price = f", cost {self.cost(service):.4f}" if service.price_in or service.price_out else ""
        read, written = f"{self.tokens_in} tokens read", f"{self.tokens_out} written"
        return f"{service.model}: {self.answers} answers, {self.cached} from the cache, {read}, {written}{price}"


def _count(value: Any) -> int:
    return int(value) if isinstance(value, int | float) and 0 <= value < 2**63 else 0
