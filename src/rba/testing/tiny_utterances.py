"""A few spoken instructions without a speech synthesiser: each voice is a chord of its own."""

from __future__ import annotations

from functools import cache

import numpy as np

from rba.data import audio, seeds
from rba.data.instruction import instruction_id
from rba.data.utterance import Utterance

_ASKED = ("name a red fruit", "say hello", "count to three", "what is the sky", "sing a song", "who are you")
_ANSWERED = ("an apple", "hello there", "one two three", "it is blue", "la la la", "a model")


@cache
def tiny_wave(seed: int, seconds: float = 0.5) -> np.ndarray:
    """A seeded chord [samples] at 16 kHz that changes four times."""
    rng = seeds.rng("tiny wave", seed)
    time = np.arange(int(seconds * audio.SAMPLE_RATE)) / audio.SAMPLE_RATE
    parts = [sum(np.sin(2 * np.pi * f * t) for f in rng.uniform(100, 4000, 3)) for t in np.array_split(time, 4)]
    return (0.2 * np.concatenate(parts)).astype(np.float32)


def tiny_utterances(instructions: int = 4, voices: int = 3, split: str = "train") -> list[Utterance]:
    """Every instruction in every voice, with a short answer; up to six instructions per split."""
    rows = []
    for i in range(instructions):
        text, answer = f"{_ASKED[i]} in {split}", _ANSWERED[i]
        name = instruction_id(text)
        for voice in range(voices):
            seed = seeds.derive(name, voice) % 2**31
            clip = audio.encode(tiny_wave(seed))
            facts = {"topic": "Others", "difficulty": "easy", "split": split, "engine": "chord", "speaker": f"v{voice}"}
            row = Utterance(
                id=f"{name}-{voice}",
                instruction_id=name,
                voice=voice,
                text=text,
                response=answer,
                **facts,
                seed=seed,
                acoustics="{}",
                duration=0.5,
                wer=None,
                audio=clip,
            )
            rows.append(row)
    return rows
