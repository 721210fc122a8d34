"""Files of BEATs as its publisher writes them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from rba.models.salmonn_checkpoint import FORM
from rba.testing.tiny_hearing_families import BEATS_SIZES

TABLE = "encoder.layers.{}.self_attn.relative_attention_bias.weight"
Weights = dict[str, torch.Tensor]


def published(state: Weights) -> Weights:
    """The weights of a BEATs by their published names."""
    made = {key: weight for key, weight in state.items() if "relative" not in key and "pos_conv" not in key}
    made |= {TABLE.format(layer): state["encoder.relative_attention_bias.weight"] for layer in range(2)}
    weight = state["encoder.pos_conv.0.weight"]
    made["encoder.pos_conv.0.weight_g"] = weight.norm(dim=(0, 1), keepdim=True)
    made["encoder.pos_conv.0.weight_v"] = 3 * weight
    made["encoder.pos_conv.0.bias"] = state["encoder.pos_conv.0.bias"]
    return made | {"predictor.weight": torch.ones(5, 12), "predictor.bias": torch.ones(5)}


def save_beats(path: Path, state: Weights, **said: Any) -> None:
    """A file of BEATs as its publisher writes it."""
    torch.save({"cfg": {**BEATS_SIZES, **FORM, "input_patch_size": 16, "dropout": 0.0, **said}, "model": state}, path)
