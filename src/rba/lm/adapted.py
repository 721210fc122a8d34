"""Which weights of an LLM are its adapter's, by their names in PEFT's form."""

from __future__ import annotations

COPIED = ".modules_to_save."
"""What stands in the name of a trained copy (`rba.models.full`)."""


def is_adapter(name: str) -> bool:
    """Whether a weight or module of this name stands beside the LLM's own: a LoRA matrix, or a trained copy."""
    return "lora_" in name or COPIED in name
