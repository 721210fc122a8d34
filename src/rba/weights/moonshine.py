"""Moonshine in ONNX Runtime's format (int8) to a MoonshineForConditionalGeneration folder with its tokenizer."""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from rba.errors import ModelError
from rba.weights.ort import Node, read

_HEADS = 8
_ROTARY = 32  # dimensions of a head that positions turn
_START, _END = 1, 2
_BYTES = range(3, 259)  # ids of the 256 single bytes
_SPACE = "\u2581"

_PLACE = r"layers\.\d+[./](?:(?:self_attn|encoder_attn)[./](?:[qkvo]_proj|dense)|mlp[./](?:fc1|fc2|up_proj|down_proj))"
_MATRIX = re.compile(rf"/(?:model/decoder/)?({_PLACE})/MatMul(?:_quant)?")
_PLAIN = re.compile(r"(?:model\.decoder\.)?((?:layers\.\d+\.)?(?:\w*norm\.(?:weight|bias)|mlp\.\w+\.bias))")
_NAMES = {"up_proj": "fc1", "down_proj": "fc2", "dense": "o_proj"}


def convert(raw: Path, out: Path) -> None:
    """Turn `raw`/encoder_model.ort, decoder_model_merged.ort and tokenizer.bin into a folder `out`, in float32.

    The weights stay rounded to the int8 steps of the file. Raises ModelError where a file is damaged or does not fit
    the architecture.
    """
    import torch
    from transformers import MoonshineForConditionalGeneration

    encoder, decoder = (weights(*read(raw / name)) for name in ("encoder_model.ort", "decoder_model_merged.ort"))
    named = {
        f"model.{side}.{k}": v for side, part in (("encoder", encoder), ("decoder", decoder)) for k, v in part.items()
    }
    state = {name: torch.from_numpy(np.ascontiguousarray(value, np.float32)) for name, value in named.items()}
    pieces = read_pieces(raw / "tokenizer.bin")
    model = MoonshineForConditionalGeneration(_config(encoder, decoder))
    missing, unexpected = model.load_state_dict(state, strict=False)
    if unexpected or set(missing) - {"proj_out.weight"}:
        raise ModelError(f"Moonshine file does not fit: missing {missing}, unexpected {unexpected}", str(raw))
    model.tie_weights()
    model.generation_config = _generation()
    model.save_pretrained(out)
    tokenizer_of(pieces).save_pretrained(out)
    if (raw / "LICENSE").is_file():
        shutil.copy(raw / "LICENSE", out / "LICENSE")


def weights(arrays: Mapping[str, np.ndarray], nodes: Sequence[Node]) -> dict[str, np.ndarray]:
    """The float weights of one file under transformers' names: matrices found by node, the rest by their own names."""
    found: dict[str, np.ndarray] = {}
    for node in nodes:
        match = _MATRIX.fullmatch(node.name)
        if match and node.op == "MatMul":
            found[_renamed(match[1].replace("/", ".")) + ".weight"] = _value(arrays, node.inputs[1]).T
        elif node.op == "Conv" and (match := re.search(r"conv\d", node.name)):
            found[f"{match[0]}.weight"] = _value(arrays, node.inputs[1])
            if len(node.inputs) > 2:
                found[f"{match[0]}.bias"] = _value(arrays, node.inputs[2])
        elif node.name in ("/groupnorm/Mul", "/groupnorm/Add"):
            leaf = "weight" if node.name.endswith("Mul") else "bias"
            found[f"groupnorm.{leaf}"] = _value(arrays, next(i for i in node.inputs if i in arrays)).reshape(-1)
    for name in arrays:
        if match := _PLAIN.fullmatch(re.sub(r"_merged_\d+$", "", name)):
            found[_renamed(match[1])] = arrays[name]
        elif "embed_tokens.weight" in name and name.endswith("_quantized"):
            found["embed_tokens.weight"] = _value(arrays, name)
    return found


def _value(arrays: Mapping[str, np.ndarray], name: str) -> np.ndarray:
    """What a node reads under `name`: a float array, or int8 steps times their size plus an offset."""
    if name in arrays and arrays[name].dtype.kind == "f":
        return arrays[name]
    stem = re.sub(r"_(quantized|add_tensor)$", "", name)
    try:
        steps, step, offset = (arrays[stem + end] for end in ("_quantized", "_scale", "_zero_point"))
    except KeyError as error:
        raise ModelError(f"Moonshine file lacks a weight: {name}") from error
    if offset.dtype.kind != "f":
        raise ModelError(f"Moonshine file is quantised in an unknown way: {name}")
    return steps.astype(np.float32) * step + offset


def _renamed(name: str) -> str:
    return re.sub("|".join(_NAMES), lambda match: _NAMES[match[0]], name)


def _config(encoder: Mapping[str, np.ndarray], decoder: Mapping[str, np.ndarray]) -> Any:
    from transformers import MoonshineConfig

    def layers(part: Mapping[str, np.ndarray]) -> int:
        return len({name.split(".")[1] for name in part if name.startswith("layers.")})

    vocabulary, width = decoder["embed_tokens.weight"].shape
    # half a dimension more, so that rounding down gives the whole number
    rotary = {
        "rope_type": "default",
        "rope_theta": 10_000.0,
        "partial_rotary_factor": (_ROTARY + 0.5) / (width // _HEADS),
    }
    return MoonshineConfig(
        vocab_size=vocabulary,
        hidden_size=width,
        intermediate_size=encoder["layers.0.mlp.fc1.weight"].shape[0],
        encoder_num_hidden_layers=layers(encoder),
        decoder_num_hidden_layers=layers(decoder),
        encoder_num_attention_heads=_HEADS,
        decoder_num_attention_heads=_HEADS,
        max_position_embeddings=1024,
        rope_parameters=rotary,
        bos_token_id=_START,
        eos_token_id=_END,
        pad_token_id=_END,
        decoder_start_token_id=_START,
    )


def _generation() -> Any:
    from transformers import GenerationConfig

    return GenerationConfig(
        bos_token_id=_START, eos_token_id=_END, pad_token_id=_END, decoder_start_token_id=_START, max_length=194
    )


def read_pieces(path: Path) -> list[bytes]:
    """The bytes of every token: each is led by its length, in one byte or, from 128 on, two (low seven bits first)."""
    data, at, pieces = path.read_bytes(), 0, list[bytes]()
    while at < len(data):
        length, at = data[at], at + 1
        if length >= 128 and at < len(data):
            length, at = length - 128 + 128 * data[at], at + 1
        pieces.append(data[at : at + length])
        at += length
    if at != len(data) or len(pieces) <= _BYTES.stop:
        raise ModelError("Moonshine's tokenizer file is damaged", str(path))
    return pieces


def tokenizer_of(pieces: Sequence[bytes]) -> Any:
    """A tokenizer that turns ids into text; the file holds no merges, so text does not become Moonshine's ids."""
    from tokenizers import Tokenizer, decoders, models
    from transformers import PreTrainedTokenizerFast

    names = [f"<0x{i - _BYTES.start:02X}>" if i in _BYTES else piece.decode() for i, piece in enumerate(pieces)]
    fast = Tokenizer(models.BPE({name: i for i, name in enumerate(names)}, [], unk_token=names[0], byte_fallback=True))
    parts = [decoders.Replace(_SPACE, " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    fast.decoder = decoders.Sequence(parts)
    special = {"unk_token": names[0], "bos_token": names[_START], "eos_token": names[_END]}
    return PreTrainedTokenizerFast(tokenizer_object=fast, clean_up_tokenization_spaces=False, **special)
