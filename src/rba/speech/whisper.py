"""Whisper as a recogniser."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from rba.data.audio import SAMPLE_RATE
from rba.lm.quiet import quiet
from rba.speech.pretrained import open_pretrained

MAX_TOKENS = 200


class Transcriber:
    """Greedy English transcription with a Whisper model: registry name, local folder or hub id.

    `threads` limits torch within this process (None: as it is). Raises ModelError for a model that is not Whisper.
    """

    def __init__(self, name: str = "whisper-tiny.en", threads: int | None = None):
        from transformers import WhisperForConditionalGeneration, WhisperProcessor

        from rba.lm.number_format import AUTO, number_format

        classes = (WhisperForConditionalGeneration, WhisperProcessor)
        # half precision, where it is fast, takes half the time; see docs/results for what it hears
        self._model, self._processor = open_pretrained(name, "Whisper", *classes, number_format(AUTO), threads)
        self._model.generation_config.update(do_sample=False, num_beams=1, max_length=MAX_TOKENS)

    def transcribe(self, waves: Sequence[np.ndarray], batch_size: int = 24) -> list[str]:
        """What is heard in each 16 kHz mono wave [samples] of at most 30 s."""
        return [text for i in range(0, len(waves), batch_size) for text in self._batch(waves[i : i + batch_size])]

    def _batch(self, waves: Sequence[np.ndarray]) -> list[str]:
        import torch

        extract = self._processor.feature_extractor
        inputs = extract(list(waves), sampling_rate=SAMPLE_RATE, return_tensors="pt", return_attention_mask=True)
        options: dict[str, Any] = {"attention_mask": inputs.attention_mask}
        if getattr(self._model.generation_config, "is_multilingual", False):
            options |= {"language": "en", "task": "transcribe"}
        with torch.inference_mode(), quiet():
            ids = self._model.generate(inputs.input_features.to(self._model.device, self._model.dtype), **options)
        return [text.strip() for text in self._processor.tokenizer.batch_decode(ids, skip_special_tokens=True)]
