"""Shapes of models that recipes name, as their publishers' configurations give them: for machines that have none.

Keys are those of transformers' configurations; what is left out is the class's default.
"""

from __future__ import annotations

from typing import Any

_QWEN_SMALL = {
    "model_type": "qwen2",
    "hidden_size": 896,
    "intermediate_size": 4864,
    "num_hidden_layers": 24,
    "num_attention_heads": 14,
    "num_key_value_heads": 2,
    "vocab_size": 151_936,
    "tie_word_embeddings": True,
}
_QWEN_LARGER = _QWEN_SMALL | {
    "hidden_size": 1536,
    "intermediate_size": 8960,
    "num_hidden_layers": 28,
    "num_attention_heads": 12,
    "num_key_value_heads": 2,
}
_LLAMA_8B = {
    "model_type": "llama",
    "hidden_size": 4096,
    "intermediate_size": 14_336,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "vocab_size": 128_256,
}
_VICUNA_7B = {
    "model_type": "llama",
    "hidden_size": 4096,
    "intermediate_size": 11_008,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 32,
    "vocab_size": 32_000,
}


def _whisper(width: int, layers: int, heads: int, vocabulary: int) -> dict[str, Any]:
    sizes = {f"{part}_{key}": n for part in ("encoder", "decoder") for key, n in (("layers", layers),)}
    inner = {f"{part}_ffn_dim": 4 * width for part in ("encoder", "decoder")}
    attention = {f"{part}_attention_heads": heads for part in ("encoder", "decoder")}
    return {"model_type": "whisper", "d_model": width, "vocab_size": vocabulary, **sizes, **inner, **attention}


_LARGE_TOWER = {
    "num_mel_bins": 128,
    "encoder_layers": 32,
    "encoder_attention_heads": 20,
    "encoder_ffn_dim": 5120,
    "d_model": 1280,
}
"""The encoder of Whisper large."""

PUBLISHED: dict[str, dict[str, Any]] = {
    "smollm2-135m-instruct": {
        "model_type": "llama",
        "hidden_size": 576,
        "intermediate_size": 1536,
        "num_hidden_layers": 30,
        "num_attention_heads": 9,
        "num_key_value_heads": 3,
        "vocab_size": 49_152,
        "tie_word_embeddings": True,
    },
    "qwen2.5-coder-0.5b-instruct": _QWEN_SMALL,
    "qwen2.5-coder-1.5b-instruct": _QWEN_LARGER,
    "Qwen/Qwen2.5-0.5B-Instruct": _QWEN_SMALL,
    "Qwen/Qwen2.5-1.5B-Instruct": _QWEN_LARGER,
    "whisper-tiny.en": _whisper(384, 4, 6, 51_864),
    "whisper-base": _whisper(512, 6, 8, 51_865),
    "moonshine-base-en": {
        "model_type": "moonshine",
        "hidden_size": 416,
        "intermediate_size": 1664,
        "encoder_num_hidden_layers": 8,
        "decoder_num_hidden_layers": 8,
    },
    "Qwen/Qwen2-Audio-7B-Instruct": {
        "model_type": "qwen2_audio",
        "audio_config": {"model_type": "qwen2_audio_encoder", **_LARGE_TOWER},
        "text_config": {
            "model_type": "qwen2",
            "hidden_size": 4096,
            "intermediate_size": 11_008,
            "num_hidden_layers": 32,
            "num_attention_heads": 32,
            "num_key_value_heads": 32,
            "vocab_size": 156_032,
        },
    },
    "fixie-ai/ultravox-v0_5-llama-3_2-1b": {
        "model_type": "ultravox",
        "projector_ln_mid": True,
        "audio_config": {"model_type": "whisper", **_LARGE_TOWER},
        "text_config": {
            "model_type": "llama",
            "hidden_size": 2048,
            "intermediate_size": 8192,
            "num_hidden_layers": 16,
            "num_attention_heads": 32,
            "num_key_value_heads": 8,
            "vocab_size": 128_256,
            "tie_word_embeddings": True,
        },
    },
    "DeSTA-ntu/DeSTA2.5-Audio-Llama-3.1-8B": {
        "model_type": "desta25",
        "qformer_num_hidden_layers": 6,
        "encoder_config": {**_whisper(1280, 32, 20, 51_866), **_LARGE_TOWER},
        "llm_config": _LLAMA_8B,
    },
    "lmsys/vicuna-7b-v1.5": _VICUNA_7B,
    "lmsys/vicuna-13b-v1.1": _VICUNA_7B
    | {
        "hidden_size": 5120,
        "intermediate_size": 13_824,
        "num_hidden_layers": 40,
        "num_attention_heads": 40,
        "num_key_value_heads": 40,
    },
    "openai/whisper-large-v2": _whisper(1280, 32, 20, 51_865),
    "meta-llama/Llama-3.1-70B-Instruct": _LLAMA_8B
    | {
        "hidden_size": 8192,
        "intermediate_size": 28_672,
        "num_hidden_layers": 80,
        "num_attention_heads": 64,
    },
    "meta-llama/Llama-3.1-8B-Instruct": _LLAMA_8B,
    "RLHFlow/ArmoRM-Llama3-8B-v0.1": _LLAMA_8B | {"architectures": ["LlamaForRewardModelWithGating"]},
}
"""Configurations by registry name or hub id."""
