"""Reading a CTranslate2 Whisper file: its variables, under the names transformers gives them."""

from __future__ import annotations

import re
import struct
from pathlib import Path

import numpy as np

from rba.errors import ModelError

_DTYPES = {0: "<f4", 1: "<i1", 2: "<i2", 3: "<i4", 4: "<f2"}
_PLAIN = {
    "self_attention/layer_norm": "self_attn_layer_norm",
    "self_attention/linear_1": "self_attn.out_proj",
    "attention/layer_norm": "encoder_attn_layer_norm",
    "attention/linear_0": "encoder_attn.q_proj",
    "attention/linear_2": "encoder_attn.out_proj",
    "ffn/layer_norm": "final_layer_norm",
    "ffn/linear_0": "fc1",
    "ffn/linear_1": "fc2",
    "layer_norm": "layer_norm",
    "conv1": "conv1",
    "conv2": "conv2",
    "position_encodings": "embed_positions",
    "embeddings": "embed_tokens",
}
_FUSED = {
    "self_attention/linear_0": ("self_attn", ("q_proj", "k_proj", "v_proj")),
    "attention/linear_1": ("encoder_attn", ("k_proj", "v_proj")),
}
_LEAF = {"gamma": "weight", "beta": "bias", "weight": "weight", "bias": "bias", "encodings": "weight"}


def read(path: Path) -> dict[str, np.ndarray]:
    """The variables of a CTranslate2 `model.bin` (binary version 6) by name; aliases are left out.

    Raises ModelError where the file is of another kind, holds another number type or ends early.
    """
    data, at = path.read_bytes(), 0

    def take(form: str) -> int:
        nonlocal at
        (value,) = struct.unpack_from("<" + form, data, at)
        at += struct.calcsize("<" + form)
        return value

    def text() -> str:
        nonlocal at
        length = take("H")
        at += length
        return data[at - length : at].rstrip(b"\0").decode()

    variables = {}
    try:
        version, spec, _ = take("I"), text(), take("I")
        if (version, spec) != (6, "WhisperSpec"):
            raise ModelError(f"not a CTranslate2 Whisper file of version 6 but {spec} {version}", str(path))
        for _ in range(take("I")):
            name, shape = text(), [take("I") for _ in range(take("B"))]
            dtype, length = np.dtype(_DTYPES[take("B")]), take("I")
            variables[name] = np.frombuffer(data, dtype, length // dtype.itemsize, at).reshape(shape)
            at += length
    except (struct.error, ValueError, KeyError) as error:
        raise ModelError("CTranslate2 file is damaged or of an unknown number type", str(path)) from error
    return variables


def rename(variables: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Transformers' names and float32 values for CTranslate2's variables; fused projections are split.

    Raises ModelError for a variable that has no place in the transformers model.
    """
    weights: dict[str, np.ndarray] = {}
    for name, value in variables.items():
        if value.ndim == 0 or value.dtype.kind != "f":
            continue  # settings such as the number of heads
        match = re.fullmatch(r"(encoder|decoder)/(?:layer_(\d+)/)?(.+)/(\w+)", name)
        if not match or match[4] not in _LEAF:
            raise ModelError(f"unknown Whisper variable {name}")
        side, layer, module, leaf = match[1], match[2], match[3], _LEAF[match[4]]
        prefix = f"model.{side}." + (f"layers.{layer}." if layer else "")
        if module in _FUSED:
            parent, names = _FUSED[module]
            for part, chunk in zip(names, np.split(value, len(names))):
                weights[f"{prefix}{parent}.{part}.{leaf}"] = chunk.astype(np.float32)
        elif module in _PLAIN:
            weights[f"{prefix}{_PLAIN[module]}.{leaf}"] = value.astype(np.float32)
        else:
            raise ModelError(f"unknown Whisper variable {name}")
    for key in [k for k in weights if k.endswith("k_proj.bias")]:
        if weights.pop(key).any():  # Whisper's keys have no bias: the fused one must be zero there
            raise ModelError(f"Whisper file has a key bias in {key}")
    return weights
