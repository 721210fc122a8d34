"""How the next token is drawn: temperature, nucleus, and one uniform number a token from the answer's own seed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from rba.errors import RecipeError

if TYPE_CHECKING:
    import torch

NUCLEUS_PROBE = 256
BLOCK = 256  # weights that are summed before one of them is looked for


@dataclass(frozen=True)
class Sampling:
    """Decoding settings. `temperature` 0 is greedy; `top_p` in (0, 1]; lengths in tokens, the end token included."""

    temperature: float = 1.0
    top_p: float = 1.0
    max_new_tokens: int = 64

    def __post_init__(self) -> None:
        if not 0 <= self.temperature < float("inf") or not 0 < self.top_p <= 1 or self.max_new_tokens < 1:
            fix = "temperature >= 0, 0 < top_p <= 1, max_new_tokens >= 1"
            raise RecipeError("impossible sampling settings", repr(self), fix)


def uniforms(seeds: list[int], steps: int) -> np.ndarray:
    """Uniform numbers [len(seeds), steps]: row i depends on seeds[i] alone, so a draw does not depend on its batch."""
    return np.stack([np.random.Generator(np.random.PCG64(seed)).random(steps) for seed in seeds])


def draw(logits_BV: torch.Tensor, uniform_B: torch.Tensor, sampling: Sampling) -> torch.Tensor:
    """Next tokens [B] by inverse transform sampling of the tempered, nucleus-truncated distribution (exact)."""
    if sampling.temperature == 0:
        return logits_BV.float().max(-1).indices  # on the CPU four times as fast as argmax; of equals the first, too
    tempered_BV = logits_BV.float() if sampling.temperature == 1 else logits_BV.float() / sampling.temperature
    if sampling.top_p >= 1:
        return _invert(tempered_BV.softmax(-1), uniform_B)
    return _draw_nucleus(tempered_BV, uniform_B, sampling.top_p)


def _invert(weights_BV: torch.Tensor, uniform_B: torch.Tensor) -> torch.Tensor:
    """Indices [B] of the inverse cumulative distribution of unnormalised weights at `uniform_B`.

    First the block of weights, by the sums of blocks, then the weight in the block: only that block is accumulated.
    """
    import torch.nn.functional as F

    size = weights_BV.shape[-1]
    whole_BV = F.pad(weights_BV, (0, -size % BLOCK)) if size % BLOCK else weights_BV  # it copies in any case
    blocks_BNK = whole_BV.unflatten(-1, (-1, BLOCK))
    block_B, rest_B = _place(blocks_BNK.sum(-1), uniform_B.double())
    inside_BK = blocks_BNK.gather(1, block_B[:, None, None].expand(-1, 1, BLOCK))[:, 0]
    inside_B, _ = _place(inside_BK, rest_B)
    return block_B * BLOCK + inside_B


def _place(weights_BN: torch.Tensor, share_B: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Into which weight [B] a share of their sum, in [0, 1), falls, and the share of that weight [B] it goes on to."""
    until_BN = weights_BN.double().cumsum(-1)
    # an exact 1.0 after rounding would point past the end, or at a weight of zero
    target_B = share_B * until_BN[:, -1] * (1 - 1e-12)
    index_B = (until_BN <= target_B[:, None]).sum(-1).clamp(max=until_BN.shape[-1] - 1)
    weight_B = weights_BN.double().gather(1, index_B[:, None])[:, 0]
    before_B = until_BN.gather(1, index_B[:, None])[:, 0] - weight_B
    return index_B, ((target_B - before_B) / weight_B).clamp(0, 1)


def _draw_nucleus(logits_BV: torch.Tensor, uniform_B: torch.Tensor, top_p: float) -> torch.Tensor:
    """Nucleus sampling that sorts a whole row only where its most likely tokens do not hold `top_p` already."""
    import torch

    width = min(NUCLEUS_PROBE, logits_BV.shape[-1])
    top_BK, index_BK = logits_BV.topk(width, dim=-1)
    top_BK = (top_BK - logits_BV.logsumexp(-1, keepdim=True)).exp()
    tokens_B = index_BK.gather(1, _invert(_truncate(top_BK, top_p), uniform_B)[:, None])[:, 0]
    wide_B = top_BK.sum(-1) < top_p
    if wide_B.any():
        sorted_WV, order_WV = logits_BV[wide_B].softmax(-1).sort(dim=-1, descending=True)
        picked_W = _invert(_truncate(sorted_WV, top_p), uniform_B[wide_B])
        tokens_B = tokens_B.masked_scatter(wide_B, order_WV.gather(1, picked_W[:, None])[:, 0])
    return torch.as_tensor(tokens_B)


def _truncate(sorted_BK: torch.Tensor, top_p: float) -> torch.Tensor:
    """Zero what lies outside the smallest set of leading tokens whose mass reaches `top_p`."""
    before_BK = sorted_BK.cumsum(-1) - sorted_BK
    return sorted_BK.masked_fill(before_BK >= top_p, 0)
