"""SALMONN's inputs: mels of 30 s, filter banks of the clip itself, and the turns that its LLM was adapted to."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn.utils.rnn import pad_sequence
from transformers import BatchFeature

from rba.models.fbank import fbank

AUDIO_TOKEN = "<SpeechHere>"
SHORTEST = 1.0
"""Seconds; shorter clips are filled up with silence."""
TEMPLATE = (
    "{% for message in messages %}"
    "{% set parts = [{'type': 'text', 'text': message['content']}] if message['content'] is string"
    " else message['content'] %}"
    "{% if message['role'] == 'assistant' %}{% set marks = ['ASSISTANT: ', eos_token] %}"
    "{% elif message['role'] == 'user' %}{% set marks = ['USER: ', '\n'] %}"
    "{% else %}{% set marks = ['', ' '] %}{% endif %}"
    "{{ marks[0] }}{% for part in parts %}"
    "{% if part['type'] == 'audio' %}<Speech><SpeechHere></Speech>{% else %}{{ part['text'] }}{% endif %}"
    "{% endfor %}{{ marks[1] }}{% endfor %}"
    "{% if add_generation_prompt %}ASSISTANT:{% endif %}"
)
"""Its publisher's prompt; earlier turns and a system turn as Vicuna has them."""


class SalmonnTurns:
    """A SALMONN's tokenizer and Whisper's feature extractor behind the call that other families' processors have.

    A clip takes `rows` tokens `audio_token`; it is cut at 30 s. What stands before, between and after clips is put into
    tokens piece by piece.
    """

    audio_token, chat_template = AUDIO_TOKEN, TEMPLATE

    def __init__(self, ears: Any, tokenizer: Any, rows: int):
        self.ears, self.tokenizer, self.rows = ears, tokenizer, rows
        tokenizer.chat_template = TEMPLATE
        if tokenizer.convert_tokens_to_ids(AUDIO_TOKEN) in (None, tokenizer.unk_token_id):
            tokenizer.add_tokens([AUDIO_TOKEN], special_tokens=True)

    def __call__(
        self, text: Sequence[str], audio: Sequence[np.ndarray], return_tensors: str = "pt", **kwargs: Any
    ) -> Any:
        """The model's inputs for one `text` in which the audio token stands once for each clip of `audio`."""
        first, *rest = text[0].split(AUDIO_TOKEN)
        ids = self._ids(first, **kwargs["text_kwargs"])
        for piece, _ in zip(rest, audio, strict=True):
            ids += [self.tokenizer.convert_tokens_to_ids(AUDIO_TOKEN)] * self.rows + self._ids(piece)
        waves = [self._fitted(wave) for wave in audio]
        banks = [fbank(wave) for wave in waves]
        mels = self.ears(waves, return_tensors=return_tensors, **kwargs["audio_kwargs"])
        made = {
            "input_ids": torch.tensor([ids]),
            "attention_mask": torch.ones(1, len(ids), dtype=torch.long),
            "input_features": mels["input_features"],
            "fbank": pad_sequence(banks, batch_first=True),
            "frames": torch.tensor([len(bank) for bank in banks]),
        }
        return BatchFeature(made)

    def save_pretrained(self, folder: str | Path) -> None:
        """Write both parts."""
        self.ears.save_pretrained(folder)
        self.tokenizer.save_pretrained(folder)

    def _fitted(self, wave: np.ndarray) -> np.ndarray:
        """A clip of at least a second and at most what the tower takes."""
        shortest = round(SHORTEST * self.ears.sampling_rate)
        return np.pad(wave, (0, max(0, shortest - len(wave))))[: self.ears.n_samples]

    def _ids(self, text: str, add_special_tokens: bool = False) -> list[int]:
        return self.tokenizer(text, add_special_tokens=add_special_tokens)["input_ids"] if text else []
