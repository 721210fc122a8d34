"""Which attention kernel to use where."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch


def short_attention(device: torch.device) -> AbstractContextManager[None]:
    """On the CPU the fused kernels lose to plain matrix products at a few dozen tokens, most of all backwards."""
    from torch.nn.attention import SDPBackend, sdpa_kernel

    return sdpa_kernel(SDPBackend.MATH) if device.type == "cpu" else nullcontext()
