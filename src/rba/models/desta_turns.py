"""DeSTA's inputs: mels of 30 s, a fixed number of audio tokens between two marks, and the words that were heard."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from transformers import BatchFeature

AUDIO_TOKEN = "<|AUDIO|>"
BEGIN, END = "<start_audio>", "<end_audio>"
SCRIBE = "whisper"
"""The folder, in a saved model's, of the tokenizer that reads what Whisper writes."""


class DestaTurns:
    """A DeSTA's tokenizer, Whisper's feature extractor and its tokenizer, behind the call that others' processors have.

    A clip takes `rows` audio tokens; it is cut at 30 s. Turns are those of the LLM's own template.
    """

    audio_token, chat_template = AUDIO_TOKEN, None

    def __init__(self, ears: Any, tokenizer: Any, scribe: Any, rows: int):
        self.ears, self.tokenizer, self.scribe, self.rows = ears, tokenizer, scribe, rows
        if tokenizer.convert_tokens_to_ids(AUDIO_TOKEN) in (None, tokenizer.unk_token_id):
            tokenizer.add_tokens([AUDIO_TOKEN], special_tokens=True)

    def __call__(
        self,
        text: Sequence[str],
        audio: Sequence[np.ndarray],
        return_tensors: str = "pt",
        words: Sequence[str] | None = None,
        **kwargs: Any,
    ) -> Any:
        """The model's inputs for one `text` in which the audio token stands once for each clip of `audio`.

        `words` are what was said in each; they follow its audio.
        """
        first, *rest = text[0].split(AUDIO_TOKEN)
        said = words or [""] * len(audio)
        places = [
            f"{BEGIN}{AUDIO_TOKEN * self.rows}{heard}{END}{after}" for heard, after in zip(said, rest, strict=True)
        ]
        ids = self.tokenizer([first + "".join(places)], return_tensors=return_tensors, **kwargs.get("text_kwargs", {}))
        return BatchFeature({**ids, "input_features": self.mels(audio)})

    def mels(self, audio: Sequence[np.ndarray]) -> Any:
        """Mels [C, M, T] of clips, padded with silence to what the tower takes."""
        return self.ears(list(audio), sampling_rate=self.ears.sampling_rate, return_tensors="pt")["input_features"]

    def save_pretrained(self, folder: str | Path) -> None:
        """Write the parts."""
        self.ears.save_pretrained(folder)
        self.tokenizer.save_pretrained(folder)
        self.scribe.save_pretrained(Path(folder) / SCRIBE)
