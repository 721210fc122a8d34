"""The hibari engine: a 14 MB English text-to-speech package, morphed into as many speakers as are asked for."""

from __future__ import annotations

import functools
import unicodedata

import numpy as np
import soxr

from rba.data.audio import SAMPLE_RATE
from rba.data.seeds import derive
from rba.errors import AudioError
from rba.speech import accents
from rba.speech.morph import Frames, morph
from rba.speech.speaker import Speaker

PEAK = 0.9
MAX_CHARACTERS = 1000
_FIX = "leave the text out or rewrite it in plain English"


def check_text(text: str) -> str:
    """Return `text` if it is plain enough to be spoken; raise AudioError for empty, overlong or non-Latin text."""
    if not any(character.isalnum() for character in text):
        raise AudioError("text has nothing to say", _shown(text), _FIX)
    if len(text) > MAX_CHARACTERS:
        raise AudioError("text is too long to say", f"{len(text)} characters", _FIX)
    for character in text:
        if character.isalpha() and not unicodedata.name(character, "").startswith(("LATIN", "FEMININE", "MASCULINE")):
            raise AudioError("text holds a letter that cannot be spoken", f"{character} in {_shown(text)}", _FIX)
    return text


def _shown(text: str) -> str:
    return text if len(text) <= 40 else text[:37] + "..."


class HibariEngine:
    """Speak English with hibari-tts. One instance holds the network and two pronunciation dictionaries (250 MB)."""

    name = "hibari"
    clones = False

    def __init__(self, threads: int = 1):
        from hibari import Hibari

        self._network = Hibari(threads=threads)
        self._phonemize = functools.lru_cache(maxsize=64)(self._phonemize_now)

    @functools.cached_property
    def _british(self):
        from hibari.g2p import G2P

        return G2P(british=True)

    def phonemes(self, text: str, speaker: Speaker) -> list[str]:
        """The sentences of `text` as this speaker pronounces them. Raises AudioError for text that cannot be spoken."""
        british = speaker.accent in accents.BRITISH
        rules = accents.active_rules(speaker.accent, speaker.accent_strength, derive(speaker.id))
        return [accents.rewrite(sentence, rules) for sentence in self._phonemize(check_text(text), british)]

    def _phonemize_now(self, text: str, british: bool) -> tuple[str, ...]:
        from hibari import Hibari

        try:
            if british:
                sentences = [self._british(sentence) for sentence in Hibari.split_sentences(text)]
            else:
                sentences = self._network.phonemize(text)
        except Exception as error:  # whatever its rules trip over (a 40-digit number: IndexError), the text is at fault
            raise AudioError("text cannot be turned into phonemes", _shown(text), _FIX) from error
        spoken = tuple(s for s in sentences if any(c.isalpha() for c in s))
        if not spoken:
            raise AudioError("text has nothing to say", _shown(text), _FIX)
        return spoken

    def say(self, text: str, speaker: Speaker, seed: int) -> np.ndarray:
        """Speak `text`: float32 [samples] at 16 kHz, peak at most 0.9. Raises AudioError for text it cannot say."""
        rng = np.random.default_rng(seed)
        wave = np.concatenate([self._sentence(s, speaker, rng) for s in self.phonemes(text, speaker)])
        wave = soxr.resample(wave, self._network.sample_rate, SAMPLE_RATE)
        peak = float(np.abs(wave).max(initial=0.0))
        if not np.isfinite(peak) or peak < 1e-4:
            raise AudioError("speech came out silent", _shown(text), _FIX)
        return np.asarray(wave * min(1.0, PEAK / peak), np.float32)

    def _sentence(self, phonemes: str, speaker: Speaker, rng: np.random.Generator) -> np.ndarray:
        """One sentence at 24 kHz."""
        from hibari import dsp

        network = self._network
        feed = {"ids": np.array([network.ids(phonemes)], np.int64), "speed": np.array([speaker.speed], np.float32)}
        frames = Frames(*(output[0] for output in network.sess.run(None, feed)))
        parts = (np.ascontiguousarray(part, np.float32) for part in morph(frames, speaker, rng))
        return dsp.synth(*parts, rng)
