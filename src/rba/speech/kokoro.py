"""The kokoro engine: Kokoro-82M, a network of near-human quality with 28 English voices; about 60 times hibari's work.

Its phonemes are those that hibari's dictionaries give. The voices lie in the package as float16 (the first 128 rows of
each, Apache-2.0, github.com/hexgrad/kokoro); the network comes from the registry of weights.
"""

from __future__ import annotations

import functools
import json
from pathlib import Path

import numpy as np

from rba.data.seeds import derive
from rba.errors import AudioError
from rba.speech import accents
from rba.speech.casting import cast, finish, is_low, size
from rba.speech.hibari import check_text
from rba.speech.speaker import Speaker
from rba.speech.speaker import speaker as bank_speaker

MODEL = "kokoro-82m"
SAMPLE_RATE = 24_000
MAX_TOKENS = 508
_VOICES = Path(__file__).with_name("kokoro_voices.safetensors")
_BRITISH = frozenset({"gb", "nonrhotic", "london"})


@functools.cache
def voices() -> dict[str, np.ndarray]:
    """The styles [128, 256] of the English voices by name, such as "af_heart": a or b for American or British, f or m.

    The style of an utterance of n tokens is row n - 1, the last row beyond 128.
    """
    from safetensors.numpy import load_file

    return {name: style.astype(np.float32) for name, style in load_file(_VOICES).items()}


def voice_of(speaker: Speaker) -> str:
    """The voice that plays a speaker: of the same kind and side of the Atlantic, drawn by the speaker's id."""
    # another accent is spoken by the same voice
    accent = speaker.accent if speaker.id == speaker.base else bank_speaker(speaker.base).accent
    kind = ("b" if accent in _BRITISH else "a") + ("m" if is_low(speaker) else "f")
    return cast(speaker, [name for name in sorted(voices()) if name.startswith(kind)])


@functools.cache
def _dictionary(british: bool):
    from hibari.g2p import G2P

    return G2P(british=british)


class KokoroEngine:
    """Speak English with Kokoro-82M in int8. Nothing in it is drawn by chance: the seed changes nothing."""

    name = "kokoro"
    clones = False

    def __init__(self, threads: int = 1):
        import onnxruntime

        folder = self.prepare()
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads, options.log_severity_level = threads, 1, 3
        model = str(folder / "model.onnx")
        self._network = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        self._ids: dict[str, int] = json.loads((folder / "vocab.json").read_text(encoding="utf-8"))["vocab"]

    @staticmethod
    def prepare() -> Path:
        """The folder of the network, fetched first if the cache lacks it. Raises ModelError where it cannot be had."""
        from rba.weights.resolve import resolve

        return Path(resolve(MODEL))

    def phonemes(self, text: str, speaker: Speaker) -> list[str]:
        """The sentences of `text` as this speaker pronounces them. Raises AudioError for text that cannot be spoken."""
        from hibari import Hibari

        british = speaker.accent in _BRITISH
        kept = speaker.accent in accents.BRITISH  # British voices know British sounds: none is replaced
        rules = () if kept else accents.active_rules(speaker.accent, speaker.accent_strength, derive(speaker.base))
        fix = "leave the text out or rewrite it in plain English"
        try:
            spoken = [_dictionary(british)(s) for s in Hibari.split_sentences(check_text(text))]
        except AudioError:
            raise
        except Exception as error:  # whatever its rules trip over, the text is at fault
            raise AudioError("text cannot be turned into phonemes", text[:40], fix) from error
        sentences = [accents.rewrite(sentence, rules) for sentence in spoken if any(c.isalpha() for c in sentence)]
        if not sentences:
            raise AudioError("text has nothing to say", text[:40], fix)
        return sentences

    def say(self, text: str, speaker: Speaker, seed: int) -> np.ndarray:
        """Speak `text`: float32 [samples] at 16 kHz, peak at most 0.9. Raises AudioError for text it cannot say."""
        style, ratio = voices()[voice_of(speaker)], size(speaker)
        waves = [self._sentence(s, style, speaker.speed / ratio) for s in self.phonemes(text, speaker)]
        return finish(np.concatenate(waves), SAMPLE_RATE, speaker, ratio)

    def _sentence(self, phonemes: str, style: np.ndarray, speed: float) -> np.ndarray:
        """One sentence at 24 kHz."""
        ids = [self._ids[symbol] for symbol in phonemes if symbol in self._ids]
        if len(ids) > MAX_TOKENS:
            raise AudioError("a sentence is too long to say", f"{len(ids)} sounds", "shorten the text")
        feed = {
            "tokens": np.array([[0, *ids, 0]], np.int64),
            "style": style[min(max(len(ids), 1), len(style)) - 1][None],
            "speed": np.array([speed], np.float32),
        }
        return self._network.run(None, feed)[0].ravel()
