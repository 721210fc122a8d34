"""BEATs: a transformer over patches of filter banks, which hears sounds of every kind (github.com/microsoft/unilm).

transformers has no such class; modules have the names that the weights of its publisher have.
"""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn
from transformers import PreTrainedConfig


class BeatsConfig(PreTrainedConfig):
    """Sizes, by the names in the `cfg` of a publisher's file; those of the published models if not given.

    `embed_dim` is the width of a patch, `encoder_embed_dim` that of the transformer. Distances of patches fall into
    `num_buckets`; from `max_distance` on they are alike.
    """

    model_type = "beats"

    def __init__(
        self,
        embed_dim: int = 512,
        input_patch_size: int = 16,
        encoder_layers: int = 12,
        encoder_embed_dim: int = 768,
        encoder_ffn_embed_dim: int = 3072,
        encoder_attention_heads: int = 12,
        conv_pos: int = 128,
        conv_pos_groups: int = 16,
        num_buckets: int = 320,
        max_distance: int = 800,
        **kwargs: Any,
    ):
        self.embed_dim, self.input_patch_size = embed_dim, input_patch_size
        self.encoder_layers, self.encoder_embed_dim = encoder_layers, encoder_embed_dim
        self.encoder_ffn_embed_dim, self.encoder_attention_heads = encoder_ffn_embed_dim, encoder_attention_heads
        self.conv_pos, self.conv_pos_groups = conv_pos, conv_pos_groups
        self.num_buckets, self.max_distance = num_buckets, max_distance
        super().__init__(**kwargs)


class Beats(nn.Module):
    """Filter banks [B, T, 128] -> states [B, T', F] of square patches: eight of 16 bands each, then the next frames."""

    def __init__(self, config: BeatsConfig):
        super().__init__()
        size = config.input_patch_size
        self.patch_embedding = nn.Conv2d(1, config.embed_dim, size, size, bias=False)
        self.layer_norm = nn.LayerNorm(config.embed_dim)
        self.post_extract_proj = nn.Linear(config.embed_dim, config.encoder_embed_dim)
        self.encoder = Encoder(config)

    def forward(self, fbank_BTM: torch.Tensor) -> torch.Tensor:
        """The states of every clip; frames that fill no patch are not heard."""
        patches = self.patch_embedding(fbank_BTM[:, None]).flatten(2).transpose(1, 2)
        return self.encoder(self.post_extract_proj(self.layer_norm(patches)))


class Encoder(nn.Module):
    """A convolution that tells where patches stand, then layers that share what they think of distances."""

    def __init__(self, config: BeatsConfig):
        super().__init__()
        width, kernel = config.encoder_embed_dim, config.conv_pos
        convolution = nn.Conv1d(width, width, kernel, padding=kernel // 2, groups=config.conv_pos_groups)
        self.pos_conv = nn.Sequential(convolution, nn.GELU())
        self.layer_norm = nn.LayerNorm(width)
        self.layers = nn.ModuleList([Layer(config) for _ in range(config.encoder_layers)])
        self.relative_attention_bias = nn.Embedding(config.num_buckets, config.encoder_attention_heads)
        self.max_distance = config.max_distance

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        """States [B, T, F] of rows [B, T, F]."""
        steps = rows.shape[1]
        placed = self.pos_conv(rows.transpose(1, 2))[..., :steps].transpose(1, 2)
        states = self.layer_norm(rows + placed)
        step_T = torch.arange(steps, device=rows.device)
        buckets_QK = bucket(step_T - step_T[:, None], self.relative_attention_bias.num_embeddings, self.max_distance)
        bias_HQK = self.relative_attention_bias(buckets_QK).permute(2, 0, 1)
        for layer in self.layers:
            states = layer(states, bias_HQK)
        return states


class Layer(nn.Module):
    """Attention and two linear layers, each added to its input enlarged (deep norm) and then under a norm."""

    def __init__(self, config: BeatsConfig):
        super().__init__()
        width, inner = config.encoder_embed_dim, config.encoder_ffn_embed_dim
        self.self_attn = Attention(width, config.encoder_attention_heads)
        self.self_attn_layer_norm = nn.LayerNorm(width)
        self.fc1, self.fc2 = nn.Linear(width, inner), nn.Linear(inner, width)
        self.final_layer_norm = nn.LayerNorm(width)
        self.kept = (2 * config.encoder_layers) ** 0.25

    def forward(self, states: torch.Tensor, bias_HQK: torch.Tensor) -> torch.Tensor:
        """States [B, T, F] of states, given what distances add to attention."""
        states = self.self_attn_layer_norm(self.kept * states + self.self_attn(states, bias_HQK))
        return self.final_layer_norm(self.kept * states + self.fc2(F.gelu(self.fc1(states))))


class Attention(nn.Module):
    """Attention of all to all in which every query weighs, by two gates, what distances add."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.q_proj, self.k_proj = nn.Linear(width, width), nn.Linear(width, width)
        self.v_proj, self.out_proj = nn.Linear(width, width), nn.Linear(width, width)
        self.grep_linear = nn.Linear(width // heads, 8)
        self.grep_a = nn.Parameter(torch.ones(1, heads, 1, 1))

    def forward(self, states: torch.Tensor, bias_HQK: torch.Tensor) -> torch.Tensor:
        """What is seen [B, T, F] from states [B, T, F]."""
        query, key, value = (
            project(states).unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for project in (self.q_proj, self.k_proj, self.v_proj)
        )
        update, reset = self.grep_linear(query).unflatten(-1, (2, 4)).sum(-1).sigmoid().split(1, -1)
        weight_BHQ1 = update * (reset * self.grep_a - 1) + 2
        mixed = F.scaled_dot_product_attention(query, key, value, attn_mask=weight_BHQ1 * bias_HQK)
        return self.out_proj(mixed.transpose(1, 2).flatten(2))


def bucket(distance: torch.Tensor, buckets: int, most: int) -> torch.Tensor:
    """Numbers from 0 for signed distances: half of all `buckets` for either direction, the nearest one a distance each.

    Further ones are the wider the further off they are, up to the distance `most`.
    """
    half, near, far = buckets // 2, buckets // 4, distance.abs()
    wide = near + (half - near) * (far.clamp(min=1) / near).log() / math.log(most / near)
    return half * (distance > 0) + torch.where(far < near, far, wide.long().clamp(max=half - 1))
