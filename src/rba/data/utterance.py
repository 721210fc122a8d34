"""An utterance: one instruction spoken by one voice."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Utterance:
    """One spoken version of an instruction.

    `text`, `engine`, `speaker`, `seed` and `acoustics` (JSON) are enough to render the same bytes again. `audio` holds
    FLAC bytes, 16 kHz mono, 16 bit; `duration` is in seconds; `wer` is the intelligibility gate's word error rate in
    [0, inf), or None where the gate was off.
    """

    id: str
    instruction_id: str
    voice: int
    text: str
    response: str
    topic: str
    difficulty: str
    split: str
    engine: str
    speaker: str
    seed: int
    acoustics: str
    duration: float
    wer: float | None
    audio: bytes
