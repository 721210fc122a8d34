"""The settings of the speech stage. Importing this loads nothing heavy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from rba.errors import RecipeError


@dataclass(frozen=True)
class SpeechSettings:
    """How instructions are spoken. `engine` is "hibari", "kokoro", "espeak", "piper:VOICE.onnx", "transformers:MODEL",
    or "package.module:Class" for one of your own.

    `voices` different speakers say each instruction, out of a bank of `speakers`; `acoustics` is clean, moderate or
    hard. With `gate` on, the speech recogniser `gate_asr` (Whisper, Moonshine or served) must hear the text with a
    word error rate of at most `gate_wer`; else the utterance is rendered anew, up to `gate_retries` times, and then
    left out. `workers` processes share the work (0 = one per core); it does not change the result. `shard_size` is
    instructions per shard. An engine that clones voices takes them from the folder `references`, one subfolder of
    recordings a person, instead of the bank.
    """

    engine: str = "hibari"
    voices: int = 4
    speakers: int = 1200
    acoustics: Literal["clean", "moderate", "hard"] = "moderate"
    gate: bool = False
    gate_wer: float = 0.05
    gate_retries: int = 10
    gate_asr: str = "whisper-tiny.en"
    workers: int = 0
    shard_size: int = 64
    references: str = ""

    def __post_init__(self) -> None:
        """Raise RecipeError for values that cannot work."""
        least_values = {"voices": 1, "speakers": 1, "gate_wer": 0, "gate_retries": 0, "workers": 0, "shard_size": 1}
        for key, least in least_values.items():
            if getattr(self, key) < least:
                raise RecipeError(f"must be at least {least}, not {getattr(self, key)}", f"speech.{key}")
