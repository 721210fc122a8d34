"""Several processes give what one process gives, and so does the only one of a launcher."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from safetensors.torch import load_file

from . import together
from .launched import assert_same, one_thread, weights
from .together import CASES, RESUMED

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(("case", "count"), [*((case, 2) for case in CASES), (RESUMED, 1)])
def test_the_weights_are_those_of_one_process(places: dict[int, Path], case: str, count: int):
    assert_same(weights(places[count] / "whole", case), weights(places[0] / "whole", case))


@pytest.mark.parametrize("case", CASES)
def test_so_is_the_log(places: dict[int, Path], case: str):
    found, wanted = (json.loads((places[count] / "whole" / case / "records.json").read_text()) for count in (2, 0))
    # the clock, and what is taken over a micro-batch
    other = {"seconds", "tokens_per_second", "matmul_utilisation", "value/mean", "value/explained_variance"}
    assert len(found) == len(wanted) == 1 + together.SETTINGS.steps
    for ours, theirs in zip(found, wanted):
        assert ours.keys() == theirs.keys()
        for key in ours.keys() - other:
            assert ours[key] == pytest.approx(theirs[key], rel=1e-3, abs=1e-4), key


def test_a_run_goes_on_with_another_number_of_processes(places: dict[int, Path]):
    wanted = weights(places[0] / "whole", RESUMED)
    assert_same(weights(places[2] / "alone-first", RESUMED), wanted)
    with one_thread():
        records = together.train(places[2] / "together-first", RESUMED)
    assert records[0]["step"] == together.HALF + 1
    assert_same(weights(places[2] / "together-first", RESUMED), wanted)


def test_the_policy_is_one_forward_for_wrappers(places: dict[int, Path]):
    found = load_file(places[2] / "ddp.safetensors")
    alone = [together.gradients(together.scored(rank)) for rank in range(2)]
    assert_same(found, {name: sum(g[name] for g in alone) / 2 for name in alone[0]})
    assert max(float(g.abs().max()) for g in found.values()) > 1e-2
