"""Attention on the CPU over a few dozen to a few hundred tokens, as plain products of matrices.

torch's fused kernels are made for long rows: here they take up to twenty times as long. Products of bfloat16 are fast,
but give bfloat16, too coarse for the scores that a softmax raises to a power: those are made in float32.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from functools import cache
from typing import Any

import torch

LONG = 512 * 512
"""Scores of one head from which the fused kernels are faster."""
AT_ONCE = 2**18
"""Scores that are held at a time, beyond the first row's: they stay in the cores' caches."""

_SHORT: ContextVar[bool] = ContextVar("_SHORT", default=False)


@contextmanager
def short_attention(device: torch.device) -> Iterator[None]:
    """Within it, attention on the CPU is that of this file in transformers' models, of this thread alone.

    All else on the CPU, in whatever thread, is torch's without its fused kernels: that of other models, and that with a
    bias, a cap or a dropout. Attention over long rows and on a GPU is as it was.
    """
    from torch.nn.attention import SDPBackend, sdpa_kernel

    if device.type != "cpu":
        yield
        return
    _install()
    token = _SHORT.set(True)
    try:
        with sdpa_kernel(SDPBackend.MATH):
            yield
    finally:
        _SHORT.reset(token)


@cache
def _install() -> None:
    """Have transformers ask here first, once a process.

    Outside of `short_attention` all stays as it is but what `rba.lm.grouped` keeps.
    """
    from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

    from rba.lm.grouped import Kept, is_grouped

    usual = ALL_ATTENTION_FUNCTIONS["sdpa"]

    def attend(
        module: torch.nn.Module,
        query: torch.Tensor,
        key: Any,
        value: Any,
        attention_mask: torch.Tensor | None,
        *args: Any,
        **kwargs: Any,
    ) -> tuple[torch.Tensor, None]:
        scale = kwargs.get("scaling") or query.shape[-1] ** -0.5
        # first of all: a cache of this kind may be read outside of `short_attention`, too
        if not args and not _is_special(kwargs) and is_grouped(query, key, value, attention_mask):
            return key.layer.attend(query[:, :, 0], scale)[:, None].to(query.dtype), None
        key, value = (part.whole() if isinstance(part, Kept) else part for part in (key, value))
        if not _SHORT.get():
            return usual(module, query, key, value, attention_mask, *args, **kwargs)
        if not args and _is_ours(query, key, attention_mask, kwargs):
            query, key, value = map(_narrowed, (query, key, value))
            mask = attention_mask if attention_mask is not None else _causal(module, query, key, kwargs)
            return attention(query, key, value, mask, scale).transpose(1, 2).contiguous(), None
        with _any_kernel() if _is_long(query, key) else nullcontext():
            return usual(module, query, key, value, attention_mask, *args, **kwargs)

    ALL_ATTENTION_FUNCTIONS["sdpa"] = attend


def _is_ours(query: torch.Tensor, key: torch.Tensor, mask: torch.Tensor | None, asked: dict[str, Any]) -> bool:
    plain = query.device.type == "cpu" and query.ndim == 4 and (mask is None or mask.shape[1:2] == (1,))
    paired = len(query) == len(key)  # some models ask one row of queries of every row of keys
    return plain and paired and not _is_special(asked) and not _is_long(query, key)


def _is_special(asked: dict[str, Any]) -> bool:
    """Whether more than a softmax of products is asked for."""
    special = any(asked.get(name) is not None for name in ("softcap", "position_bias", "cache", "s_aux"))
    return special or bool(asked.get("dropout"))


def _is_long(query: torch.Tensor, key: torch.Tensor) -> bool:
    return query.shape[2] * key.shape[2] >= LONG


def _any_kernel() -> AbstractContextManager[None]:
    """Have torch choose among its kernels on the CPU."""
    from torch.nn.attention import SDPBackend, sdpa_kernel

    return sdpa_kernel([SDPBackend.FLASH_ATTENTION, SDPBackend.MATH])


def _narrowed(part: torch.Tensor) -> torch.Tensor:
    """Queries, keys or values in the format of an autocast, as torch's own kernels take them there."""
    if part.dtype == torch.float64 or not torch.is_autocast_enabled("cpu"):
        return part
    return part.to(torch.get_autocast_dtype("cpu"))


