"""The piper engine: any voice of Piper, a file VOICE.onnx with VOICE.onnx.json beside it ("piper:path/VOICE.onnx")."""

from __future__ import annotations

import importlib.util

import numpy as np

from rba.errors import AudioError, ModelError
from rba.files import local
from rba.speech.casting import cast, finish, size
from rba.speech.hibari import check_text
from rba.speech.speaker import Speaker


class PiperEngine:
    """Speak with a Piper voice. Its noise is off, for it is drawn by a hidden state: the seed changes nothing.

    Where the voice has several speakers, one is cast for each speaker of the bank.
    """

    clones = False

    def __init__(self, model: str, threads: int = 1):
        self.prepare(model)
        import onnxruntime
        import piper

        self.name = f"piper:{model}"
        self._piper, self._voice = piper, piper.PiperVoice.load(local(model))
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads, options.log_severity_level = threads, 1, 3
        path = str(local(model))
        self._voice.session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])

    @staticmethod
    def prepare(model: str) -> None:
        """Raise ModelError where the package or the voice's files are missing."""
        if importlib.util.find_spec("piper") is None:
            raise ModelError("Piper is not installed", f"piper:{model}", "pip install 'rba[piper]'")
        path = local(model)
        for file in (path, path.with_name(f"{path.name}.json")):
            if not file.is_file():
                raise ModelError(
                    "a Piper voice lacks a file", str(file), "give VOICE.onnx, with VOICE.onnx.json beside it"
                )

    def say(self, text: str, speaker: Speaker, seed: int) -> np.ndarray:
        """Speak `text`: float32 [samples] at 16 kHz, peak at most 0.9. Raises AudioError for text it cannot say."""
        config, ratio = self._voice.config, size(speaker)
        number = int(cast(speaker, [str(i) for i in range(config.num_speakers)])) if config.num_speakers > 1 else None
        length = config.length_scale * ratio / speaker.speed
        chosen = self._piper.SynthesisConfig(number, length_scale=length, noise_scale=0.0, noise_w_scale=0.0)
        waves = [chunk.audio_float_array for chunk in self._voice.synthesize(check_text(text), chosen)]
        if not waves:
            raise AudioError("text has nothing to say", text[:40], "leave the text out")
        return finish(np.concatenate(waves), config.sample_rate, speaker, ratio)
