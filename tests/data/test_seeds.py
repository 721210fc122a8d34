"""Seeds depend on names alone."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

import rba
from rba.data import seeds


@settings(deadline=None, max_examples=30)
@given(st.lists(st.one_of(st.integers(), st.text()), max_size=4))
def test_a_seed_is_stable_and_fits_63_bits(parts):
    assert seeds.derive(*parts) == seeds.derive(*parts)
    assert 0 <= seeds.derive(*parts) < 2**63


def test_a_seed_is_the_same_in_another_process():
    """Unlike hash(), which is salted per process."""
    code = "from rba.data import seeds; print(seeds.derive(7, 'speaker', 'abc'))"
    path = {"PYTHONPATH": str(Path(rba.__file__).parents[1])}
    out = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, check=True, env=path)
    assert int(out.stdout) == seeds.derive(7, "speaker", "abc")


def test_parts_are_kept_apart():
    assert len({seeds.derive("a", "bc"), seeds.derive("ab", "c"), seeds.derive("abc")}) == 3


def test_generators_of_the_same_name_draw_the_same():
    assert seeds.rng(1, "x").random(3).tolist() == seeds.rng(1, "x").random(3).tolist()
    assert seeds.rng(1, "x").random() != seeds.rng(2, "x").random()
