"""How far the policy's next-token distributions lie from the teacher's, through the heads in chunks."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils.checkpoint import checkpoint

from rba.lm.likelihood import chunks
from rba.lm.vocabulary import Classes

Row = Callable[[torch.Tensor, slice], torch.Tensor]


@dataclass(frozen=True)
class Divergence:
    """Which divergence: a `generalised_jsd` from the policy to the teacher.

    `beta` 0 is the forward KL(T || pi), 1 the reverse KL(pi || T). `temperature` divides both log-probs,
    `teacher_temperature` the teacher's alone, on top: below 1 it is sharper. No square of either multiplies it.
    """

    beta: float
    temperature: float = 1.0
    teacher_temperature: float = 1.0


def generalised_jsd(
    logits_NV: torch.Tensor, teacher_NV: torch.Tensor, kind: Divergence, classes: Classes | None = None
) -> torch.Tensor:
    """beta KL(T || M) + (1 - beta) KL(pi || M) with M = beta T + (1 - beta) pi, nats [N] (GKD, arXiv 2306.13649).

    Its ends are taken as TRL does (`Divergence`). Logits over two vocabularies are compared by the masses of their
    shared `classes`.
    """
    own_NV, other_NV = logits_NV.float(), teacher_NV.float()
    if classes is not None:
        # before the temperature: one that heats tokens would give a class the more mass the more tokens it has, and a
        # thousand words that the teacher would never say would be one likely piece for the student
        own_NV = classes.masses(own_NV.log_softmax(-1))
        other_NV = classes.masses(other_NV.log_softmax(-1), other=True)
    own_NV = (own_NV / kind.temperature).log_softmax(-1)
    other_NV = (other_NV / (kind.temperature * kind.teacher_temperature)).log_softmax(-1)
    beta = kind.beta
    if beta == 0:
        return _kl(other_NV, own_NV)
    if beta == 1:
        return _kl(own_NV, other_NV)
    mixed_NV = torch.logaddexp(own_NV + math.log1p(-beta), other_NV + math.log(beta))
    return beta * _kl(other_NV, mixed_NV) + (1 - beta) * _kl(own_NV, mixed_NV)


def _kl(p_NV: torch.Tensor, q_NV: torch.Tensor) -> torch.Tensor:
    """KL(p || q) [N] of log-probs."""
    return (p_NV.exp() * (p_NV - q_NV)).sum(-1)


def divergences(
    head: Any,
    states_ND: torch.Tensor,
    teacher_head: Any,
    teacher_ND: torch.Tensor,
    kind: Divergence,
    classes: Classes | None = None,
) -> torch.Tensor:
    """`generalised_jsd` [N] (float32) from last hidden states; keeps the graph to `states_ND`, none to the teacher's.

    Logits of no more than one chunk of positions exist at a time. Heads of different width (padded vocabularies) are
    compared on the tokens that both have.
    """

    def row(states_CD: torch.Tensor, part: slice) -> torch.Tensor:
        own_CV = head(states_CD)
        with torch.no_grad():
            other_CV = teacher_head(teacher_ND[part].to(teacher_head.weight.dtype))
        common = min(own_CV.shape[-1], other_CV.shape[-1]) if classes is None else None
        both = own_CV[:, :common], other_CV[:, :common]
        return generalised_jsd(*both, kind, classes)

    with torch.autocast(states_ND.device.type, enabled=False):
        states_ND = states_ND.to(head.weight.dtype)
        if type(head) is torch.nn.Linear and not any(p.requires_grad for p in head.parameters()):
            return _Rowwise.apply(states_ND, row)
        pieces = [states_ND.new_zeros(0, dtype=torch.float32)]
        for part in chunks(len(states_ND)):
            pieces.append(checkpoint(row, states_ND[part], part, use_reentrant=False))
        return torch.cat(pieces)


class _Rowwise(torch.autograd.Function):
    """A function of each row of states through a frozen head, its gradient taken while the logits are at hand.

    Row i of the result depends on row i alone, so the gradient of a chunk's sum holds the slope of every row: the
    backward pass needs neither the logits nor a second projection to the vocabulary.
    """

    @staticmethod
    def forward(ctx: Any, states_ND: torch.Tensor, row: Row) -> torch.Tensor:
        found_N = states_ND.new_empty(len(states_ND), dtype=torch.float32)
        slope_ND = torch.empty_like(states_ND) if ctx.needs_input_grad[0] else None
        for part in chunks(len(states_ND)):  # small on a GPU, too: a position keeps ten times what log-probs do
            if slope_ND is None:
                found_N[part] = row(states_ND[part], part)
                continue
            with torch.enable_grad():
                leaf_CD = states_ND[part].detach().requires_grad_()
                value_C = row(leaf_CD, part)
                (slope_ND[part],) = torch.autograd.grad(value_C.sum(), leaf_CD)
            found_N[part] = value_C.detach()
        if slope_ND is not None:
            ctx.save_for_backward(slope_ND)
        return found_N

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        (slope_ND,) = ctx.saved_tensors
        return (grads[0][:, None] * slope_ND.float()).to(slope_ND.dtype), None
