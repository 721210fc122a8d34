"""CTC loss over a whole LLM vocabulary without its log-softmax in memory or in the backward pass.

Only the tokens of an utterance's own text and the blank enter the CTC recursion; every other token counts through the
normaliser alone. So the [B, T, V] matrix is read twice (sum of exponentials; posteriors times keys) and never kept as
float32, and the gradient is known when the forward pass ends: posterior minus CTC occupancy.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F

ROWS = 256  # steps whose scores are handled at once: 256 x 7k tokens stay in cache


class _Nll(torch.autograd.Function):
    """Summed CTC negative log-likelihood; see `ctc_nll`."""

    @staticmethod
    def forward(ctx: Any, query_ND: Any, blank_N: Any, keys_VD: Any, bias_V: Any, targets: Any, sizes_B: Any) -> Any:
        keys = keys_VD.to(query_ND.dtype)
        labels, index, found = _columns(targets)
        labels = labels.to(query_ND.device)
        row_N = torch.repeat_interleave(torch.arange(len(sizes_B)), sizes_B).to(query_ND.device)
        wide = torch.empty(min(ROWS, len(query_ND)), len(keys), device=query_ND.device)  # float32, one allocation
        scores_NV = [F.linear(q, keys, bias_V.to(q.dtype)) for q in query_ND.split(ROWS)]
        norm_N = torch.cat([wide[: len(s)].copy_(s).logsumexp(-1) for s in scores_NV])
        norm_N = torch.logaddexp(norm_N, blank_N.float())
        own_NC = torch.cat([s.gather(1, labels[r]) for s, r in zip(scores_NV, row_N.split(ROWS))]).float()
        own_NC = torch.cat([blank_N.float()[:, None], own_NC], 1) - norm_N[:, None]
        loss, posterior_NC, occupancy_NC, live_B = _recursion(own_NC, index, found, sizes_B)
        weight_N = live_B.float()[row_N]
        grad_query, grad_bias = [], torch.zeros_like(bias_V, dtype=torch.float32)
        for scores, row, norm, weight, occupancy in zip(
            scores_NV, *(x.split(ROWS) for x in (row_N, norm_N, weight_N, occupancy_NC))
        ):
            grad = wide[: len(scores)].copy_(scores).sub_(norm[:, None]).exp_()
            grad.scatter_add_(1, labels[row], -occupancy[:, 1:]).mul_(weight[:, None])
            grad_bias += grad.sum(0)
            grad_query.append(scores.copy_(grad) @ keys)
        grad_blank = (posterior_NC[:, 0] - occupancy_NC[:, 0]) * weight_N
        ctx.save_for_backward(torch.cat(grad_query), grad_blank.to(blank_N.dtype), grad_bias.to(bias_V.dtype))
        return loss

    @staticmethod
    def backward(ctx: Any, grad: Any) -> Any:
        query, blank, bias = ctx.saved_tensors
        return query * grad, blank * grad, None, bias * grad, None, None


def ctc_nll(
    query_ND: torch.Tensor,
    blank_N: torch.Tensor,
    keys_VD: torch.Tensor,
    bias_V: torch.Tensor,
    targets: list[list[int]],
    sizes_B: torch.Tensor,
) -> torch.Tensor:
    """Summed CTC loss (nats) of B utterances whose real steps lie one after another.

    `query_ND` [N, D] and the blank's score `blank_N` [N] are those of all N = sum(`sizes_B`) steps; a token scores
    query . key + bias. `targets` are 0-based rows of `keys_VD`. An utterance too short for its target counts zero.
    The sizes are on the CPU, where the recursion runs; the rest may be on a GPU. Gradients flow to the queries, the
    blank and the bias; the keys are the LLM's and stay.
    """
    return _Nll.apply(query_ND, blank_N, keys_VD, bias_V, targets, sizes_B)


def _columns(targets: list[list[int]]) -> tuple[torch.Tensor, list[list[int]], list[int]]:
    """Distinct labels of each utterance [B, C] (padded with label 0), every target as its 1-based column, counts."""
    distinct = [sorted(set(target)) for target in targets]
    labels = torch.zeros(len(targets), max(map(len, distinct)), dtype=torch.long)
    for row, own in zip(labels, distinct):
        row[: len(own)] = torch.tensor(own)
    place = [{label: 1 + c for c, label in enumerate(own)} for own in distinct]
    return labels, [[p[t] for t in target] for p, target in zip(place, targets)], list(map(len, distinct))


def _recursion(
    own_NC: torch.Tensor, index: list[list[int]], found: list[int], sizes_B: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Loss, posteriors [N, 1 + C], occupancies [N, 1 + C] and which utterances have a path, by torch's own CTC.

    Its gradient is posterior - occupancy for real classes, whatever the classes sum to.
    """
    flat = own_NC.detach().cpu()
    used_BC = torch.arange(flat.shape[1]) <= torch.tensor(found)[:, None]
    steps = torch.nn.utils.rnn.pad_sequence(list(flat.split(sizes_B.tolist())))
    with torch.enable_grad():
        steps.requires_grad_()
        wanted = torch.tensor([c for columns in index for c in columns])
        lengths = torch.tensor(list(map(len, index)))
        loss_B = F.ctc_loss(steps, wanted, sizes_B, lengths, reduction="none", zero_infinity=True)
        (grad_TBC,) = torch.autograd.grad(loss_B.sum(), steps)
    live_B = loss_B.detach() > 0
    grad = torch.cat([grad_TBC[:n, b] for b, n in enumerate(sizes_B.tolist())])
    posterior = flat.exp()
    live_N1 = torch.repeat_interleave(live_B, sizes_B)[:, None]
    used_NC = torch.repeat_interleave(used_BC, sizes_B, 0)
    occupancy = torch.where(used_NC & live_N1, posterior - grad, 0.0)
    device = own_NC.device
    return loss_B.detach().sum().to(device), posterior.to(device), occupancy.to(device), live_B.to(device)
