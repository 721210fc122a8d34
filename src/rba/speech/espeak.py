"""The espeak-ng engine: the formant synthesiser of that name, where it is installed; nothing like a neural voice."""

from __future__ import annotations

import shutil
import subprocess

import numpy as np

from rba.data import audio
from rba.errors import AudioError, RecipeError
from rba.speech.hibari import check_text
from rba.speech.speaker import Speaker

WORDS_A_MINUTE = 165
TIMEOUT = 60


class EspeakEngine:
    """Speak English with the program `espeak-ng`. Of a speaker it follows pitch, speed and a British accent.

    Raises RecipeError where the program is not installed.
    """

    name = "espeak-ng"

    def __init__(self, threads: int = 1):
        found = shutil.which("espeak-ng")
        if found is None:
            fix = "install it (apt install espeak-ng, brew install espeak-ng) or name another engine"
            raise RecipeError("the program espeak-ng is not installed", "engine espeak-ng", fix)
        self._program = found

    def say(self, text: str, speaker: Speaker, seed: int) -> np.ndarray:
        """Speak `text`: float32 [samples] at 16 kHz; the seed changes nothing.

        espeak-ng's pitch runs from 0 to 99 with 50 as its own voice. Raises AudioError for text it cannot say.
        """
        voice = "en-gb" if speaker.accent == "gb" else "en-us"
        pitch = int(np.clip(50 * speaker.f0, 0, 99))
        speed = int(np.clip(WORDS_A_MINUTE * speaker.speed, 80, 450))
        options = ["-v", voice, "-p", str(pitch), "-s", str(speed)]
        try:
            command = [self._program, "--stdout", "--stdin", *options]
            done = subprocess.run(command, input=check_text(text).encode(), capture_output=True, timeout=TIMEOUT)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise AudioError("espeak-ng did not speak", text[:40], "leave the text out") from error
        if done.returncode or not done.stdout:
            reason = done.stderr.decode(errors="replace").strip()[:80]
            raise AudioError(f"espeak-ng did not speak: {reason}", text[:40], "leave the text out")
        return audio.decode(done.stdout, text[:40])
