"""Tiny random speech encoders of the compact SpeechLM, by family, as their publishers save them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rba.models.wave_encoder import MOONSHINE

WHISPER, WIDTH = "whisper", 16
_CONVOLUTIONS = {"conv_dim": (8,) * 7, "num_conv_pos_embeddings": 4, "num_conv_pos_embedding_groups": 2}


def tiny_whisper(seed: int = 0) -> Any:
    """A random Whisper of one layer and 16 channels; the global generator is left untouched."""
    import torch
    from transformers import WhisperConfig, WhisperForConditionalGeneration

    config = WhisperConfig(
        vocab_size=8,
        num_mel_bins=80,
        d_model=WIDTH,
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


def tiny_wave_encoder(family: str, seed: int = 0, **more: Any) -> Any:
    """A random model of one of `rba.models.wave_encoder.FAMILIES`; `more` are entries of its configuration."""
    import torch
    from transformers import AutoConfig, AutoModel

    sizes: dict[str, Any] = {"hidden_size": WIDTH, "intermediate_size": 32, "vocab_size": 8, "initializer_range": 0.2}
    if family == MOONSHINE:
        parts = [
            f"{part}_{key}" for part in ("encoder", "decoder") for key in ("num_hidden_layers", "num_attention_heads")
        ]
        sizes |= dict.fromkeys(parts, 2)
    else:
        sizes |= {**_CONVOLUTIONS, "num_hidden_layers": 2, "num_attention_heads": 2}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return AutoModel.from_config(AutoConfig.for_model(family, **sizes | more)).eval().requires_grad_(False)


def save_tiny_encoder(
    folder: str | Path, family: str = WHISPER, seed: int = 0, normalise: bool = True, **more: Any
) -> Path:
    """Save a checkpoint that `load_encoder` opens; `normalise` is what a feature extractor of wav2vec 2.0 is told."""
    from transformers import Wav2Vec2FeatureExtractor

    folder = Path(folder)
    model = tiny_whisper(seed) if family == WHISPER else tiny_wave_encoder(family, seed, **more)
    model.save_pretrained(folder)
    if family not in (WHISPER, MOONSHINE):
        Wav2Vec2FeatureExtractor(do_normalize=normalise).save_pretrained(folder)
    return folder
