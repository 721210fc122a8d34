"""A tiny random sentence embedder as a checkpoint folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rba.testing.tiny_lm import tiny_tokenizer


def save_tiny_embedder(folder: str | Path, seed: int = 0) -> Path:
    """Save a random BERT of one layer over bytes that `SentenceEmbedder` opens."""
    import torch
    from transformers import BertConfig, BertModel

    tokenizer = tiny_tokenizer()
    sizes: dict[str, Any] = {
        "hidden_size": 32,
        "intermediate_size": 32,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
    }
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = BertModel(BertConfig(vocab_size=len(tokenizer), initializer_range=0.5, **sizes))
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return Path(folder)
