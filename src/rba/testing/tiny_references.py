"""A folder of reference clips of people that there are not, for engines that clone voices."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import soundfile

from rba.data import audio
from rba.testing.tiny_utterances import tiny_wave

WORDS = "What the clip says."


def save_tiny_references(folder: str | Path, people: int = 40) -> Path:
    """Write a clip of 4 s and its words for each person, as LibriTTS has them; all splits get a few people of 40."""
    folder = Path(folder)
    for person in range(people):
        clip = folder / f"{person:02d}" / "clip.wav"
        clip.parent.mkdir(parents=True)
        clip.with_suffix(".normalized.txt").write_text(WORDS)
        soundfile.write(clip, np.tile(tiny_wave(person), 8), audio.SAMPLE_RATE)
    return folder
