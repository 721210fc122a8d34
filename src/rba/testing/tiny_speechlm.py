"""A tiny random SpeechLM with every part of a real one: speech encoder, connector and Llama, made in memory."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from rba.testing.tiny_encoder import WHISPER, WIDTH, save_tiny_encoder, tiny_whisper
from rba.testing.tiny_lm import SPECIAL, save_tiny_lm, tiny_text_lm

if TYPE_CHECKING:
    from rba.models.compact import CompactSpeechLM


def tiny_speechlm(seed: int = 0) -> CompactSpeechLM:
    """A random SpeechLM in float32 that hears: the same weights for the same seed, no downloads."""
    import torch

    from rba.models.compact import CompactSpeechLM
    from rba.models.connector import Connector, ConnectorConfig
    from rba.models.whisper import WhisperEncoder

    lm = tiny_text_lm(seed)
    config = ConnectorConfig(features=WIDTH, stack=4, width=16, layers=1, heads=2, kernel=3, dropout=0.0)
    letters = range(len(SPECIAL), len(lm.tokenizer))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        connector = Connector(config, letters, lm.table()).eval().requires_grad_(False)
    return CompactSpeechLM(WhisperEncoder(tiny_whisper(seed).get_encoder(), 80), connector, lm, "tiny", "tiny-whisper")


def save_tiny_speechlm(folder: str | Path, seed: int = 0, ears: str = WHISPER) -> Path:
    """Save the tiny SpeechLM as a checkpoint folder that `load_speechlm` opens, its encoder and LLM inside it.

    `ears` is the family of its encoder (`rba.testing.tiny_encoder`).
    """
    folder = Path(folder)
    tiny_speechlm(seed).save(folder)
    save_tiny_encoder(folder / ears, ears, seed)
    save_tiny_lm(folder / "llm", seed)
    names = json.loads((folder / "speechlm.json").read_text())
    names |= {"encoder": str(folder / ears), "llm": str(folder / "llm")}
    (folder / "speechlm.json").write_text(json.dumps(names, indent=1) + "\n")
    return folder
