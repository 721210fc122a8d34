"""What stands for an LLM in a fingerprint, wherever it is."""

from __future__ import annotations

from rba.services.service import is_service, parse_service
from rba.weights.mark import weights_mark


def llm_mark(name: str) -> str:
    """A served model's address and name, else what `weights_mark` says."""
    return parse_service(name).identity if is_service(name) else weights_mark(name)
