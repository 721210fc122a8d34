"""Tiny random speech recognisers as checkpoint folders that `load_recogniser` opens."""

from __future__ import annotations

from pathlib import Path
from typing import Any

_SPECIAL: dict[str, Any] = {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 2, "decoder_start_token_id": 1}


def save_tiny_recogniser(folder: str | Path, family: str = "whisper", seed: int = 0) -> Path:
    """Save a random recogniser of a family in `rba.speech.recogniser.KINDS`."""
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        (_save_moonshine if family == "moonshine" else _save_whisper)(Path(folder))
    return Path(folder)


def _save_moonshine(folder: Path) -> None:
    """One that never ends by itself."""
    from transformers import GenerationConfig, MoonshineConfig, MoonshineForConditionalGeneration

    from rba.weights.moonshine import tokenizer_of

    sizes: dict[str, Any] = {
        f"{side}_{key}": 2 for side in ("encoder", "decoder") for key in ("num_hidden_layers", "num_attention_heads")
    }
    config = MoonshineConfig(hidden_size=32, intermediate_size=64, vocab_size=320, **sizes, **_SPECIAL)
    model: Any = MoonshineForConditionalGeneration(config)
    model.generation_config = GenerationConfig(**_SPECIAL, suppress_tokens=[0, 1, 2], max_length=9)
    model.save_pretrained(folder)
    letters = [f"{chr(97 + i)}{chr(97 + j)}".encode() for i in range(8) for j in range(8)][:61]
    tokenizer_of([b"<unk>", b"<s>", b"</s>", *(bytes([i]) for i in range(256)), *letters]).save_pretrained(folder)


def _save_whisper(folder: Path) -> None:
    """One that hears a single sign in everything."""
    from tokenizers import pre_tokenizers
    from transformers import (
        GenerationConfig,
        WhisperConfig,
        WhisperFeatureExtractor,
        WhisperForConditionalGeneration,
        WhisperProcessor,
        WhisperTokenizer,
    )

    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    start, end = "<|startoftranscript|>", "<|endoftext|>"
    names = ["<|pad|>", start, end, "<|notimestamps|>"]
    vocabulary = {token: i for i, token in enumerate([*names, *letters])}
    tokenizer: Any = WhisperTokenizer(vocab=vocabulary, merges=[], eos_token=end, pad_token=end, bos_token=start)
    sizes: dict[str, Any] = {
        f"{side}_{key}": n
        for side in ("encoder", "decoder")
        for key, n in (("layers", 1), ("attention_heads", 2), ("ffn_dim", 32))
    }
    special: dict[str, Any] = {**_SPECIAL, "pad_token_id": 0}
    config = WhisperConfig(vocab_size=len(tokenizer), d_model=16, num_mel_bins=80, init_std=0.2, **sizes, **special)
    model: Any = WhisperForConditionalGeneration(config)
    last = _SPECIAL["eos_token_id"]
    model.generation_config = GenerationConfig(
        **special, no_timestamps_token_id=3, begin_suppress_tokens=[0, 1, last, 3]
    )
    decoder = model.model.decoder
    decoder.layer_norm.weight.data.zero_()
    decoder.layer_norm.bias.data = 9 * decoder.embed_tokens.weight.data[last]
    model.save_pretrained(folder)
    WhisperProcessor(WhisperFeatureExtractor(feature_size=80), tokenizer).save_pretrained(folder)
