"""Masters: what a half-precision weight would forget."""

from __future__ import annotations

import torch

from rba.alignment.masters import Masters


def test_updates_below_half_a_step_of_bfloat16_add_up():
    weight = torch.nn.Parameter(torch.ones(4, dtype=torch.bfloat16))
    masters = Masters({"w": weight})
    optimizer = torch.optim.SGD(masters.weights.values(), lr=1e-3)
    for step in range(8):
        weight.grad = torch.full_like(weight, -1.0)
        masters.take()
        assert weight.grad is None
        optimizer.step()
        masters.give()
        assert (weight == 1).all() or step >= 3  # half a step of bfloat16 at 1 is .0039
    assert torch.equal(weight, torch.full_like(weight, 1.0078125))
    assert torch.allclose(masters.weights["w"], torch.full((4,), 1.008))


def test_a_float32_weight_is_its_own():
    weight = torch.nn.Parameter(torch.ones(4))
    masters = Masters({"w": weight})
    assert masters.weights["w"] is weight
    weight.grad = torch.ones(4)
    masters.take()
    assert weight.grad is not None
