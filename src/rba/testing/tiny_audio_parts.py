"""What tiny audio LMs share: a byte tokenizer with marks, a chat template, sizes of tower and LLM."""

from __future__ import annotations

from typing import Any

from rba.testing.tiny_lm import SPECIAL, tiny_tokenizer

MARKS = {
    "audio_token": "<|audio|>",
    "audio_bos_token": "<|audio_start|>",
    "audio_eos_token": "<|audio_end|>",
    "image_token": "<|image|>",
    "video_token": "<|video|>",
    "vision_bos_token": "<|vision_start|>",
    "vision_eos_token": "<|vision_end|>",
}
BOUNDS = {f"{end}o{what}_token": f"<|{end}o{what}|>" for end in "be" for what in "ai"}
AUDIO_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] + '\n' }}"
    "{% if message['content'] is string %}{{ message['content'] }}{% else %}{% for part in message['content'] %}"
    "{% if part['type'] == 'audio' %}<|audio_start|><|audio|><|audio_end|>{% else %}{{ part['text'] }}{% endif %}"
    "{% endfor %}{% endif %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
KINDS = ("audio", "image", "video")
MELS, WIDTH = 16, 32
SECONDS = 10
"""The clip that the towers pad to: 30 in the real ones."""


def tiny_audio_tokenizer(**more: str) -> Any:
    """The byte tokenizer with the marks of audio, images and video, and `more`, and a template that places audio."""
    from transformers import PreTrainedTokenizerFast

    core, marks = tiny_tokenizer().backend_tokenizer, {**MARKS, **more}
    core.add_special_tokens(list(marks.values()))
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=core, eos_token=SPECIAL[2], pad_token=SPECIAL[0], extra_special_tokens=marks
    )
    tokenizer.chat_template, tokenizer.padding_side = AUDIO_TEMPLATE, "left"
    return tokenizer


def text_sizes(tokenizer: Any, **extra: Any) -> dict[str, Any]:
    """Sizes of a tiny LLM for a tokenizer, and what more is given."""
    return {
        "vocab_size": len(tokenizer),
        "hidden_size": WIDTH,
        "intermediate_size": 2 * WIDTH,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 2048,
        "bos_token_id": 1,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": 0,
        **extra,
    }


def whisper_sizes() -> dict[str, Any]:
    """Sizes of a tiny tower in the words of Whisper's configuration."""
    return {
        "num_mel_bins": MELS,
        "d_model": 16,
        "encoder_layers": 1,
        "encoder_attention_heads": 2,
        "encoder_ffn_dim": 32,
        "max_source_positions": 50 * SECONDS,
    }


def whisper_ears() -> Any:
    """Whisper's feature extractor for it."""
    from transformers import WhisperFeatureExtractor

    return WhisperFeatureExtractor(feature_size=MELS, chunk_length=SECONDS, return_attention_mask=True)


def audio_id(tokenizer: Any) -> int:
    """The id of the token that stands for audio."""
    return int(tokenizer.convert_tokens_to_ids(MARKS["audio_token"]))
