"""The weights that are trained, by name, and their optimiser."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from rba.alignment.settings import AlignSettings
from rba.models.adapters import adapter_parameters
from rba.models.speechlm import SpeechLM

PEAK = "peak"
OWN = "own."
"""What the names of an objective's own weights begin with."""


def trained_parameters(speechlm: SpeechLM, settings: AlignSettings) -> dict[str, torch.nn.Parameter]:
    """Weights of the LLM's adapter or copies (`llm.N`) and of a trained connector (`connector.N`), in a fixed order."""
    llm = adapter_parameters(speechlm) if settings.trains_llm else []
    connector = list(speechlm.connector_parameters()) if settings.train_connector else []
    for parameter in connector:
        parameter.requires_grad_(True)
    named = {f"llm.{i}": p for i, p in enumerate(llm)}
    return named | {f"connector.{i}": p for i, p in enumerate(connector)}


def make_optimizer(
    parameters: Mapping[str, torch.nn.Parameter], settings: AlignSettings, own_lr: float = 0.0
) -> torch.optim.AdamW:
    """AdamW (betas 0.9 and 0.98) with a peak learning rate for each kind of weight; `own_lr` is of the objective's."""
    groups = []
    for kind, lr in (("llm.", settings.lr), ("connector.", settings.connector_lr), (OWN, own_lr)):
        chosen = [p for name, p in parameters.items() if name.startswith(kind)]
        if chosen:
            groups.append({"params": chosen, "lr": lr, PEAK: lr})
    return torch.optim.AdamW(groups, betas=(0.9, 0.98), weight_decay=settings.weight_decay)


def set_rate(optimizer: torch.optim.Optimizer, share: float) -> None:
    """Set every learning rate to a share of its peak."""
    for group in optimizer.param_groups:
        group["lr"] = share * group[PEAK]
