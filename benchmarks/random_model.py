"""A published audio LM in its full size with random weights: its work and its memory, without its weights' download."""

from __future__ import annotations

import torch

from rba.lm.number_format import AUTO, number_format, pick_device
from rba.models.audio_lm import AudioLM, wrap
from rba.models.bridge import class_of
from rba.models.families import FAMILIES
from rba.plan.published import PUBLISHED
from rba.testing.tiny_audio_parts import AUDIO_TEMPLATE, audio_id, tiny_audio_tokenizer

FAMILY = "qwen2_audio"


def random_model(name: str) -> AudioLM:
    """A Qwen2-Audio of the published sizes of `name` on the device that models are loaded on, frozen.

    Its tokenizer spells bytes: texts have some four times the tokens of the real one. Answers are drawn from the
    whole published vocabulary, nearly at random, so that hardly one ends before its last token.
    """
    from transformers import Qwen2AudioConfig, Qwen2AudioProcessor, WhisperFeatureExtractor

    sizes = PUBLISHED.get(name, {})
    if sizes.get("model_type") != FAMILY:
        raise SystemExit(f"random:{name}: no published sizes; choose {', '.join(sorted(_choices()))}")
    tokenizer = tiny_audio_tokenizer()
    ids = {"bos_token_id": 1, "eos_token_id": tokenizer.eos_token_id, "pad_token_id": 0}
    config = Qwen2AudioConfig(
        audio_config=sizes["audio_config"],
        text_config=sizes["text_config"] | ids,
        audio_token_index=audio_id(tokenizer),
    )
    ears = WhisperFeatureExtractor(feature_size=sizes["audio_config"]["num_mel_bins"], return_attention_mask=True)
    processor = Qwen2AudioProcessor(ears, tokenizer, chat_template=AUDIO_TEMPLATE)
    family, device = FAMILIES[FAMILY], pick_device()
    usual = torch.get_default_dtype()
    try:
        torch.set_default_dtype(number_format(AUTO, device))
        with device:
            core = class_of(family)(config)
    finally:
        torch.set_default_dtype(usual)
    core.generation_config.eos_token_id = tokenizer.eos_token_id
    return wrap(core, processor, family, name, f"random:{name}")


def _choices() -> list[str]:
    return [name for name, sizes in PUBLISHED.items() if sizes["model_type"] == FAMILY]
