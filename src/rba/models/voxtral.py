"""Voxtral's processor without mistral-common: its tokens read by transformers, its turns written by a template here."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from shutil import copy2
from typing import Any

import numpy as np
import torch

AUDIO_TOKEN = "[AUDIO]"
SPECIAL = {"bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>"}
FRAMES_A_TOKEN = 8
TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}"
    "{% set parts = [{'type': 'text', 'text': message['content']}] if message['content'] is string"
    " else message['content'] %}"
    "{% if message['role'] == 'assistant' %}{% set marks = ['', eos_token] %}"
    "{% elif message['role'] == 'system' %}{% set marks = ['[SYSTEM_PROMPT]', '[/SYSTEM_PROMPT]'] %}"
    "{% else %}{% set marks = ['[INST]', '[/INST]'] %}{% endif %}"
    "{{ marks[0] }}{% for part in parts %}"
    "{% if part['type'] == 'audio' %}[BEGIN_AUDIO][AUDIO]{% else %}{{ part['text'] }}{% endif %}"
    "{% endfor %}{{ marks[1] }}{% endfor %}"
)
"""The turns that mistral-common writes from version 7 of its format on."""


class VoxtralTurns:
    """A Voxtral's tokenizer and feature extractor behind the call that other families' processors have.

    `tokenizer` is a fast one. Audio is padded to whole chunks of the feature extractor (30 s) and takes 12.5 tokens a
    second.
    """

    audio_token = AUDIO_TOKEN
    chat_template = TEMPLATE

    def __init__(self, feature_extractor: Any, tokenizer: Any):
        self.feature_extractor, self.tokenizer = feature_extractor, tokenizer
        for name, token in SPECIAL.items():
            setattr(tokenizer, name, token)
        tokenizer.chat_template = TEMPLATE

    def __call__(
        self, text: Sequence[str], audio: Sequence[np.ndarray], return_tensors: str = "pt", **kwargs: Any
    ) -> Any:
        """The model's inputs for one `text` in which the audio token stands once for each clip of `audio`."""
        from transformers import BatchFeature

        ears = self.feature_extractor
        pads = {"padding": True, "truncation": False, "pad_to_multiple_of": ears.n_samples}
        heard = [ears(w, return_tensors=return_tensors, **pads, **kwargs["audio_kwargs"]) for w in audio]
        frames = [clip["input_features"].shape[-1] for clip in heard]
        first, *rest = text[0].split(AUDIO_TOKEN)
        whole = first + "".join(AUDIO_TOKEN * (n // FRAMES_A_TOKEN) + after for n, after in zip(frames, rest))
        ids = self.tokenizer([whole], return_tensors=return_tensors, **kwargs["text_kwargs"])
        chunks = [clip["input_features"][0].split(ears.nb_max_frames, 1) for clip in heard]
        made = {
            "input_ids": ids["input_ids"],
            "attention_mask": ids["attention_mask"],
            "input_features": torch.stack([chunk for clip in chunks for chunk in clip]),
        }
        return BatchFeature(made)

    def save_pretrained(self, folder: Path) -> None:
        """Write what transformers and servers open a Voxtral with; `tekken.json` where it was read from one."""
        from transformers import VoxtralProcessor

        VoxtralProcessor(self.feature_extractor, self.tokenizer).save_pretrained(folder)
        tekken = Path(str(self.tokenizer.init_kwargs.get("vocab_file")))
        if tekken.name == "tekken.json" and tekken.is_file():
            copy2(tekken, folder)


def open_turns(source: str) -> VoxtralTurns:
    """The processor of a folder or hub id, from its `tekken.json` or its `tokenizer.json`."""
    from transformers import AutoFeatureExtractor, PreTrainedTokenizerFast

    return VoxtralTurns(AutoFeatureExtractor.from_pretrained(source), PreTrainedTokenizerFast.from_pretrained(source))
