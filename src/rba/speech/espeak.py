"""The espeak engine: eSpeak NG, a robot with nine English accents; speech that is harder to follow than any voice.

It is an optional package under the GPL, never imported here: each utterance is spoken by a process of its own, since
the library carries state from one utterance into the next.
"""

from __future__ import annotations

import functools
import importlib.util
import subprocess
import sys
from pathlib import Path

import numpy as np

from rba.data import seeds
from rba.errors import AudioError, ModelError
from rba.speech.casting import cast, finish, is_low
from rba.speech.hibari import check_text
from rba.speech.speaker import Speaker

_SCRIPT = Path(__file__).with_name("espeak_process.py")
_ACCENTS = {
    "us": "en-US",
    "careful": "en-US",
    "flat": "en-US-nyc",
    "gb": "en-GB-x-rp",
    "nonrhotic": "en",
    "london": "en",
}
_OTHERS = ("en-029", "en-GB-scotland", "en-GB-x-gbclan", "en-GB-x-gbcwmd", "en-US-nyc")
_LOW, _HIGH = tuple(f"m{i}" for i in range(1, 9)), tuple(f"f{i}" for i in range(1, 6))
_USUAL_PITCH = {True: 0.58, False: 1.0}
_WORDS_A_MINUTE = 165
_PATIENCE = 60  # seconds for one utterance


@functools.cache
def _package() -> Path:
    """The folder with the library and its data. Raises ModelError where the package is not installed."""
    spec = importlib.util.find_spec("espeakng_loader")
    if spec is None or spec.origin is None:
        raise ModelError("eSpeak NG is not installed", "speech.engine espeak", "pip install 'rba[espeak]'")
    return Path(spec.origin).parent


def settings_of(speaker: Speaker) -> tuple[str, int, int, int]:
    """Voice name, pitch and pitch range (0 to 99, 50 is the voice's own) and words a minute for a speaker.

    Accents that eSpeak lacks become one of its regional ones, drawn by the speaker's id.
    """
    low = is_low(speaker)
    accent = _ACCENTS.get(speaker.accent) or _OTHERS[seeds.derive("espeak accent", speaker.id) % len(_OTHERS)]
    pitch = 50 + 50 * np.log2(speaker.f0 / _USUAL_PITCH[low])
    numbers = np.rint(np.clip([pitch, 50 * speaker.f0_range], 0, 99)).astype(int)
    rate = int(np.clip(round(_WORDS_A_MINUTE * speaker.speed), 80, 450))
    return f"gmw/{accent}+{cast(speaker, _LOW if low else _HIGH)}", int(numbers[0]), int(numbers[1]), rate


class EspeakEngine:
    """Speak English with eSpeak NG. Nothing in it is drawn by chance: the seed changes nothing."""

    name = "espeak"
    clones = False

    def __init__(self, threads: int = 1):
        self.prepare()

    @staticmethod
    def prepare() -> None:
        """Raise ModelError where the package is not installed."""
        _package()

    def say(self, text: str, speaker: Speaker, seed: int) -> np.ndarray:
        """Speak `text`: float32 [samples] at 16 kHz, peak at most 0.9. Raises AudioError for text it cannot say."""
        voice, pitch, spread, rate = settings_of(speaker)
        command = [sys.executable, "-I", str(_SCRIPT), str(_package()), voice, str(pitch), str(spread), str(rate)]
        try:
            spoken = subprocess.run(command, input=check_text(text).encode(), capture_output=True, timeout=_PATIENCE)
        except subprocess.TimeoutExpired as error:
            raise AudioError("eSpeak NG did not finish", text[:40], "leave the text out") from error
        if spoken.returncode:
            reason = spoken.stderr.decode(errors="replace").strip().splitlines()[-1:] or ["no reason given"]
            raise ModelError(f"eSpeak NG failed: {reason[0]}", voice, "pip install --force-reinstall 'rba[espeak]'")
        samples = np.frombuffer(spoken.stdout, "<i2")
        return finish(samples[1:].astype(np.float32) / 32768, int(samples[0]) if samples.size else 1, speaker)
