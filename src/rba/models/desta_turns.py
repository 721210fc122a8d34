"""DeSTA's inputs: mels of 30 s, a fixed number of audio tokens between two marks, and the words that were heard."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import BatchFeature

from rba.models.desta_model import SCRIBE

AUDIO_TOKEN = "<|AUDIO|>"
BEGIN, END = "<start_audio>", "<end_audio>"


class DestaTurns:
    """A DeSTA's tokenizer, Whisper's feature extractor and its tokenizer, behind the call that others' processors have.

    A clip takes `rows` tokens `audio_token`; it is cut at 30 s. Turns are those of the LLM's own template.
    """

    chat_template = None

    def __init__(self, ears: Any, tokenizer: Any, scribe: Any, rows: int, audio_token: str = AUDIO_TOKEN):
        self.ears, self.tokenizer, self.scribe, self.rows = ears, tokenizer, scribe, rows
        self.audio_token = audio_token
        if tokenizer.convert_tokens_to_ids(audio_token) in (None, tokenizer.unk_token_id):
            tokenizer.add_tokens([audio_token], special_tokens=True)

    def __call__(
        self,
        text: Sequence[str],
        audio: Sequence[np.ndarray],
        words: Sequence[str],
        text_kwargs: Mapping[str, Any],
    ) -> Any:
        """The model's inputs for one `text` in which the audio token stands once for each clip of `audio`.

        `words` are what was said in each; they follow its audio, as tokens of their own.
        """
        first, *rest = text[0].split(self.audio_token)
        heard = BEGIN + self.audio_token * self.rows
        pieces = [first + heard]
        for number, (said, after) in enumerate(zip(words, rest, strict=True), 1):
            pieces += [said, END + after + (heard if number < len(rest) else "")]
        ids = [i for n, piece in enumerate(pieces) for i in self._ids(piece, **({} if n else text_kwargs))]
        ids_1T = torch.tensor([ids])
        made = {"input_ids": ids_1T, "attention_mask": torch.ones_like(ids_1T), "input_features": self.mels(audio)}
        return BatchFeature(made)

    def _ids(self, text: str, add_special_tokens: bool = False) -> list[int]:
        return self.tokenizer(text, add_special_tokens=add_special_tokens)["input_ids"] if text else []

    def mels(self, audio: Sequence[np.ndarray]) -> Any:
        """Mels [C, M, T] of clips, padded with silence to what the tower takes."""
        return self.ears(list(audio), sampling_rate=self.ears.sampling_rate, return_tensors="pt")["input_features"]

    def save_pretrained(self, folder: str | Path) -> None:
        """Write the parts."""
        self.ears.save_pretrained(folder)
        self.tokenizer.save_pretrained(folder)
        self.scribe.save_pretrained(Path(folder) / SCRIBE)
