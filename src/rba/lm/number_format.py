"""The number format that models are loaded and multiplied in: half precision where the machine multiplies it."""

from __future__ import annotations

import torch

AUTO = "auto"


def pick_device() -> torch.device:
    """CUDA where there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def multiplies_bfloat16(device: torch.device) -> bool:
    """Whether products of bfloat16 matrices are native on `device`.

    A CPU without such instructions takes several times as long as for float32, since it converts every number.
    """
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if torch.cpu.get_capabilities().get("architecture") == "x86_64":
        return x86_multiplies_bfloat16()
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def x86_multiplies_bfloat16() -> bool:
    """Whether this CPU is an x86 with instructions for products of bfloat16 matrices."""
    able = torch.cpu.get_capabilities()
    return bool(able.get("avx512_bf16") or able.get("amx_bf16"))


def number_format(name: str, device: torch.device | None = None) -> torch.dtype:
    """The dtype that `name` stands for; "auto" is bfloat16 where `device` multiplies it natively, else float32."""
    if name == AUTO:
        return torch.bfloat16 if multiplies_bfloat16(device or pick_device()) else torch.float32
    return getattr(torch, name)
