"""How far the policy has moved from its reference."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rba.alignment.drift import DriftProbe, k3
from rba.models.adapters import adapter_parameters, add_lora

from .conftest import SMALL, Bench

logps = st.lists(st.floats(-15, 0), min_size=1, max_size=8)


@given(logps)
def test_alike_is_no_drift(values: list[float]):
    logp = torch.tensor(values, dtype=torch.float64)
    assert k3(logp, logp).abs().max() == 0


@given(st.floats(-15, 0), st.floats(-15, 0))
def test_drift_is_never_negative(policy: float, ref: float):
    assert float(k3(torch.tensor(policy, dtype=torch.float64), torch.tensor(ref, dtype=torch.float64))) >= 0


def test_its_mean_over_the_references_tokens_is_the_divergence():
    ref, policy = torch.tensor([0.5, 0.3, 0.2]).double(), torch.tensor([0.2, 0.2, 0.6]).double()
    expected = float((ref * (ref / policy).log()).sum())
    assert float((ref * k3(policy.log(), ref.log())).sum()) == pytest.approx(expected)


def test_a_new_adapter_has_no_drift_and_a_moved_one_has(bench: Bench):
    add_lora(bench.speechlm, 4, 8, seed=1)
    probe = DriftProbe(bench.speechlm, bench.bank, bench.groups, SMALL, seed=3)
    assert probe.measure() == pytest.approx(0, abs=1e-6)
    with torch.no_grad():
        for parameter in adapter_parameters(bench.speechlm):
            parameter.add_(0.05)
    assert probe.measure() > 1e-3
