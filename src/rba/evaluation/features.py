"""Encoder features kept on disk while the stage runs: models that share a frozen encoder listen once."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from rba.data import audio
from rba.data.utterance import Utterance
from rba.errors import AudioError
from rba.files import settle
from rba.workspace import fingerprint

if TYPE_CHECKING:
    import torch

    from rba.models.speechlm import SpeechLM


class FeatureCache:
    """Features by encoder and chunk of utterances, as safetensors in a folder that `clear` removes.

    `refused` collects why utterances could not be heard, by id; they have no features.
    """

    def __init__(self, folder: Path):
        self.folder = folder
        self.refused: dict[str, str] = {}

    def get(self, speechlm: SpeechLM, utterances: Sequence[Utterance]) -> dict[str, torch.Tensor]:
        """Features [T, F] by utterance id, from disk if a model with the same encoder has been here before.

        A model without an `encoder_name` is taken to have an encoder of its own.
        """
        from safetensors.torch import load_file

        if not utterances:
            return {}
        encoder = getattr(speechlm, "encoder_name", None) or f"own:{speechlm.name}"
        path = self.folder / f"{fingerprint(encoder, [u.id for u in utterances])}.safetensors"
        if path.is_file():
            features = load_file(path)
            decode_all([u for u in utterances if u.id not in features], self.refused)  # why, which a stop may have lost
            return features
        waves = decode_all(utterances, self.refused)
        features = dict(zip(waves, speechlm.encode(list(waves.values())))) if waves else {}
        _save(path, features)
        return features

    def clear(self) -> None:
        """Remove the folder."""
        shutil.rmtree(self.folder, ignore_errors=True)


def decode_all(utterances: Sequence[Utterance], refused: dict[str, str]) -> dict[str, np.ndarray]:
    """Waveforms [samples] by utterance id; those that cannot be decoded are left out and noted in `refused`."""
    waves = {}
    for utterance in utterances:
        try:
            waves[utterance.id] = audio.decode(utterance.audio, utterance.id)
        except AudioError as error:
            refused[utterance.id] = error.what
    return waves


def _save(path: Path, features: dict[str, torch.Tensor]) -> None:
    from safetensors.torch import save_file

    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    save_file({k: v.cpu().contiguous() for k, v in features.items()}, partial)
    settle(partial, path)
