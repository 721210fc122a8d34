"""Features are kept on disk, and why an utterance has none is known however often the stage was stopped."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from rba.data import audio
from rba.data.utterance import Utterance
from rba.evaluation.features import FeatureCache


class Ear:
    """Counts the clips that it hears."""

    name, encoder_name = "ear", "ear"

    def __init__(self):
        self.heard = 0

    def encode(self, waves):
        self.heard += len(waves)
        return [torch.zeros(3, 2) for _ in waves]


def utterance(name: str, sound: bytes) -> Utterance:
    return Utterance(name, name, 0, "", "", "", "", "test", "", "", 0, "", 1.0, None, sound)


def test_why_clips_cannot_be_heard_is_told_again_after_a_stop(tmp_path: Path):
    sound = audio.encode(np.full(16_000, 0.1, np.float32))
    said = [utterance("whole", sound), utterance("broken", b"broken"), utterance("torn", b"torn")]
    ear, told = Ear(), []
    for _ in range(2):  # the second time as after a stop
        cache = FeatureCache(tmp_path)
        assert list(cache.get(ear, said)) == ["whole"]
        told.append(cache.refused)
    assert ear.heard == 1 and told[0] == told[1]
    assert told[0].keys() == {"broken", "torn"}
    assert len(set(told[0].values())) == 1  # one reason, not one for every clip
