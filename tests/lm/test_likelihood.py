"""Log-probs through the vocabulary head in chunks, with their gradient."""

from __future__ import annotations

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from rba.lm.head import ShapedHead
from rba.lm.likelihood import CHUNK, chosen_logprobs

MANY = CHUNK["cpu"] + 5


def compare(head: torch.nn.Linear, dtype: torch.dtype, atol: float):
    torch.manual_seed(0)
    states = torch.randn(MANY, 6, dtype=dtype, requires_grad=True)
    labels = torch.randint(0, 11, (MANY,))
    weights = torch.randn(MANY)
    ours = chosen_logprobs(head, states, labels)
    (ours * weights).sum().backward()
    grad, states.grad = states.grad, None
    plain = head(states).float().log_softmax(-1).gather(1, labels[:, None])[:, 0]
    (plain * weights).sum().backward()
    torch.testing.assert_close(ours, plain, atol=atol, rtol=0)
    torch.testing.assert_close(grad, states.grad, atol=atol, rtol=10 * atol)


def test_values_and_gradients_equal_log_softmax():
    compare(torch.nn.Linear(6, 11, bias=False).requires_grad_(False), torch.float32, 1e-5)


def test_bfloat16_is_near():
    head = torch.nn.Linear(6, 11, bias=False, dtype=torch.bfloat16).requires_grad_(False)
    compare(head, torch.bfloat16, 3e-2)


@pytest.mark.parametrize("sureness", [3.0, 6.0, 9.0])
def test_in_bfloat16_the_gradient_of_a_sure_token_is_not_lost(sureness: float):
    """With p near 1 the slope is (1 - p) times a few rows: rounding p before the difference would leave noise."""
    torch.manual_seed(0)
    head = torch.nn.Linear(64, 512, bias=False).requires_grad_(False)
    labels = torch.arange(40)
    states = (sureness * head.weight[labels] / head.weight[labels].norm(dim=1, keepdim=True) ** 2).detach()
    slopes = []
    for dtype in (torch.float32, torch.bfloat16):
        row = states.to(torch.bfloat16).to(dtype).requires_grad_()
        own = torch.nn.Linear(64, 512, bias=False).requires_grad_(False)
        own.weight.data = head.weight.data.to(torch.bfloat16).to(dtype)
        chosen_logprobs(own, row, labels).sum().backward()
        slopes.append(row.grad.float())
    off = (slopes[1] - slopes[0]).norm(dim=1) / slopes[0].norm(dim=1)
    assert float(off.median()) < 0.05


class Largest(TorchDispatchMode):
    """Inside, the most numbers that a tensor held."""

    numbers = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        made = func(*args, **(kwargs or {}))
        held = [t.numel() for t in tree_leaves(made) if isinstance(t, torch.Tensor)]
        self.numbers = max([self.numbers, *held])
        return made


HEADS = {
    "frozen": lambda: torch.nn.Linear(6, 50, bias=False).requires_grad_(False),
    "capped": lambda: ShapedHead(torch.nn.Linear(6, 50, bias=False), cap=0.5).requires_grad_(False),
    "scaled": lambda: ShapedHead(torch.nn.Linear(6, 50, bias=False), scale=0.3).requires_grad_(False),
    "with a bias": lambda: torch.nn.Linear(6, 50),
    "trained": lambda: torch.nn.Linear(6, 50, bias=False),
}


@pytest.mark.parametrize("head", HEADS)
def test_no_more_than_a_chunk_of_logits_exists_and_values_and_gradients_are_the_plain_ones(head: str):
    torch.manual_seed(0)
    layer, states, labels = HEADS[head](), torch.randn(3 * MANY, 6, requires_grad=True), torch.arange(3 * MANY) % 50
    weights, learnt = torch.randn(3 * MANY), [p for p in layer.parameters() if p.requires_grad]
    with Largest() as largest:
        ours = chosen_logprobs(layer, states, labels)
        grads = torch.autograd.grad((ours * weights).sum(), [states, *learnt])
    assert largest.numbers == CHUNK["cpu"] * 50
    plain = layer(states).log_softmax(-1).gather(1, labels[:, None])[:, 0]
    torch.testing.assert_close(ours, plain, atol=1e-5, rtol=0)
    for own, same in zip(grads, torch.autograd.grad((plain * weights).sum(), [states, *learnt]), strict=True):
        torch.testing.assert_close(own, same, atol=1e-5, rtol=1e-5)


def test_no_gradient_is_computed_where_none_is_wanted():
    head = torch.nn.Linear(6, 11, bias=False).requires_grad_(False)
    with torch.no_grad():
        assert not chosen_logprobs(head, torch.randn(3, 6), torch.tensor([1, 2, 3])).requires_grad
