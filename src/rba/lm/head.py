"""The vocabulary head: from the decoder's last states to logits, by the law that the model's own forward follows."""

from __future__ import annotations

from typing import Any

import torch


class ShapedHead(torch.nn.Module):
    """A head whose logits are scaled, and then kept within `cap`: cap * tanh(scale * logits / cap); no cap if 0."""

    def __init__(self, head: torch.nn.Module, scale: float = 1.0, cap: float = 0.0):
        super().__init__()
        self.head, self.scale, self.cap = head, scale, cap

    @property
    def weight(self) -> Any:
        """The head's own weights."""
        return self.head.weight

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        """Logits [..., V] of states [..., D]."""
        logits = self.head(states) * self.scale
        return self.cap * (logits / self.cap).tanh() if self.cap else logits


def vocabulary_head(model: Any, bare: bool = False) -> Any:
    """The head of a causal LM, also beneath a PEFT wrapper; a plain linear layer wherever the logits are its own.

    Granite divides logits by `logits_scaling`, Cohere multiplies them by `logit_scale`, Falcon-H1 by
    `lm_head_multiplier`, and Gemma bends them under `final_logit_softcapping`. `bare` takes an adapter off the head.
    """
    head = model.get_output_embeddings() or model.get_decoder().get_output_embeddings()
    head = getattr(head, "base_layer", head) if bare else head
    config = model.config.get_text_config()

    def told(key: str, default: float) -> float:
        return float(getattr(config, key, None) or default)

    scale = told("logit_scale", 1.0) * told("lm_head_multiplier", 1.0) / told("logits_scaling", 1.0)
    cap = told("final_logit_softcapping", 0.0)
    return head if (scale, cap) == (1.0, 0.0) else ShapedHead(head, scale, cap)
