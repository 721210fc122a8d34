"""Processes that divide the LLM's weights give what one process gives, and each holds its share."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from safetensors.torch import load_file

from rba.alignment.stage import align, run
from rba.errors import RecipeError
from rba.testing.tiny_speechlm import tiny_speechlm
from rba.workspace import StageFolder

from . import together
from .conftest import SMALL
from .launched import assert_same, one_thread, weights
from .together import CASES, FULL, RESUMED, SHARDED


@pytest.mark.slow
@pytest.mark.parametrize("case", SHARDED)
def test_the_weights_are_those_of_one_process(places: dict[int, Path], case: str):
    assert_same(weights(places[2] / "sharded", case), weights(places[0] / "whole", case))


@pytest.mark.slow
@pytest.mark.parametrize("case", SHARDED)
def test_so_is_every_update(places: dict[int, Path], case: str):
    folders = (places[2] / "sharded", places[0] / "whole")
    found, wanted = (json.loads((folder / case / "records.json").read_text()) for folder in folders)
    assert len(found) == len(wanted) == 1 + together.SETTINGS.steps
    for ours, theirs in zip(found, wanted):
        assert ours.keys() == theirs.keys()
        for key in ours.keys() & {"loss", "grad_norm", "kl", "reward", "validation/logp", "lr"}:
            assert ours[key] == pytest.approx(theirs[key], rel=1e-3, abs=1e-4), key


@pytest.mark.slow
def test_there_is_something_to_clip_and_to_learn(places: dict[int, Path]):
    records = json.loads((places[2] / "sharded" / "sft" / "records.json").read_text())
    assert all(record["grad_norm"] > together.SETTINGS.clip for record in records[1:])
    assert all(float(w.abs().max()) > 0 for w in weights(places[2] / "sharded", "sft").values())  # B began as zeros


@pytest.mark.slow
@pytest.mark.parametrize("case", ["sft", "rba-single", FULL])
def test_the_saved_model_has_the_same_form(places: dict[int, Path], case: str):
    method, _ = CASES[case]
    ours, theirs = (p / case / "align" / method / "model" for p in (places[2] / "sharded", places[0] / "whole"))
    names = sorted(str(path.relative_to(theirs)) for path in theirs.rglob("*") if path.is_file())
    assert names == sorted(str(path.relative_to(ours)) for path in ours.rglob("*") if path.is_file())
    for name in names:
        if name.endswith(".safetensors"):
            assert_same(load_file(ours / name), load_file(theirs / name), 1e-3)  # the connector is float16
        elif name != "README.md":
            assert (ours / name).read_text() == (theirs / name).read_text(), name


RESUMPTIONS = pytest.mark.parametrize(("case", "kind"), [(RESUMED, "sharded"), (FULL, "parts")])
"""With a whole checkpoint, and full fine-tuning with one in parts."""


@pytest.mark.slow
@RESUMPTIONS
def test_a_run_goes_on_divided_or_whole(places: dict[int, Path], case: str, kind: str):
    wanted = weights(places[0] / "whole", case)
    assert_same(weights(places[2] / f"alone-then-{kind}", case), wanted)
    with one_thread():
        records = together.train(places[2] / f"{kind}-then-alone", case)
    assert records[0]["step"] == together.HALF + 1
    assert_same(weights(places[2] / f"{kind}-then-alone", case), wanted)


@pytest.mark.slow
@RESUMPTIONS
def test_a_divided_run_goes_on_to_the_same_bits(places: dict[int, Path], case: str, kind: str):
    found, wanted = (weights(places[2] / place, case) for place in (f"{kind}-twice", "sharded"))
    assert_same(found, wanted, 0.0)


@pytest.mark.slow
def test_a_process_holds_half_at_rest_and_two_blocks_in_a_step(places: dict[int, Path]):
    ours, theirs = json.loads((places[2] / "divided.json").read_text())
    for seen in (ours, theirs):
        assert 0.5 <= seen["at_rest"] / seen["whole"] < 0.56  # embeddings and norms are whole
        assert seen["after"] == seen["at_rest"]
        assert seen["most"] == 2  # of four: the one that works, and the next that is on its way
    # 4 passes, forwards and back, of the process with more of them
    assert ours["gathers"] == theirs["gathers"] == 2 * 4 * 4


def test_one_process_has_nobody_to_divide_with(tmp_path: Path):
    settings, folder = replace(SMALL, sharding="fsdp"), StageFolder(tmp_path / "align" / "sft")
    with pytest.raises(RecipeError, match=r"no other to divide the weights with .*torchrun"):
        align(
            tiny_speechlm(), settings, method="sft", folder=folder, seed=1, utterances=[], reward=lambda: lambda *_: []
        )
    with pytest.raises(RecipeError, match=r"no other to divide the weights with .*torchrun"):
        run(settings, method="sft", folder=folder, seed=1, model="none", utterances=[], teacher="", log=print)
