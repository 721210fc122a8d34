"""What is trained beside the LLM's weights: one copy of the base is policy, reference and text-only self-teacher.

It is LoRA, put on here, or copies of its own weights (`rba.models.full`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from rba.errors import ModelError
from rba.lm.adapted import is_adapter
from rba.lm.load import TextLM
from rba.lm.quantization import NF4
from rba.lm.scoring import backbone
from rba.models.full import is_full, merge_copies
from rba.models.speechlm import SpeechLM
from rba.models.targets import adapted_layers, check_reach, reached, routers, some, where
from rba.weights.opening import reason_of

ADAPTER = "adapter_model.safetensors"
FOLDER = "adapter"
"""Where a checkpoint folder holds it."""


def has_lora(lm: TextLM) -> bool:
    """Whether the LLM carries adapters, or copies of its weights in their place."""
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
    targets: str | Sequence[str] = "all-linear",
    seed: int = 0,
) -> None:
    """Put trainable float32 LoRA matrices on the LLM, in place; with B = 0 the policy is as it was.

    A SpeechLM whose `lm.model` holds more than the LLM keeps `targets` inside it by its own `lora_targets`. One that
    carries an adapter goes on training that. Raises ModelError where it is not the one that is asked for, and for
    targets that name no layer, one that cannot be adapted, or one outside of the LLM's blocks.
    """
    from peft import LoraConfig, get_peft_model

    targets = targets if isinstance(targets, str) else list(targets)
    if is_full(speechlm.lm):
        fix = "set align.tuning=full, or start from the model before it was aligned"
        raise ModelError("all weights of this model's LLM were trained: it takes no adapter", speechlm.name, fix)
    if has_lora(speechlm.lm):
        _check_same(speechlm, (rank, alpha, dropout), targets)
        train_on(speechlm)
        return
    torch.manual_seed(seed)
    config = LoraConfig(
        r=rank,
        lora_alpha=alpha,
        lora_dropout=dropout,
        target_modules=speechlm.lora_targets(targets) if hasattr(speechlm, "lora_targets") else targets,
        exclude_modules=routers(speechlm.lm.model) or None,
        task_type="CAUSAL_LM",
    )
    try:
        model = get_peft_model(speechlm.lm.model, config, autocast_adapter_dtype=True)
    except (ValueError, re.error) as error:  # peft finds none of them or cannot adapt one, or a pattern is none
        fix = some(speechlm, but=str(error))
        raise ModelError(f"these layers get no adapter: {reason_of(error)}", where(targets), fix) from error
    check_reach(speechlm, model.get_base_model(), targets)
    speechlm.lm.model = model.eval()  # its dropout would begin in training mode, and answers be drawn through it


def train_on(speechlm: SpeechLM) -> None:
    """Have the adapter that a SpeechLM carries, and nothing else of its LLM, trained."""
    for name, parameter in speechlm.lm.model.named_parameters():
        parameter.requires_grad_(is_adapter(name))


def _check_same(speechlm: SpeechLM, size: tuple[int, int, float], targets: str | list[str]) -> None:
    """Raise ModelError, with what to set, where a SpeechLM's adapter is of another size or on other layers."""
    model = speechlm.lm.model.get_base_model()
    own, adapted = adapter_size(speechlm), set(adapted_layers(model))
    differs = "of another size" if own != size else "on other layers" if adapted != reached(speechlm, targets) else ""
    if not differs:
        return
    kinds = sorted({name.rpartition(".")[2] for name in adapted})
    forms: dict[str, str | list[str]] = {"all-linear": "all-linear", f"[{', '.join(kinds)}]": kinds}
    pattern = f'"{next(iter(speechlm.lm.model.peft_config.values())).target_modules}"'
    layers = next((text for text, wanted in forms.items() if reached(speechlm, wanted) == adapted), pattern)
    told = "rank: {}, alpha: {}, dropout: {}, targets: {}".format(*own, layers)
    fix = f"set align.lora='{{{told}}}', or start from the model before it was aligned"
    raise ModelError(f"the model carries an adapter {differs}, which is trained on", speechlm.name, fix)


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
        frozen = [parameter for parameter in adapter_parameters(speechlm) if not parameter.requires_grad]
        try:
            with speechlm.lm.model.disable_adapter():
                yield
        finally:
            for parameter in frozen:  # peft has all of them trained when it puts them on again
                parameter.requires_grad_(False)


def for_inference(speechlm: SpeechLM) -> SpeechLM:
    """The same model with its adapters in the LLM's own precision: two small products a layer, and no casts.

    They are not merged: in bfloat16 a merged weight forgets whatever moves it by less than half a step. Copies of all
    weights take the place of what they are copies of.
    """
    if is_full(speechlm.lm):
        merge_copies(speechlm.lm)
        return speechlm
    for parameter in adapter_parameters(speechlm):
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


def adapter_parameters(speechlm: SpeechLM) -> list[torch.nn.Parameter]:
    """The adapters' weights, or the copies'."""
    return [p for n, p in speechlm.lm.model.named_parameters() if is_adapter(n)]
