"""Which number format a machine computes in."""

import pytest
import torch

from rba.lm import number_format
from rba.lm.number_format import multiplies_bfloat16
from rba.lm.number_format import number_format as resolve

CPU = torch.device("cpu")


def machine(monkeypatch, **able):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"architecture": "x86_64", **able})


@pytest.mark.parametrize("able", [{"avx512_bf16": True}, {"amx_bf16": True}])
def test_half_precision_where_the_processor_multiplies_it(monkeypatch, able):
    machine(monkeypatch, **able)
    assert resolve("auto", CPU) == torch.bfloat16


def test_single_precision_where_it_would_be_emulated(monkeypatch):
    machine(monkeypatch, avx2=True, avx512_f=True)
    assert not multiplies_bfloat16(CPU)
    assert resolve("auto", CPU) == torch.float32


@pytest.mark.parametrize("name", ["bfloat16", "float16", "float32"])
def test_a_named_format_is_what_it_says(monkeypatch, name):
    monkeypatch.setattr(number_format, "multiplies_bfloat16", lambda device: pytest.fail("asked the machine"))
    assert resolve(name, CPU) == getattr(torch, name)
