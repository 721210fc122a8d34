"""The frozen weights of an LLM's blocks in 4 bits (NF4), with what is trained on top in float32: QLoRA.

Dettmers et al. 2023, arXiv 2305.14314. Each 64 weights of a matrix share a scale, and each 256 scales one of their own:
4.13 bits a weight. Embeddings and head stay as they are.
"""

from __future__ import annotations

import importlib
from typing import Any

import torch

from rba.errors import ModelError
from rba.lm.scoring import backbone

NONE, NF4, ROUNDED = "none", "nf4", "nf4-rounded"
"""As loaded; packed in 4 bits; rounded to what 4 bits hold but kept as plain matrices, to be merged with an adapter."""

BYTES = 0.5 + 1 / 64 + 4 / (64 * 256)
"""Bytes a packed weight: 4 bits, its share of an 8-bit scale and of that one's float32 scale."""


def check(how: str) -> None:
    """Raise ModelError, saying what to install, where weights cannot be packed here."""
    if how != NONE:
        _bitsandbytes()


def quantize(model: Any, how: str, device: torch.device, dtype: torch.dtype) -> None:
    """Round, in place, the linear layers of a causal LM's blocks as `how` says; they are put on `device`.

    Packed layers multiply in `dtype`. Raises ModelError where bitsandbytes is missing or cannot work on the device.
    """
    if how == NONE:
        return
    bnb = _bitsandbytes()
    try:
        for parent, name, layer in _linear(_blocks(model)):
            packed = _packed(bnb, layer, dtype).to(device)
            setattr(parent, name, packed if how == NF4 else _plain(bnb, packed, layer))
    except (RuntimeError, ValueError, NotImplementedError, AttributeError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        fix = "set align.quantize=none, or work on a GPU that bitsandbytes knows"
        raise ModelError(f"the weights cannot be packed in 4 bits: {reason}", f"device {device}", fix) from error
    # PEFT looks for this
    model.is_loaded_in_4bit = how == NF4


def _blocks(model: Any) -> torch.nn.Module:
    """What is packed: beside its blocks a decoder may hold towers, projectors and embeddings of its own."""
    decoder = backbone(model)
    return getattr(decoder, "layers", decoder)  # those of another name stand in LLMs of text alone


def _linear(blocks: torch.nn.Module) -> list[tuple[Any, str, torch.nn.Linear]]:
    """Every linear layer with its parent module and its name there."""
    return [
        (parent, name, child)
        for parent in blocks.modules()
        for name, child in parent.named_children()
        if isinstance(child, torch.nn.Linear)
    ]


def _packed(bnb: Any, layer: torch.nn.Linear, dtype: torch.dtype) -> Any:
    """The layer with its weights to be packed as soon as it is put on a device."""
    form = {"compress_statistics": True, "quant_type": "nf4"}
    bias = layer.bias is not None
    packed = bnb.nn.Linear4bit(layer.in_features, layer.out_features, bias, dtype, **form, device="meta")
    # on CPUs with avx512_bf16 a layer that does not train would be packed once more, for products that are not used
    # here, and fail where its inputs are fewer than a block
    packed.support_avx512bf16_for_cpu = False
    packed.weight = bnb.nn.Params4bit(layer.weight.data, requires_grad=False, **form)
    packed.bias = layer.bias
    return packed


def _plain(bnb: Any, packed: Any, layer: torch.nn.Linear) -> torch.nn.Linear:
    """The layer with the weights that its packed form stands for, in its own number format."""
    weight = bnb.functional.dequantize_4bit(packed.weight.data, packed.weight.quant_state)
    layer.weight = torch.nn.Parameter(weight.to(layer.weight.dtype), requires_grad=False)
    return layer.to(weight.device)


def _bitsandbytes() -> Any:
    try:
        return importlib.import_module("bitsandbytes")
    except (ImportError, OSError, RuntimeError) as error:
        fix = "install rba[quantize], or set align.quantize=none"
        raise ModelError("4-bit weights need bitsandbytes, which cannot be imported", str(error), fix) from error
