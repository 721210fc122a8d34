"""CTranslate2 Whisper to a WhisperForConditionalGeneration folder with feature extractor and tokenizer."""

from __future__ import annotations

import json
import re
import struct
from pathlib import Path
from typing import Any

import numpy as np

from rba.errors import ModelError

_DTYPES = {0: "<f4", 1: "<i1", 2: "<i2", 3: "<i4", 4: "<f2"}
_HEAD_SIZE = 64
_ENGLISH_VOCABULARY = 51_864

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


def convert(raw: Path, out: Path) -> None:
    """Turn `raw`/{model.bin, config.json, tokenizer.json} into a float32 folder `out` for Whisper's model and processor.

    float32, because the encoder is trained or run on CPUs that lack half precision convolutions.
    """
    import torch
    from transformers import WhisperForConditionalGeneration

    weights = {name: torch.from_numpy(value) for name, value in rename(read(raw / "model.bin")).items()}
    facts = json.loads((raw / "config.json").read_text())
    tokens = _token_ids(raw / "tokenizer.json")
    config = _config(weights, facts, tokens)
    with torch.device("meta"):
        model = WhisperForConditionalGeneration(config)
    missing, unexpected = model.load_state_dict(weights, strict=False, assign=True)
    if unexpected or set(missing) - {"proj_out.weight"}:
        raise ModelError(f"Whisper file does not fit: missing {missing}, unexpected {unexpected}", str(raw))
    model.tie_weights()
    model.generation_config = _generation(config, facts, tokens)
    model.save_pretrained(out)
    _save_processor(raw / "tokenizer.json", out, config, tokens)


def _token_ids(path: Path) -> dict[str, int]:
    added = json.loads(path.read_text())["added_tokens"]
    return {token["content"]: token["id"] for token in added}


def _config(weights: dict[str, Any], facts: dict[str, Any], tokens: dict[str, int]) -> Any:
    from transformers import WhisperConfig

    def layers(side: str) -> int:
        return len({m[1] for m in (re.match(rf"model\.{side}\.layers\.(\d+)\.", name) for name in weights) if m})

    vocabulary, width = weights["model.decoder.embed_tokens.weight"].shape
    end = tokens["<|endoftext|>"]
    return WhisperConfig(
        vocab_size=vocabulary,
        d_model=width,
        num_mel_bins=weights["model.encoder.conv1.weight"].shape[1],
        encoder_layers=layers("encoder"),
        decoder_layers=layers("decoder"),
        encoder_attention_heads=width // _HEAD_SIZE,
        decoder_attention_heads=width // _HEAD_SIZE,
        encoder_ffn_dim=weights["model.encoder.layers.0.fc1.weight"].shape[0],
        decoder_ffn_dim=weights["model.decoder.layers.0.fc1.weight"].shape[0],
        max_source_positions=weights["model.encoder.embed_positions.weight"].shape[0],
        max_target_positions=weights["model.decoder.embed_positions.weight"].shape[0],
        bos_token_id=end,
        eos_token_id=end,
        pad_token_id=end,
        decoder_start_token_id=tokens["<|startoftranscript|>"],
        dtype="float32",
    )


def _generation(config: Any, facts: dict[str, Any], tokens: dict[str, int]) -> Any:
    from transformers import GenerationConfig

    settings: dict[str, Any] = {
        "bos_token_id": config.bos_token_id,
        "eos_token_id": config.eos_token_id,
        "pad_token_id": config.pad_token_id,
        "decoder_start_token_id": config.decoder_start_token_id,
        "max_length": config.max_target_positions,
        "suppress_tokens": facts["suppress_ids"],
        "begin_suppress_tokens": facts["suppress_ids_begin"],
        "alignment_heads": facts["alignment_heads"],
        "no_timestamps_token_id": tokens["<|notimestamps|>"],
        "prev_sot_token_id": tokens["<|startofprev|>"],
        "max_initial_timestamp_index": 50,
        "return_timestamps": False,
        "is_multilingual": config.vocab_size > _ENGLISH_VOCABULARY,
    }
    if settings["is_multilingual"]:
        named = {number: token for token, number in tokens.items()}
        settings["lang_to_id"] = {named[i]: i for i in facts["lang_ids"] if i in named}
        settings["task_to_id"] = {task: tokens[f"<|{task}|>"] for task in ("transcribe", "translate")}
    return GenerationConfig(**settings)


def _save_processor(tokenizer_json: Path, out: Path, config: Any, tokens: dict[str, int]) -> None:
    """Write the files from which WhisperProcessor, AutoTokenizer and AutoFeatureExtractor load."""
    from transformers import WhisperFeatureExtractor, WhisperProcessor, WhisperTokenizer

    (out / "tokenizer.json").write_bytes(tokenizer_json.read_bytes())
    end = "<|endoftext|>"
    settings = {
        "tokenizer_class": "WhisperTokenizer",
        **dict.fromkeys(("bos_token", "eos_token", "unk_token", "pad_token"), end),
        "model_max_length": 1024,
        "clean_up_tokenization_spaces": True,
        "additional_special_tokens": [token for token in tokens if token != end],
    }
    (out / "tokenizer_config.json").write_text(json.dumps(settings, indent=1))
    extractor = WhisperFeatureExtractor(feature_size=config.num_mel_bins)
    WhisperProcessor(extractor, WhisperTokenizer.from_pretrained(out)).save_pretrained(out)
    extractor.save_pretrained(out)
