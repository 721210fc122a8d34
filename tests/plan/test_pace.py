"""The probe's updates and answers run on a real SpeechLM, whatever the method."""

from __future__ import annotations

from dataclasses import replace

import pytest

from rba.alignment.objectives import available
from rba.plan import pace
from rba.testing.tiny_speechlm import tiny_speechlm

from .conftest import Planner


@pytest.mark.parametrize("method", available())
def test_an_update_of_every_method_takes_time(toy: Planner, method: str):
    basis = toy(f"align.methods=[{method}]", "align.answers=2").basis
    share = pace.trained(basis, tiny_speechlm(), replace(basis.local, flops=1e12, count=1), method)
    assert 0 < share < 1


@pytest.mark.parametrize(
    ("variants", "ways"), [("{}", {"draw", "read"}), ("{sharp: {method: rba-group}}", {"train", "draw", "read"})]
)
def test_a_recipe_of_variants_or_of_nothing_to_train_is_probed(
    toy: Planner, monkeypatch, variants: str, ways: set[str]
):
    basis = toy("align.methods=[]", f"align.variants={variants}").basis
    monkeypatch.setattr(pace, "_opened", lambda basis: tiny_speechlm())
    assert set(pace.reached(basis, replace(basis.local, flops=1e12, count=1))) == ways


def test_drawing_comes_less_near_the_floor_of_a_faster_machine(toy: Planner):
    basis = toy().basis
    decoder = basis.hearing.decoder
    assert decoder is not None
    slow, fast = (replace(basis.local, flops=rate, bandwidth=rate, count=1) for rate in (1e10, 1e12))
    speechlm = tiny_speechlm()
    assert pace.drawn(basis, speechlm, decoder, fast) < 0.5 * pace.drawn(basis, speechlm, decoder, slow)
