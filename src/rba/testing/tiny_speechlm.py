"""A tiny random SpeechLM with every part of a real one: Whisper encoder, connector and Llama, made in memory."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rba.testing.tiny_lm import SPECIAL, save_tiny_lm, tiny_text_lm

if TYPE_CHECKING:
    from rba.models.compact import CompactSpeechLM


def tiny_whisper(seed: int = 0) -> Any:
    """A random Whisper of one layer and 16 channels; the global generator is left untouched."""
    import torch
    from transformers import WhisperConfig, WhisperForConditionalGeneration

    config = WhisperConfig(
        vocab_size=8,
        num_mel_bins=80,
        d_model=16,
        encoder_layers=1,
        decoder_layers=1,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        encoder_ffn_dim=32,
        decoder_ffn_dim=32,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
        decoder_start_token_id=1,
        init_std=0.2,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return WhisperForConditionalGeneration(config).eval().requires_grad_(False)


def tiny_speechlm(seed: int = 0) -> CompactSpeechLM:
    """A random SpeechLM in float32 that hears: the same weights for the same seed, no downloads."""
    import torch

    from rba.models.compact import CompactSpeechLM
    from rba.models.connector import Connector, ConnectorConfig
    from rba.models.whisper import WhisperEncoder

    lm = tiny_text_lm(seed)
    config = ConnectorConfig(features=16, stack=4, width=16, layers=1, heads=2, kernel=3, dropout=0.0)
    letters = range(len(SPECIAL), len(lm.tokenizer))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        connector = Connector(config, letters, lm.model.get_input_embeddings().weight).eval().requires_grad_(False)
    return CompactSpeechLM(WhisperEncoder(tiny_whisper(seed).get_encoder(), 80), connector, lm, "tiny", "tiny-whisper")


def save_tiny_speechlm(folder: str | Path, seed: int = 0) -> Path:
    """Save the tiny SpeechLM as a checkpoint folder that `load_speechlm` opens, its encoder and LLM inside it."""
    folder = Path(folder)
    tiny_speechlm(seed).save(folder)
    tiny_whisper(seed).save_pretrained(folder / "whisper")
    save_tiny_lm(folder / "llm", seed)
    names = json.loads((folder / "speechlm.json").read_text())
    names |= {"encoder": str(folder / "whisper"), "llm": str(folder / "llm")}
    (folder / "speechlm.json").write_text(json.dumps(names, indent=1) + "\n")
    return folder
