"""Full fine-tuning: all weights of the LLM's blocks are trained, as copies beside the frozen ones.

The copies are an adapter in PEFT's form (`modules_to_save`): with it off the LLM is what it was, so that one model is
still policy, reference and text-only self-teacher, and a checkpoint holds what was trained alone.
"""

from __future__ import annotations

from typing import Any

import torch

from rba.errors import ModelError
from rba.lm.adapted import COPIED
from rba.lm.load import TextLM
from rba.lm.quantization import NF4
from rba.lm.scoring import backbone
from rba.models.speechlm import SpeechLM


def is_full(lm: TextLM) -> bool:
    """Whether the LLM carries trained copies of its own weights."""
    configs = getattr(lm.model, "peft_config", {}).values()
    return any(config.modules_to_save for config in configs)


def add_full(speechlm: SpeechLM) -> None:
    """Put trainable copies of all weights of the LLM's blocks beside them, in place and in the LLM's own format.

    Embeddings and the head stay frozen: the connector points at the ones, and typed and spoken requests share both. A
    SpeechLM that carries such copies goes on training them. Raises ModelError for one with an adapter, or with weights
    packed in 4 bits.
    """
    from peft import LoraConfig, get_peft_model
    from peft.utils.constants import DUMMY_TARGET_MODULES

    lm = speechlm.lm
    if lm.quantize == NF4:
        raise ModelError("weights that are packed in 4 bits cannot be trained", speechlm.name, "set align.tuning=lora")
    if is_full(lm):
        for name, parameter in lm.model.named_parameters():
            parameter.requires_grad_(COPIED in name)
        return
    if hasattr(lm.model, "peft_config"):
        fix = "set align.tuning=lora, or start from the model before it was aligned"
        raise ModelError("the model carries an adapter, beside which its weights are not trained", speechlm.name, fix)
    for parameter in lm.model.parameters():
        parameter.requires_grad_(False)
    config = LoraConfig(
        target_modules=DUMMY_TARGET_MODULES, modules_to_save=weighty(lm.model), task_type="CAUSAL_LM", r=1
    )
    lm.model = get_peft_model(lm.model, config, autocast_adapter_dtype=False).eval()


def weighty(model: Any) -> list[str]:
    """The names of the outermost modules of the LLM's blocks that hold weights of their own, not their parts' alone."""
    blocks = backbone(model).layers
    inside = next(name for name, module in model.named_modules() if module is blocks)
    found: list[str] = []

    def walk(module: torch.nn.Module, name: str) -> None:
        if next(module.parameters(recurse=False), None) is not None:
            found.append(name)
            return
        for part, child in module.named_children():
            walk(child, f"{name}.{part}")

    walk(blocks, inside)
    return found


def merge_copies(lm: TextLM) -> None:
    """Put the copies in the place of what they are copies of: the model is then as large as it was."""
    lm.model = lm.model.merge_and_unload()
