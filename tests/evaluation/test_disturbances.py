"""Subsets of the test by what disturbs the voice."""

from dataclasses import replace

import numpy as np
import pytest

from rba.evaluation.disturbances import conditions_of, masks
from rba.speech.acoustics import Acoustics
from rba.testing.tiny_utterances import tiny_utterances

TEST = tiny_utterances(1, 1, "test")


@pytest.mark.parametrize(
    ("acoustics", "conditions"),
    [
        (Acoustics(), {"all", "clean"}),
        (Acoustics(tempo=1.05, eq=(1.0, 2.0)), {"all", "clean"}),
        (Acoustics(room=3, wet=0.5, noise="hum"), {"all", "room", "noise"}),
        (Acoustics(band=(200.0, 3400.0), codec="gsm"), {"all", "telephone"}),
        (Acoustics(codec="mp3"), {"all", "codec"}),
    ],
)
def test_conditions_say_what_disturbs_the_voice(acoustics, conditions):
    assert conditions_of(acoustics.to_json()) == conditions
    assert conditions_of("") == {"all", "clean"}


def test_a_condition_needs_enough_instructions_and_must_leave_some_out():
    noisy = Acoustics(noise="hum").to_json()
    rows = [replace(TEST[0], id=str(i), instruction_id=str(i), acoustics=noisy if i < 9 else "{}") for i in range(12)]
    found = masks(rows)
    assert list(found) == ["all", "noise"]
    assert found["noise"].sum() == 9
    assert list(masks(rows[:9])) == ["all"]
    assert np.all(found["all"])
