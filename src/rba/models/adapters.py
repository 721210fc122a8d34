"""LoRA on the LLM: one copy of the base is policy, reference and text-only self-teacher."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from rba.errors import ModelError
from rba.lm.load import TextLM
from rba.lm.quantization import NF4
from rba.lm.scoring import backbone
from rba.models.speechlm import SpeechLM

ADAPTER = "adapter_model.safetensors"
FOLDER = "adapter"
"""Where a checkpoint folder holds it."""


def has_lora(lm: TextLM) -> bool:
    """Whether the LLM carries adapters."""
    return hasattr(lm.model, "peft_config")


def facts_of_llm(lm: TextLM) -> dict[str, Any]:
    """What `speechlm.json` says of an LLM beside its name: the 4 bits that it is packed in, and that it is adapted."""
    packed = {"quantize": NF4} if lm.quantize == NF4 else {}
    return packed | ({"adapter": True} if has_lora(lm) else {})


def add_lora(
    speechlm: SpeechLM,
    rank: int = 16,
    alpha: int = 32,
    dropout: float = 0.0,
    targets: str | list[str] = "all-linear",
    seed: int = 0,
) -> None:
    """Put trainable float32 LoRA matrices on the LLM, in place; with B = 0 the policy is as it was.

    A SpeechLM whose `lm.model` holds more than the LLM keeps `targets` inside it by its own `lora_targets`. One that
    carries an adapter goes on training that; raises ModelError where it is not of the size that is asked for.
    """
    from peft import LoraConfig, get_peft_model

    if has_lora(speechlm.lm):
        own = adapter_size(speechlm)
        if own != (rank, alpha, dropout):
            told = "rank: {}, alpha: {}, dropout: {}".format(*own)
            fix = f"set align.lora='{{{told}}}', or start from the model before it was aligned"
            raise ModelError("the model carries an adapter of another size, which is trained on", speechlm.name, fix)
        for name, parameter in speechlm.lm.model.named_parameters():
            parameter.requires_grad_("lora_" in name)
        return
    torch.manual_seed(seed)
    if hasattr(speechlm, "lora_targets"):
        targets = speechlm.lora_targets(targets)
    config = LoraConfig(r=rank, lora_alpha=alpha, lora_dropout=dropout, target_modules=targets, task_type="CAUSAL_LM")
    try:
        model = get_peft_model(speechlm.lm.model, config, autocast_adapter_dtype=True)
    except (ValueError, re.error) as error:  # peft finds none of them, or a pattern is none
        linear = (n.rpartition(".")[2] for n, m in speechlm.lm.model.named_modules() if isinstance(m, torch.nn.Linear))
        fix = f"name some of {', '.join(sorted(set(linear)))}, or all-linear"
        raise ModelError("the LLM has no layers of these names", f"align.lora.targets {targets}", fix) from error
    speechlm.lm.model = model.eval()  # its dropout would begin in training mode, and answers be drawn through it


def adapter_size(speechlm: SpeechLM) -> tuple[int, int, float]:
    """Rank, alpha and dropout of the adapter that a SpeechLM carries."""
    own = next(iter(speechlm.lm.model.peft_config.values()))
    return own.r, own.lora_alpha, own.lora_dropout


@contextmanager
def adapter_dropout(speechlm: SpeechLM) -> Iterator[None]:
    """Drop out of the adapters' inputs; what the model itself would drop in training mode, it keeps."""
    found = [m for name, m in speechlm.lm.model.named_modules() if name.endswith("lora_dropout")]
    for module in found:
        module.train()
    try:
        yield
    finally:
        for module in found:
            module.eval()


@contextmanager
def reference(speechlm: SpeechLM) -> Iterator[None]:
    """Run the LLM as it was before alignment: adapters off, no gradients."""
    with torch.no_grad():
        if not has_lora(speechlm.lm):
            yield
            return
        with speechlm.lm.model.disable_adapter():
            yield


def for_inference(speechlm: SpeechLM) -> SpeechLM:
    """The same model with its adapters in the LLM's own precision: two small products a layer, and no casts.

    They are not merged: in bfloat16 a merged weight forgets whatever moves it by less than half a step.
    """
    for parameter in lora_parameters(speechlm):
        parameter.requires_grad_(False)
        parameter.data = parameter.data.to(speechlm.lm.model.dtype)
    return speechlm


def save_lora(lm: TextLM, folder: Path) -> None:
    """Write the adapter alone, in PEFT's form; PEFT would otherwise ask the hub whether embeddings belong to it."""
    lm.model.save_pretrained(folder, save_embedding_layers=False)


def load_lora(lm: TextLM, folder: Path) -> None:
    """Put the adapter that `save_lora` wrote on the LLM, in place."""
    from peft import PeftModel

    lm.model = PeftModel.from_pretrained(lm.model, folder).eval()


def save_lora_alone(lm: TextLM, folder: Path) -> None:
    """Write the adapter as one of the LLM alone, as a causal LM of its own class holds it, whatever it stands in.

    Raises ModelError for an adapter that also stands elsewhere.
    """
    from peft import get_peft_model_state_dict
    from safetensors.torch import save_file

    config = next(iter(lm.model.peft_config.values()))
    state = get_peft_model_state_dict(lm.model, save_embedding_layers=False)
    blocks = backbone(lm.model).layers
    inside = next(name for name, module in lm.model.named_modules() if module is blocks) + "."
    if strays := sorted(name for name in state if not name.startswith(inside)):
        fix = "keep align.lora.targets inside the LLM's blocks, or leave align.rollout_server empty"
        raise ModelError(f"the adapter has weights outside the LLM's blocks: {strays[0]}", lm.name, fix)
    alone = {f"base_model.model.model.layers.{name.removeprefix(inside)}": value for name, value in state.items()}
    save_file({name: value.detach().cpu().contiguous() for name, value in alone.items()}, folder / ADAPTER)
    # the pattern of what is adapted names modules of the whole
    names = sorted({name.split(".lora_")[0].rsplit(".", 1)[-1] for name in alone})
    replace(config, target_modules=names, inference_mode=True).save_pretrained(str(folder))


def lora_parameters(speechlm: SpeechLM) -> list[torch.nn.Parameter]:
    """The adapters' weights."""
    return [p for n, p in speechlm.lm.model.named_parameters() if "lora_" in n]