def _causal(
    module: torch.nn.Module, query: torch.Tensor, key: torch.Tensor, asked: dict[str, Any]
) -> torch.Tensor | None:
    """The mask that transformers leaves out where no position is a pad; None where each may see all."""
    told = asked.get("is_causal")
    causal = told if told is not None else getattr(module, "is_causal", True)
    steps, width = query.shape[2], key.shape[2]
    # as transformers: queries stand at the first keys where no mask says otherwise
    return torch.ones(steps, width, dtype=torch.bool).tril()[None, None] if causal and steps > 1 else None


def attention(
    query_BHQD: torch.Tensor,
    key_BGTD: torch.Tensor,
    value_BGTD: torch.Tensor,
    mask_B1QT: torch.Tensor | None,
    scale: float,
) -> torch.Tensor:
    """softmax(`scale` q k' + mask) v, [B, H, Q, D]; H / G neighbouring heads read the same keys and values.

    A mask of booleans is True where a key is seen, another one is added. Scores and their softmax are float32; the
    backward pass makes them again from queries and keys, so that they need no memory in between.
    """
    batch, heads, steps, _ = query_BHQD.shape
    groups = key_BGTD.shape[1]
    mask = None if mask_B1QT is None else added(mask_B1QT).expand(batch, 1, steps, key_BGTD.shape[2])
    # the heads of a group are further queries of its keys
    query_BGND = query_BHQD.reshape(batch, groups, heads // groups * steps, -1)
    mixed_BGND = _Attention.apply(query_BGND, key_BGTD, value_BGTD, mask, scale)
    return mixed_BGND.view(batch, heads, steps, -1)


def added(mask: torch.Tensor) -> torch.Tensor:
    """A mask of booleans as one that is added, which takes a tenth of the time."""
    if mask.dtype != torch.bool:
        return mask
    # finite: a pad that sees nothing would become NaN
    return torch.zeros(mask.shape).masked_fill_(~mask, torch.finfo(torch.float32).min)


class _Attention(torch.autograd.Function):
    """Queries [B, G, N, D] on keys and values [B, G, T, D], row by row of the batch, some at a time."""

    @staticmethod
    def forward(
        ctx: Any, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, mask: torch.Tensor | None, scale: float
    ) -> torch.Tensor:
        ctx.save_for_backward(query, key, value, mask)
        ctx.scale = scale
        mixed = query.new_empty(*query.shape[:3], value.shape[-1])
        with torch.autocast("cpu", enabled=False):
            for rows in _rows(query, key):
                weights = _weights(query[rows], key[rows], None if mask is None else mask[rows], scale)
                mixed[rows] = weights.to(value.dtype) @ value[rows]
        return mixed

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        query, key, value, mask = ctx.saved_tensors
        grad_query, grad_key, grad_value = (torch.empty_like(part) for part in (query, key, value))
        with torch.autocast("cpu", enabled=False):
            for rows in _rows(query, key):
                grad = grads[0][rows]
                weights = _weights(query[rows], key[rows], None if mask is None else mask[rows], ctx.scale)
                grad_value[rows] = weights.to(value.dtype).transpose(-1, -2) @ grad
                passed = (grad @ value[rows].transpose(-1, -2)).to(weights.dtype)
                passed -= (passed * weights).sum(-1, keepdim=True)
                scores = passed.mul_(weights).mul_(ctx.scale).to(query.dtype)
                grad_query[rows] = scores @ key[rows]
                grad_key[rows] = scores.transpose(-1, -2) @ query[rows]
        return grad_query, grad_key, grad_value, None, None


def _rows(query: torch.Tensor, key: torch.Tensor) -> list[slice]:
    """The rows of a batch in parts of `AT_ONCE` scores, or of one row."""
    each = query.shape[1] * query.shape[2] * key.shape[2]
    step = max(1, AT_ONCE // each)
    return [slice(start, start + step) for start in range(0, len(query), step)]


def _weights(query: torch.Tensor, key: torch.Tensor, mask: torch.Tensor | None, scale: float) -> torch.Tensor:
    """What each query [B, G, N, D] takes of each key [B, G, T, D]: [B, G, N, T], in float32 at least."""
    wide = torch.promote_types(query.dtype, torch.float32)
    scores = (query.to(wide) @ key.to(wide).transpose(-1, -2)).mul_(scale)
    if mask is not None:
        batch, groups, _, width = scores.shape
        scores.view(batch, groups, -1, mask.shape[2], width).add_(mask[:, :, None])
    return torch.softmax(scores, -1)
