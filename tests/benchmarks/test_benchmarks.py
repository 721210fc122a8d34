"""The benchmarks run, on random models and the smallest sizes, and end with a ratio; what they count is right."""

from __future__ import annotations

import importlib
import math
import os
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch

from rba.lm.attention import short_attention
from rba.models.adapters import add_lora, lora_parameters
from rba.testing.tiny_lm import tiny_text_lm
from rba.testing.tiny_speechlm import tiny_speechlm

ROOT = Path(__file__).parents[2]
SMALLEST = {
    "rollout": "--groups 2 --tokens 4 --utterances 4 --rounds 1",
    "scoring": "--answers 2 --tokens 4 --seconds 0.5 --rounds 1 --train-connector --encoder",
    "step": "--instructions 1 --voices 2 --tokens 4 --rounds 1 --memory-answers 2",
}


@pytest.fixture
def timing(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """What the benchmarks time with."""
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    return importlib.import_module("timing")


@pytest.fixture
def decoder(timing: ModuleType) -> ModuleType:
    """What they count FLOPs with."""
    return importlib.import_module("decoder")


@pytest.mark.parametrize("name", SMALLEST)
def test_it_ends_with_a_finite_ratio(name: str):
    command = [sys.executable, str(ROOT / "benchmarks" / f"{name}.py"), "--tiny", *SMALLEST[name].split()]
    paths = os.pathsep.join([str(ROOT / "src"), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, "PYTHONPATH": paths})
    assert done.returncode == 0, done.stderr
    found = re.fullmatch(r"ratio: (\d+\.\d\d)", done.stdout.splitlines()[-1])
    assert found and math.isfinite(float(found[1])), done.stdout
    assert "floor" in done.stdout


def test_the_shape_of_a_decoder_is_its_weights(decoder: ModuleType):
    speechlm = tiny_speechlm()
    layers = speechlm.lm.model.get_decoder().layers
    linear = sum(m.weight.numel() for m in layers.modules() if isinstance(m, torch.nn.Linear))
    assert decoder.Decoder.of(speechlm.lm.model).weights == linear
    add_lora(speechlm, rank=3)
    assert decoder.Decoder.of(speechlm.lm.model).adapter == sum(p.numel() for p in lora_parameters(speechlm))


def test_a_decoders_flops_are_those_that_torch_counts(decoder: ModuleType):
    from torch.utils.flop_counter import FlopCounterMode

    lm = tiny_text_lm()
    with FlopCounterMode(display=False) as counter, short_attention(lm.device), torch.no_grad():
        lm.model(torch.tensor([[5]]))
    shape, work = decoder.Decoder.of(lm.model), decoder.shared_work([1], [[]])
    wanted = shape.forward(work) + shape.head(decoder.Work(1, 1, 1))
    assert counter.get_total_flops() == pytest.approx(wanted, rel=0.01)  # rotary angles are a product, too


def test_shared_work_passes_nothing_twice(decoder: ModuleType):
    shared, rows = decoder.shared_work([10, 12], [[3, 5], [4]], common=6), decoder.row_work([10, 12], [[3, 5], [4]])
    assert shared.tokens == 6 + 4 + 6 + 2 + 4 + 3
    assert rows.tokens == 12 + 14 + 15
    assert shared.positions == rows.positions == 12
    assert rows.pairs == sum(n * (n + 1) // 2 for n in (12, 14, 15))
    again = decoder.shared_work([10], [[3]], common=6)
    assert again == decoder.row_work([10], [[3]])


def test_ways_take_turns(timing: ModuleType):
    seen: list[str] = []
    times = timing.interleaved({name: lambda name=name: seen.append(name) for name in "ab"}, 2)
    assert "".join(sorted(seen[:2])) == "ab"
    assert seen[2:] == ["a", "b", "b", "a"]
    assert all(len(row) == 2 for row in times.values())
