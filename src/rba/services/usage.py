"""What servers were asked, and what it cost."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field
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

    def join(self, other: Usage) -> None:
        """Count what another counted, too."""
        self.answers += other.answers
        self.cached += other.cached
        self.tokens_in += other.tokens_in
        self.tokens_out += other.tokens_out

    def cost(self, service: Service) -> float:
        """At the service's prices per million tokens."""
        return (self.tokens_in * service.price_in + self.tokens_out * service.price_out) / 1e6

    def line(self, service: Service) -> str:
        """One line for people."""
        price = f", cost {self.cost(service):.4f}" if service.price_in or service.price_out else ""
        read, written = f"{self.tokens_in} tokens read", f"{self.tokens_out} written"
        return f"{service.model}: {self.answers} answers, {self.cached} from the cache, {read}, {written}{price}"


@dataclass
class Account:
    """The counts of all served LLMs that were opened while it was."""

    usages: list[tuple[Service, Usage]] = field(default_factory=list)

    def lines(self) -> list[str]:
        """One line for each of them that was asked."""
        sums: dict[Service, Usage] = {}
        for service, usage in self.usages:
            sums.setdefault(service, Usage()).join(usage)
        return [usage.line(service) for service, usage in sums.items() if usage.answers]


_OPEN: list[Account] = []


@contextlib.contextmanager
def accounted() -> Iterator[Account]:
    """The account of the body of a `with`."""
    account = Account()
    _OPEN.append(account)
    try:
        yield account
    finally:
        _OPEN.remove(account)


def book(service: Service, usage: Usage) -> None:
    """Let `usage` count for every account that is open."""
    for account in _OPEN:
        account.usages.append((service, usage))


def _count(value: Any) -> int:
    return int(value) if isinstance(value, int | float) and 0 <= value < 2**63 else 0
