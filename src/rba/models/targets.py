"""The layers of an LLM that `align.lora.targets` stands for, adapted or not."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import torch

from rba.errors import ModelError
from rba.lm.scoring import backbone
from rba.models.speechlm import SpeechLM


def linear_layers(module: Any) -> dict[str, torch.nn.Module]:
    """The linear layers inside a module by their names there, as they are without an adapter."""
    from transformers.pytorch_utils import Conv1D

    return {
        name.removesuffix(".base_layer"): layer
        for name, layer in module.named_modules()
        if isinstance(layer, torch.nn.Linear | Conv1D) and ".lora_" not in name
    }


def routers(model: Any) -> list[str]:
    """Linear layers that say more than one product: which expert a token goes to."""
    return [name for name, layer in linear_layers(model).items() if "Router" in type(layer).__name__]


def adapted_layers(model: Any) -> dict[str, torch.nn.Module]:
    """The layers that carry an adapter, by their names."""
    return {name: layer for name, layer in model.named_modules() if hasattr(layer, "lora_A")}


def reached(speechlm: SpeechLM, targets: str | list[str]) -> set[str]:
    """The names of the layers that `targets` stand for in an LLM that is adapted already.

    Raises ModelError for what is no pattern.
    """
    model = speechlm.lm.model.get_base_model()
    wanted = speechlm.lora_targets(targets) if hasattr(speechlm, "lora_targets") else targets
    if wanted == "all-linear":
        head = model.get_output_embeddings()
        found = {name for name, layer in linear_layers(model).items() if layer is not getattr(head, "base_layer", head)}
    elif isinstance(wanted, str):
        try:
            found = {name for name in _names(model) if re.fullmatch(wanted, name)}
        except re.error as error:
            raise ModelError(f"this is no pattern: {error}", where(targets), some(speechlm)) from error
    else:
        found = {name for name in _names(model) if any(f".{name}".endswith(f".{target}") for target in wanted)}
    return found - set(routers(model))


def _names(model: Any) -> list[str]:
    return [name for name, _ in model.named_modules() if ".lora_" not in name and not name.endswith(".base_layer")]


def some(speechlm: SpeechLM, but: str = "") -> str:
    """What to do about targets: name some of the linear layers that may be adapted, those that `but` names left out."""
    model = speechlm.lm.model
    layers = linear_layers(backbone(model).layers if hasattr(speechlm, "lora_targets") else model)
    kinds = {name.rpartition(".")[2] for name in layers}
    return f"name some of {', '.join(sorted(kind for kind in kinds if repr(kind) not in but))}"


def where(targets: str | Sequence[str]) -> str:
    """The key and its value, for messages."""
    return f"align.lora.targets {targets}"


def check_reach(speechlm: SpeechLM, model: Any, targets: str | list[str]) -> None:
    """Raise ModelError for a name among `targets` that no layer has, and for an adapter where none is used.

    Token embeddings are read beside the LLM, too, and what stands beside its blocks is not its own: the head alone may
    be adapted with them.
    """
    adapted = adapted_layers(model)
    if isinstance(targets, list):
        for target in targets:
            if not any(f".{name}".endswith(f".{target}") for name in adapted):
                raise ModelError(f'no layer named "{target}" gets an adapter', where(targets), some(speechlm))
    inside = set(backbone(model).layers.modules() if hasattr(speechlm, "lora_targets") else model.modules())
    inside = inside - {model.get_input_embeddings()} | {model.get_output_embeddings()}
    if strays := [name for name, layer in adapted.items() if layer not in inside]:
        fix = "keep the targets inside the LLM's blocks"
        raise ModelError(f"an adapter outside of the LLM's blocks is not used: {strays[0]}", where(targets), fix)
