from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rba.errors import DataError, RecipeError
from rba.speech import acoustics, codecs, noise, rooms
from rba.speech.acoustics import PROFILES, Acoustics


@pytest.fixture(scope="module")
def voice(engine, speaker):
    return engine.say("What is the capital of Peru?", speaker, 0)


def decibels(ratio: float) -> float:
    return 10 * np.log10(ratio)


@given(st.sampled_from(sorted(PROFILES)), st.integers(0, 2**32))
def test_acoustics_survive_json(profile, seed):
    drawn = acoustics.sample(profile, np.random.default_rng(seed))
    assert Acoustics.from_json(drawn.to_json()) == drawn
    assert drawn == acoustics.sample(profile, np.random.default_rng(seed))


@pytest.mark.parametrize("text", ["", "[1]", '{"nois": 1}', "null", '"x"'])
def test_other_json_is_refused(text):
    with pytest.raises(DataError):
        Acoustics.from_json(text)


def test_unknown_profiles_are_refused():
    with pytest.raises(RecipeError, match="clean, moderate, hard"):
        acoustics.sample("wild", np.random.default_rng(0))


def test_clean_is_clean_and_hard_is_harder_than_moderate():
    def tags(profile):
        return [acoustics.sample(profile, np.random.default_rng(i)).tags() for i in range(300)]

    assert tags("clean") == [["clean"]] * 300
    assert np.mean([len(t) for t in tags("moderate")]) < np.mean([len(t) for t in tags("hard")])


def test_applying_twice_gives_the_same_bits(voice):
    for seed in range(12):
        heard = acoustics.sample("hard", np.random.default_rng(seed))
        first, again = (acoustics.apply(voice, heard, talkers=[voice]) for _ in range(2))
        np.testing.assert_array_equal(first, again)
        assert first.dtype == np.float32 and np.isfinite(first).all() and np.abs(first).max() <= 1


@pytest.mark.parametrize("kind", noise.KINDS)
@pytest.mark.parametrize("snr_db", [3.0, 20.0])
def test_noise_comes_at_the_asked_ratio(voice, kind, snr_db):
    heard = Acoustics(noise=kind, snr_db=snr_db, noise_seed=5)
    clean, noisy = (
        acoustics.apply(voice, a, talkers=[voice[::-1]]) for a in (dataclasses.replace(heard, noise=""), heard)
    )
    gain = np.dot(noisy, clean) / np.dot(clean, clean)  # the level was set anew; babble is not quite orthogonal
    added = noise.make(kind, voice.size, 5, [voice[::-1]])
    share = np.dot(noisy - gain * clean, added) / np.dot(added, added)
    measured = decibels(noise.power(gain * clean) / noise.power(share * added))
    assert measured == pytest.approx(snr_db, abs=0.5)


def test_silence_around_the_voice_does_not_count_as_speech(voice):
    padded = np.pad(voice, 16_000)
    background = noise.make("coloured", padded.size, 1)
    noisy = noise.mix(padded, background, 10, noise.power(voice))
    assert decibels(noise.power(voice) / noise.power(noisy - padded)) == pytest.approx(10, abs=0.1)


def test_babble_needs_talkers(voice):
    with pytest.raises(ValueError, match="talkers"):
        acoustics.apply(voice, Acoustics(noise="babble"))


@pytest.mark.parametrize("name", sorted(codecs.CODECS))
@pytest.mark.parametrize("compression", [0.9, 1.0])
def test_codecs_keep_length_and_place(voice, name, compression):
    out = codecs.transmit(voice, name, compression)
    assert out.size == voice.size
    assert not np.array_equal(out, voice)
    correlation = np.correlate(out, voice[200:-200], "valid")
    assert abs(int(np.argmax(correlation)) - 200) <= 2
    assert correlation.max() > 0.75 * np.dot(voice, voice)


def test_the_telephone_band_takes_away_bass_and_treble(voice):
    spectrum = np.abs(np.fft.rfft(codecs.telephone_band(voice, 300, 3400))) ** 2
    hz = np.fft.rfftfreq(voice.size, 1 / 16_000)
    assert spectrum[(hz < 100) | (hz > 6000)].sum() < 1e-3 * spectrum.sum()


def test_tempo_level_lead_and_tail(voice):
    out = acoustics.apply(voice, Acoustics(tempo=1.05, level_db=-30, lead=0.25, tail=0.5))
    assert out.size == pytest.approx(voice.size / 1.05 + 12_000, abs=2)
    assert not out[:4000].any() and not out[-8000:].any()
    assert decibels(noise.power(out[4000:-8000])) == pytest.approx(-30, abs=0.1)


def test_clipping_flattens_the_peaks(voice):
    out = acoustics.apply(voice, Acoustics(clip=0.9))
    assert np.mean(np.abs(out) >= np.abs(out).max() * 0.999) > 0.09


def test_the_equaliser_lifts_what_it_is_told(voice):
    out = acoustics.equalise(voice, (0.0, 12.0))
    before, after = (np.abs(np.fft.rfft(w)) ** 2 for w in (voice, out))
    top = int(0.95 * before.size)
    assert decibels(after[top:].sum() / before[top:].sum()) == pytest.approx(11.7, abs=0.7)
    assert out.size == voice.size


def test_the_package_ships_its_rooms():
    bank = rooms.bank()
    assert len(bank) == rooms.COUNT >= 100
    for response in bank:
        assert np.isfinite(response).all() and response[rooms.BEFORE] == np.abs(response).max() == 1
    assert 0.05 < np.median([r.size / 16_000 for r in bank]) <= rooms.MAX_SECONDS


def test_a_room_smears_but_does_not_shift(voice):
    out = rooms.reverberate(voice, 3, wet=0.6)
    lag = int(np.argmax(np.correlate(out, voice[200:-200], "valid"))) - 200
    assert out.size == voice.size and abs(lag) <= 1
    assert not np.array_equal(out, rooms.reverberate(voice, 4, wet=0.6))
