"""Log-probs through the vocabulary head in chunks, with their gradient."""

from __future__ import annotations

import torch

from rba.alignment.likelihood import CHUNK, chosen_logprobs


def compare(head: torch.nn.Linear, dtype: torch.dtype, atol: float):
    torch.manual_seed(0)
    states = torch.randn(CHUNK + 5, 6, dtype=dtype, requires_grad=True)
    labels = torch.randint(0, 11, (CHUNK + 5,))
    weights = torch.randn(CHUNK + 5)
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


def test_a_head_with_a_bias_takes_the_plain_way():
    compare(torch.nn.Linear(6, 11, bias=True), torch.float32, 1e-5)


def test_no_gradient_is_computed_where_none_is_wanted():
    head = torch.nn.Linear(6, 11, bias=False).requires_grad_(False)
    with torch.no_grad():
        assert not chosen_logprobs(head, torch.randn(3, 6), torch.tensor([1, 2, 3])).requires_grad
