from __future__ import annotations

import numpy as np
import pytest

from rba.errors import DataError, RecipeError
from rba.speech.speaker import SpeakerBank, make_speaker, speaker, split


def test_a_speaker_is_a_function_of_seed_and_number():
    assert make_speaker(0, 42) == make_speaker(0, 42) == SpeakerBank(50)[42] == SpeakerBank(1200)[42]
    assert make_speaker(0, 42) != make_speaker(1, 42)
    assert make_speaker(0, 42).id == "hibari-0042"


@pytest.mark.parametrize("seed", [0, 7])
def test_a_speaker_is_found_again_by_its_id(seed):
    assert speaker(make_speaker(seed, 3).id) == make_speaker(seed, 3)


@pytest.mark.parametrize("name", ["", "hibari", "kokoro-0001", "hibari-x", "hibari.y-0001", "hibari--1"])
def test_an_unknown_id_is_refused(name):
    with pytest.raises(DataError, match="no such speaker"):
        speaker(name)


def test_the_bank_holds_a_thousand_different_voices():
    bank = SpeakerBank()
    voices = {(s.f0, s.tract, s.peaks) for s in map(bank.__getitem__, range(len(bank)))}
    assert len(voices) == len(bank) >= 1000


def test_voices_are_varied_but_human():
    voices = [make_speaker(0, i) for i in range(400)]
    pitch = np.array([s.f0 for s in voices])
    assert pitch.min() >= 0.42 and pitch.max() <= 1.6
    assert 0.3 < np.mean(pitch < 0.75) < 0.6, "about half of the voices are low"
    assert np.corrcoef(np.log(pitch), np.log([s.tract for s in voices]))[0, 1] > 0.5, "deep voices have long tracts"
    assert len({s.accent for s in voices}) > 8


def test_no_speaker_is_in_two_splits():
    splits = {name: {s.id for s in voices} for name, voices in split(SpeakerBank()).items()}
    assert splits["train"].isdisjoint(splits["test"] | splits["validation"])
    assert splits["test"].isdisjoint(splits["validation"])
    assert sum(map(len, splits.values())) == 1200
    assert 0.12 < len(splits["test"]) / 1200 < 0.18 and 0.03 < len(splits["validation"]) / 1200 < 0.07


def test_a_larger_bank_moves_no_speaker_to_another_split():
    small, large = SpeakerBank(300), SpeakerBank(1200)
    assert set(small.indices("test")) == {i for i in large.indices("test") if i < 300}


def test_drawn_voices_are_different_and_follow_the_seed():
    bank = SpeakerBank()
    first = bank.draw("test", 20, 0, "item")
    assert len({s.id for s in first}) == 20
    assert first == bank.draw("test", 20, 0, "item") != bank.draw("test", 20, 1, "item")
    assert {s.id for s in first} <= {s.id for s in bank.speakers("test")}


def test_too_few_speakers_are_a_recipe_error():
    with pytest.raises(RecipeError, match=r"speech\.speakers"):
        SpeakerBank(10).draw("validation", 4)
    with pytest.raises(RecipeError, match="unknown split"):
        SpeakerBank(10).speakers("dev")
