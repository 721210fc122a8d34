from __future__ import annotations

import numpy as np
import pytest

from rba.speech.gate import Gate
from rba.speech.whisper import Transcriber
from rba.speech.word_errors import wer


class HalfDeaf:
    """Hears the words only in the wave of one attempt."""

    def __init__(self, hears: int):
        self.hears = hears

    def transcribe(self, waves, batch_size=8):
        return ["one fruit" if wave[0] == self.hears else "one flute" for wave in waves]


def attempt_wave(attempt: int) -> np.ndarray:
    return np.full(10, attempt, np.float32)


def test_the_first_intelligible_attempt_passes():
    attempt, wave, error = Gate(HalfDeaf(hears=2), limit=0.1, retries=3).admit("One fruit!", attempt_wave)
    assert (attempt, wave[0], error) == (2, 2, 0)


def test_nothing_passes_when_the_retries_are_used_up():
    assert Gate(HalfDeaf(hears=4), limit=0.1, retries=3).admit("One fruit!", attempt_wave) is None


def test_a_mild_error_passes_a_mild_gate():
    assert Gate(HalfDeaf(hears=9), limit=0.5, retries=0).admit("One fruit!", attempt_wave)[2] == 0.5


@pytest.mark.parametrize(
    ("reference", "heard", "expected"),
    [
        ("What is two plus two?", "what is 2 plus 2", 0),
        ("It's half past nine.", "it is half past nine", 0),
        ("Wake me at 9:30.", "Wake me at 930.", 0),
        ("twenty-five dollars", "$25", 0),
        ("name a fruit", "name a flute", 1 / 3),
        ("...", "", 0),
        ("...", "thank you", 1),
        ("yes", "no no no", 3),
        ("Name a fruit (not a vegetable).", "Name a fruit, not a vegetable.", 0),
        ("[Briefly] name <one> fruit(s)", "briefly name one fruit s", 0),
        ("Name a fruit (not a flute).", "Name a fruit.", 1 / 2),
    ],
)
def test_word_errors_do_not_count_spelling(reference, heard, expected):
    assert wer(reference, heard) == pytest.approx(expected)


@pytest.mark.weights
def test_whisper_understands_the_stock_voice(engine):
    from rba.speech.speaker import Speaker

    text = "What is the capital of Australia?"
    assert wer(text, Transcriber().transcribe([engine.say(text, Speaker("plain"), 0)])[0]) == 0
