from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from rba.errors import AudioError, RecipeError
from rba.speech.engine import load_engine
from rba.speech.morph import BINS, Frames, equaliser, morph, repitch, retime, revoice
from rba.speech.speaker import Speaker

PLAIN = Speaker("plain")


def frames(count: int = 60, f0: float = 200.0, voiced: int = 40) -> Frames:
    rng = np.random.default_rng(0)
    parts = [rng.normal(size=(BINS, count)).astype(np.float32) for _ in range(5)]
    return Frames(*parts, np.where(np.arange(count) < voiced, f0, 0).astype(np.float32))


def test_the_same_seed_says_the_same_bits(engine, speaker):
    first, again = (engine.say("What is the time?", speaker, 3) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    assert first.dtype == np.float32 and 0.5 < first.size / 16_000 < 3 and np.abs(first).max() <= 0.901
    assert not np.array_equal(first, engine.say("What is the time?", speaker, 4))


@pytest.mark.parametrize(
    "text", ["", "  ", "...", "你好", "Say 你好 to them", "Привет", "1" * 40, "word " * 400, "\x00", "🙂"]
)
def test_what_cannot_be_said_is_an_audio_error(engine, speaker, text):
    with pytest.raises(AudioError):
        engine.say(text, speaker, 0)


def test_latin_letters_with_accents_can_be_said(engine, speaker):
    assert engine.say("A naïve café in Zürich, 24 °C?", speaker, 0).size > 16_000


def test_a_deep_voice_is_deeper(engine):
    def pitch(speaker):
        wave = engine.say("Oh no, no.", speaker, 0)
        spectrum = np.abs(np.fft.rfft(wave)) ** 2
        hz = np.fft.rfftfreq(wave.size, 1 / 16_000)
        return hz[(hz > 60)][np.argmax(spectrum[hz > 60])]

    assert pitch(dataclasses.replace(PLAIN, f0=0.55)) < pitch(PLAIN)


def test_speed_shortens(engine):
    slow, fast = (engine.say("Where is the train?", dataclasses.replace(PLAIN, speed=s), 0).size for s in (0.8, 1.3))
    assert fast < 0.8 * slow


def test_pitch_is_moved_by_the_ratio_and_unvoiced_frames_stay():
    moved = repitch(frames().f0, dataclasses.replace(PLAIN, f0=0.5), np.random.default_rng(0))
    np.testing.assert_allclose(moved[:40], 100, rtol=1e-3)
    assert (moved[40:] == 0).all()


def test_local_tempo_keeps_the_length_and_the_order():
    source = frames(count=200)._replace(f0=np.arange(200, dtype=np.float32))
    out = retime(source, 0.2, np.random.default_rng(0))
    assert out.f0.shape == (200,) and out.harmonic.shape == (BINS, 200)
    assert (np.diff(out.f0) >= 0).all() and len(set(out.f0)) < 200


def test_new_harmonics_take_the_envelope_of_the_old_ones():
    flat = frames(count=4, f0=200, voiced=4)  # harmonics every 10 bins: -1 there, arbitrary values between
    flat.harmonic[np.arange(10, BINS, 10)] = -1
    out = revoice(flat, flat.f0 * 0.6, tract=1.0)
    np.testing.assert_allclose(out.harmonic, -1, atol=1e-6)


def test_the_equaliser_is_flat_without_tilt_and_peaks():
    assert not equaliser(PLAIN).any()
    peaked = equaliser(dataclasses.replace(PLAIN, peaks=((2000.0, 6.0, 0.5),)))
    assert np.argmax(peaked) == 100 and peaked.max() == pytest.approx(6 * np.log(10) / 20, rel=1e-5)


def test_a_plain_speaker_leaves_noise_and_residual_alone():
    source = frames()
    out = morph(source, PLAIN, np.random.default_rng(0))
    np.testing.assert_array_equal(out.noise, source.noise)
    np.testing.assert_array_equal(out.residual, source.residual)


def test_unknown_engines_are_refused():
    with pytest.raises(RecipeError, match="hibari"):
        load_engine("festival")
