"""Ultravox's inputs: mels of the real frames in chunks, and as many audio tokens in the LLM's own turns."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from shutil import copy2
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from transformers import BatchFeature, WhisperFeatureExtractor

from rba.data.audio import SAMPLE_RATE
from rba.models.bridge import file_of
from rba.models.ultravox_model import tokens
from rba.models.whisper import DOWNSAMPLING, HOP

AUDIO_TOKEN = "<|audio|>"
CODE = tuple(f"ultravox_{name}.py" for name in ("config", "model", "processing", "pipeline", "tokenizer"))


class UltravoxTurns:
    """An Ultravox's tokenizer and Whisper's feature extractor behind the call that other families' processors have.

    Audio is not padded to 30 s; longer audio is cut into chunks of that. Turns are those of the LLM's own template.
    """

    audio_token, chat_template = AUDIO_TOKEN, None

    def __init__(self, ears: Any, tokenizer: Any, stack_factor: int, source: str = ""):
        self.ears, self.tokenizer, self.stack_factor, self.source = ears, tokenizer, stack_factor, source
        if tokenizer.convert_tokens_to_ids(AUDIO_TOKEN) in (None, tokenizer.unk_token_id):
            tokenizer.add_tokens([AUDIO_TOKEN], special_tokens=True)

    def __call__(
        self, text: Sequence[str], audio: Sequence[np.ndarray], return_tensors: str = "pt", **kwargs: Any
    ) -> Any:
        """The model's inputs for one `text` in which the audio token stands once for each clip of `audio`."""
        clips = [self._chunks(wave, **kwargs["audio_kwargs"]) for wave in audio]
        first, *rest = text[0].split(AUDIO_TOKEN)
        counts = [sum(tokens(chunk.shape[1], self.stack_factor) for chunk in clip) for clip in clips]
        whole = first + "".join(AUDIO_TOKEN * n + after for n, after in zip(counts, rest, strict=True))
        ids = self.tokenizer([whole], return_tensors=return_tensors, **kwargs["text_kwargs"])
        chunks = [chunk for clip in clips for chunk in clip]
        frames = torch.tensor([chunk.shape[1] for chunk in chunks])
        longest = int(frames.max())
        made = {
            "input_ids": ids["input_ids"],
            "attention_mask": ids["attention_mask"],
            "input_features": torch.stack([F.pad(chunk, (0, longest - chunk.shape[1])) for chunk in chunks]),
            "frames": frames,
        }
        return BatchFeature(made)

    def save_pretrained(self, folder: str | Path) -> None:
        """Write tokenizer and feature extractor, and the code that the checkpoint brings along for others."""
        self.ears.save_pretrained(folder)
        self.tokenizer.save_pretrained(folder)
        for name in (*CODE, "processor_config.json") if self.source else ():
            if path := file_of(self.source, name):
                copy2(path, folder)

    def _chunks(self, wave: np.ndarray, **kwargs: Any) -> Sequence[torch.Tensor]:
        """Mels [M, T] of a clip, whole hops of it, in chunks that the tower takes."""
        hop = self.ears.hop_length
        padded = np.pad(wave, (0, max(0, 2 * hop - len(wave))))
        kwargs = {"padding": "longest", "pad_to_multiple_of": hop, "truncation": False, **kwargs}
        return self.ears(padded, return_tensors="pt", **kwargs)["input_features"][0].split(self.ears.nb_max_frames, 1)


def ears(audio_config: Any) -> WhisperFeatureExtractor:
    """Whisper's feature extractor for a tower; what published checkpoints say of it is another model's."""
    seconds = DOWNSAMPLING * audio_config.max_source_positions * HOP // SAMPLE_RATE
    return WhisperFeatureExtractor(feature_size=audio_config.num_mel_bins, chunk_length=seconds)
