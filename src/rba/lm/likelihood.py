"""Log-probs of chosen tokens from hidden states, with the gradient taken while the logits are at hand."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch.utils.checkpoint import checkpoint

CHUNK = {"cpu": 128, "cuda": 1024}
"""Positions whose logits exist at a time: with few of them a GPU reads the whole head for little work."""


def chunks(count: int, device: str = "cpu") -> Iterator[slice]:
    """`count` positions in parts for a device of this type."""
    size = CHUNK.get(device, CHUNK["cpu"])
    yield from (slice(start, start + size) for start in range(0, count, size))


class _ChosenLogprobs(torch.autograd.Function):
    """log softmax(states W^T)[label] through a frozen head, chunk by chunk.

    d logp / d state = W[label] - softmax W needs the same logits as the forward pass: taking it there saves the
    backward pass a second projection to the vocabulary, and no more than one chunk of logits ever exists.
    """

    @staticmethod
    def forward(ctx: Any, states_ND: torch.Tensor, weight_VD: torch.Tensor, labels_N: torch.Tensor) -> torch.Tensor:
        wanted = ctx.needs_input_grad[0]
        logp_N = states_ND.new_empty(len(labels_N), dtype=torch.float32)
        slope_ND = torch.empty_like(states_ND) if wanted else None
        for part in chunks(len(labels_N), states_ND.device.type):
            scores_CV = torch.nn.functional.linear(states_ND[part], weight_VD).float()
            chosen_C1 = scores_CV.gather(1, labels_N[part, None])
            peak_C1 = scores_CV.amax(-1, keepdim=True)
            powers_CV = scores_CV.sub_(peak_C1).exp_()
            total_C1 = powers_CV.sum(-1, keepdim=True)
            logp_N[part] = (chosen_C1 - peak_C1 - total_C1.log())[:, 0]
            if slope_ND is not None:
                # one-hot - softmax before it is rounded: of a likely token 1 - p would be lost in bfloat16
                gap_CV = powers_CV.div_(-total_C1).scatter_add_(1, labels_N[part, None], torch.ones_like(total_C1))
                slope_ND[part] = (gap_CV.to(weight_VD.dtype) @ weight_VD).to(states_ND.dtype)
        if slope_ND is not None:
            ctx.save_for_backward(slope_ND)
        return logp_N

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        (slope_ND,) = ctx.saved_tensors
        return (grads[0][:, None] * slope_ND.float()).to(slope_ND.dtype), None, None


def chosen_logprobs(head: Any, states_ND: torch.Tensor, labels_N: torch.Tensor) -> torch.Tensor:
    """Log-probs [N] (float32) of `labels_N` given the decoder's last hidden states; keeps the graph to the states.

    No more than a chunk of logits exists at a time. Through a frozen linear layer to the vocabulary they are made once;
    through any other `head` (scaled, bent or trained) once more in the backward pass.
    """
    if type(head) is torch.nn.Linear and head.bias is None and not head.weight.requires_grad:
        with torch.autocast(states_ND.device.type, enabled=False):
            return _ChosenLogprobs.apply(states_ND.to(head.weight.dtype), head.weight, labels_N)
    pieces = [states_ND.new_zeros(0, dtype=torch.float32)]
    for part in chunks(len(labels_N), states_ND.device.type):
        pieces.append(checkpoint(_gather, head, states_ND[part], labels_N[part], use_reentrant=False))
    return torch.cat(pieces)


def _gather(head: Any, states_CD: torch.Tensor, labels_C: torch.Tensor) -> torch.Tensor:
    logits_CV = head(states_CD).float()
    return logits_CV.gather(1, labels_C[:, None])[:, 0] - logits_CV.logsumexp(-1)
