"""CTranslate2 Whisper to a WhisperForConditionalGeneration folder with feature extractor and tokenizer."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from rba.errors import ModelError
from rba.weights.ctranslate2 import read, rename

_HEAD_SIZE = 64
_ENGLISH_VOCABULARY = 51_864


def convert(raw: Path, out: Path) -> None:
    """Turn `raw`/model.bin, config.json and tokenizer.json into a folder `out` for Whisper's model and processor.

    The weights become float32, because CPUs train and run the convolutions in that. Raises ModelError where the file
    is damaged or does not fit the architecture.
    """
    import torch
    from transformers import WhisperForConditionalGeneration

    weights = {name: torch.from_numpy(value) for name, value in rename(read(raw / "model.bin")).items()}
    facts = json.loads((raw / "config.json").read_text(encoding="utf-8"))
    tokens = _token_ids(raw / "tokenizer.json")
    config = _config(weights, tokens)
    with torch.device("meta"):
        model = WhisperForConditionalGeneration(config)
    missing, unexpected = model.load_state_dict(weights, strict=False, assign=True)
    if unexpected or set(missing) - {"proj_out.weight"}:
        raise ModelError(f"Whisper file does not fit: missing {missing}, unexpected {unexpected}", str(raw))
    model.tie_weights()
    model.generation_config = _generation(config, facts, tokens)
    model.save_pretrained(out)
    _save_processor(raw / "tokenizer.json", out, config)


def _token_ids(path: Path) -> dict[str, int]:
    added = json.loads(path.read_text(encoding="utf-8"))["added_tokens"]
    return {token["content"]: token["id"] for token in added}


def _config(weights: dict[str, Any], tokens: dict[str, int]) -> Any:
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


def _save_processor(tokenizer_json: Path, out: Path, config: Any) -> None:
    """Write the files from which WhisperProcessor, AutoTokenizer and AutoFeatureExtractor load."""
    from transformers import WhisperFeatureExtractor, WhisperProcessor, WhisperTokenizer

    spec = _mended(json.loads(tokenizer_json.read_text(encoding="utf-8")), config.vocab_size)
    (out / "tokenizer.json").write_text(json.dumps(spec, ensure_ascii=False), encoding="utf-8")
    end = "<|endoftext|>"
    special = [token["content"] for token in spec["added_tokens"] if token["special"]]
    settings = {
        "tokenizer_class": "WhisperTokenizer",
        **dict.fromkeys(("bos_token", "eos_token", "unk_token", "pad_token"), end),
        "model_max_length": 1024,
        "clean_up_tokenization_spaces": False,
        "additional_special_tokens": [token for token in special if token != end],
    }
    (out / "tokenizer_config.json").write_text(json.dumps(settings, indent=1), encoding="utf-8")
    extractor = WhisperFeatureExtractor(feature_size=config.num_mel_bins)
    WhisperProcessor(extractor, WhisperTokenizer.from_pretrained(out)).save_pretrained(out)
    extractor.save_pretrained(out)


def _mended(spec: dict[str, Any], vocabulary: int) -> dict[str, Any]:
    """A tokenizer spec with what some exports lost: the merge of "Ġ t", which stood first, and the time stamps."""
    merges = spec["model"]["merges"]
    if not {"Ġ t", ("Ġ", "t")} & {m if isinstance(m, str) else tuple(m) for m in merges[:3]}:
        merges.insert(0, "Ġ t" if isinstance(merges[0], str) else ["Ġ", "t"])
    first = 1 + max(token["id"] for token in spec["added_tokens"])
    plain = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized", "special"), False)
    stamps = [f"<|{0.02 * i:.2f}|>" for i in range(vocabulary - first)]
    spec["added_tokens"] += [{"id": first + i, "content": stamp, **plain} for i, stamp in enumerate(stamps)]
    return spec
