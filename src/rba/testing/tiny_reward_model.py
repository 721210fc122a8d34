"""Tiny random reward models with a chat template, as checkpoint folders."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rba.testing.tiny_lm import tiny_tokenizer


def tiny_reward_config(**changes: Any) -> Any:
    """The config of a two-layer Llama over the byte tokenizer; `changes` go to it."""
    from transformers import LlamaConfig

    facts = {
        "vocab_size": len(tiny_tokenizer()),
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 1024,
        "pad_token_id": 0,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "initializer_range": 0.15,
        "num_labels": 1,
    }
    return LlamaConfig(**{**facts, **changes})


def save_tiny_reward_model(folder: str | Path, seed: int = 0, kind: str = "classifier", **changes: Any) -> Path:
    """Save a random float32 reward model that `load_reward_model` opens, a "classifier" or an "armorm"."""
    import torch
    from transformers import LlamaForSequenceClassification

    from rba.lm.armorm import ARCHITECTURE, ArmoRM

    armorm = {"num_objectives": 19, "gating_hidden_dim": 16, "gating_n_hidden": 3, "gating_temperature": 10}
    config = tiny_reward_config(**(armorm if kind == "armorm" else {}), **changes)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = ArmoRM(config) if kind == "armorm" else LlamaForSequenceClassification(config)
        if isinstance(model, ArmoRM):
            model.reward_transform_matrix.data += 0.1 * torch.randn(19, 19)
            model.gating.logit_scale.data.fill_(1.5)
    model.save_pretrained(folder)
    tiny_tokenizer().save_pretrained(folder)
    path = Path(folder) / "config.json"
    path.write_text(path.read_text().replace('"ArmoRM"', f'"{ARCHITECTURE}"'))
    return Path(folder)
