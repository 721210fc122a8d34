"""Moonshine as a recogniser: it hears the waveform itself, and no more of it than there is."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rba.data.audio import SAMPLE_RATE
from rba.speech.pretrained import open_pretrained

TOKENS_A_SECOND = 6.5
"""More than speech holds; given more room, Moonshine repeats itself."""
LEAST_TOKENS = 6


class MoonshineTranscriber:
    """Greedy English transcription with a Moonshine model in float32: registry name, local folder or hub id.

    `threads` limits torch within this process (None: as it is). Raises ModelError for a model that cannot be loaded.
    """

    def __init__(self, name: str = "moonshine-base-en", threads: int | None = None):
        import torch
        from transformers import AutoTokenizer, MoonshineForConditionalGeneration

        classes = (MoonshineForConditionalGeneration, AutoTokenizer)
        self._model, self._tokenizer = open_pretrained(name, "Moonshine", *classes, torch.float32, threads)
        self._model.generation_config.update(do_sample=False, num_beams=1, max_length=None)

    def transcribe(self, waves: Sequence[np.ndarray], batch_size: int = 1) -> list[str]:
        """What is heard in each 16 kHz mono wave [samples] of at most 30 s.

        One at a time whatever `batch_size` says: the model's group norm would hear the pads of a batch.
        """
        return [self._one(wave) for wave in waves]

    def _one(self, wave: np.ndarray) -> str:
        import torch

        room = max(LEAST_TOKENS, int(TOKENS_A_SECOND * len(wave) / SAMPLE_RATE))
        with torch.inference_mode():
            ids = self._model.generate(torch.from_numpy(wave)[None], max_new_tokens=room)[0]
        return str(self._tokenizer.decode(ids, skip_special_tokens=True)).strip()
