"""One more token through the blocks of an LLM that is built as Llama is, in a third of the operations.

A step of decoding is small: on a CPU most of it goes into starting operations and waiting for their threads, not into
numbers. So layers of one input are one product, queries and keys turn together, and what lies between two products is
float32, which is not rounded at every step and needs no conversions.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from rba.lm.grouped import GroupedLayer
from rba.lm.product import Product, Summed, is_reached, product

KINDS = ("Llama", "Mistral", "Qwen2", "Qwen3")
"""The LLMs of transformers that are built so."""


@dataclass(frozen=True)
class Norm:
    """x / sqrt(mean(x^2) + eps) times a weight, over the last dimension."""

    weight: torch.Tensor
    eps: torch.Tensor

    @classmethod
    def of(cls, norms: list[Any], repeats: list[int] | None = None) -> Norm:
        """Of norms with one eps, their weights below each other, each as often as it is told; of one, as it is."""
        wide = torch.promote_types(norms[0].weight.dtype, torch.float32)
        weights = [norm.weight.detach().to(wide) for norm in norms]
        weight = weights[0]
        if repeats:
            weight = torch.cat([each.expand(count, -1) for each, count in zip(weights, repeats)])
        return cls(weight, torch.tensor(norms[0].variance_epsilon, dtype=wide))

    def __call__(self, states: torch.Tensor) -> torch.Tensor:
        """A new tensor of the same shape."""
        length = torch.linalg.vector_norm(states, dim=-1, keepdim=True)
        scale = torch.addcmul(self.eps, length, length, value=1 / states.shape[-1]).rsqrt_()
        return (states * scale).mul_(self.weight)


@dataclass(frozen=True)
class Block:
    """A block's products, and what is done between them: H heads of queries and G of keys and of values, D wide each.

    `head_norm` has a row for each head of queries and of keys (E = H + G) of the LLMs that norm them.
    """

    attention_norm: Norm
    mlp_norm: Norm
    into_heads: Product
    from_heads: Product
    into_mlp: Product
    from_mlp: Product
    activation: Callable[[torch.Tensor], torch.Tensor]
    heads: tuple[int, int]
    scale: float
    head_norm: Norm | None

    def __call__(
        self, states_BD: torch.Tensor, turn: tuple[torch.Tensor, torch.Tensor], kept: GroupedLayer, dtype: torch.dtype
    ) -> None:
        """Add to the states what the block does; products are of `dtype`."""
        queries, keys = self.heads
        heads_BED = self.into_heads(self.attention_norm(states_BD).to(dtype)).to(states_BD.dtype)
        heads_BED = heads_BED.unflatten(-1, (queries + 2 * keys, -1))
        turned_BED, values_BGD = heads_BED[:, : queries + keys], heads_BED[:, queries + keys :]
        if self.head_norm:
            turned_BED = self.head_norm(turned_BED)
        turned_BED = turned(turned_BED, *turn)
        kept.append(turned_BED[:, queries:], values_BGD)
        mixed_BHD = kept.attend(turned_BED[:, :queries], self.scale)
        states_BD += self.from_heads(mixed_BHD.flatten(1).to(dtype))
        gate, up = self.into_mlp(self.mlp_norm(states_BD).to(dtype)).chunk(2, -1)
        states_BD += self.from_mlp(self.activation(gate).mul_(up))


def turned(heads_BED: torch.Tensor, cos_B1D: torch.Tensor, sin_B1D: torch.Tensor) -> torch.Tensor:
    """Rotary positions: each head's first half and second are the two coordinates of points that turn."""
    half = heads_BED.shape[-1] // 2
    out_BED = heads_BED * cos_B1D
    out_BED[..., :half].addcmul_(heads_BED[..., half:], sin_B1D[..., :half], value=-1)
    out_BED[..., half:].addcmul_(heads_BED[..., :half], sin_B1D[..., half:])
    return out_BED


def blocks(decoder: Any, rows: int, room: int) -> list[Block] | None:
    """Copies of a decoder's blocks for about so many rows; None of one that is built otherwise, or not on the CPU.

    None, too, if they would take more than `room` bytes, or if anything reaches into the decoder that a copy would not
    follow: a hook, a forward of someone's own, an autocast, a layer of another number format.
    """
    if not _is(decoder, "Model") or torch.is_autocast_enabled("cpu"):
        return None
    layers, embedding = decoder.layers, decoder.embed_tokens
    if not all(_is_known(layer) for layer in layers) or any(map(is_reached, [decoder, *layers.modules()])):
        return None
    if sum(weight.nbytes for weight in layers.parameters()) > room:
        return None
    summed = [_summed(layer) for layer in layers]
    found = [part for parts in summed for group in parts for part in group]
    if any(part is None or part.weight.dtype != embedding.weight.dtype for part in found):
        return None
    return [_block(layer, parts, rows) for layer, parts in zip(layers, summed)]


def _is(module: Any, part: str) -> bool:
    """Whether it is such a part of one of these LLMs, of transformers' own class and with its own forward."""
    kind = type(module)
    own = kind.__module__.startswith("transformers.models.") and kind.forward.__module__.startswith("transformers.")
    return own and kind.__name__ in {name + part for name in KINDS}


def _is_known(layer: Any) -> bool:
    """Whether a block is made of such parts, and drops nothing."""
    if not (_is(layer, "DecoderLayer") and _is(layer.self_attn, "Attention") and _is(layer.mlp, "MLP")):
        return False
    norms = [layer.input_layernorm, layer.post_attention_layernorm, *_head_norms(layer)]
    drops = layer.self_attn.training and layer.self_attn.attention_dropout
    return all(_is(norm, "RMSNorm") for norm in norms) and not drops


def _head_norms(layer: Any) -> list[Any]:
    """The norms of queries and of keys, in LLMs that have them."""
    attn = layer.self_attn
    return [attn.q_norm, attn.k_norm] if hasattr(attn, "q_norm") else []


def _summed(layer: Any) -> list[list[Summed | None]]:
    """What the linear layers do: into the heads and out of them, into the MLP and out of it."""
    attn, mlp = layer.self_attn, layer.mlp
    into_heads, into_mlp = (attn.q_proj, attn.k_proj, attn.v_proj), (mlp.gate_proj, mlp.up_proj)
    return [[Summed.of(each) for each in layers] for layers in (into_heads, (attn.o_proj,), into_mlp, (mlp.down_proj,))]


def _block(layer: Any, summed: list[list[Any]], rows: int) -> Block:
    attn = layer.self_attn
    into_heads, from_heads, into_mlp, from_mlp = (product(parts, rows) for parts in summed)
    queries, keys = (len(part.weight) // attn.head_dim for part in summed[0][:2])
    head_norms = _head_norms(layer)
    return Block(
        attention_norm=Norm.of([layer.input_layernorm]),
        mlp_norm=Norm.of([layer.post_attention_layernorm]),
        into_heads=into_heads,
        from_heads=from_heads,
        into_mlp=into_mlp,
        from_mlp=from_mlp,
        activation=layer.mlp.act_fn,
        heads=(queries, keys),
        scale=attn.scaling,
        head_norm=Norm.of(head_norms, [queries, keys]) if head_norms else None,
    )
