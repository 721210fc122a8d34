"""The connector: encoder features become embeddings of the LLM's own tokens, learnt by CTC without an LLM forward.

Each stacked frame scores the LLM's (centred, normalised) token embeddings and a blank. Blank frames are dropped; each
run of frames that agree on a token becomes one vector, the posterior-weighted mean of token embeddings.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import torch
import torch.nn.functional as F
from torch import nn

from rba.lm.attention import short_attention
from rba.lm.scoring import right_pad


@dataclass(frozen=True)
class ConnectorConfig:
    """Shape of a connector: `features` is the encoder's width, `stack` how many of its frames make one step."""

    features: int
    stack: int = 4
    width: int = 512
    layers: int = 2
    heads: int = 8
    kernel: int = 9
    dropout: float = 0.1

    def as_dict(self) -> dict[str, float]:
        """Plain values for JSON."""
        return asdict(self)


class Block(nn.Module):
    """Self-attention, depthwise convolution and MLP, each with pre-norm and residual."""

    def __init__(self, config: ConnectorConfig):
        super().__init__()
        width = config.width
        self.heads, self.dropout = config.heads, nn.Dropout(config.dropout)
        self.attn_norm, self.qkv, self.attn_out = (
            nn.LayerNorm(width),
            nn.Linear(width, 3 * width),
            nn.Linear(width, width),
        )
        self.conv_norm = nn.LayerNorm(width)
        self.conv = nn.Conv1d(width, width, config.kernel, padding=config.kernel // 2, groups=width)
        self.mlp_norm, self.mlp_in = nn.LayerNorm(width), nn.Linear(width, 4 * width)
        self.mlp_out = nn.Linear(4 * width, width)

    def forward(self, x_BTW: torch.Tensor, mask_BT: torch.Tensor) -> torch.Tensor:
        """States [B, T, W] -> states; `mask_BT` is True at real steps."""
        batch, steps, width = x_BTW.shape
        qkv = self.qkv(self.attn_norm(x_BTW)).view(batch, steps, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        with short_attention(x_BTW.device):
            mixed = F.scaled_dot_product_attention(qkv[0], qkv[1], qkv[2], attn_mask=mask_BT[:, None, None, :])
        x_BTW = x_BTW + self.dropout(self.attn_out(mixed.transpose(1, 2).reshape(batch, steps, width)))
        local = self.conv_norm(x_BTW) * mask_BT[..., None]
        x_BTW = x_BTW + self.dropout(F.silu(self.conv(local.transpose(1, 2)).transpose(1, 2)))
        return x_BTW + self.dropout(self.mlp_out(F.gelu(self.mlp_in(self.mlp_norm(x_BTW)))))


class Connector(nn.Module):
    """Features -> log-probs over [blank, token_ids...] -> prompt embeddings.

    `token_ids` are the LLM's tokens the connector may read; `table` [vocabulary, D] is the LLM's embedding matrix,
    which is kept outside the checkpoint.
    """

    ids_V: torch.Tensor
    table_VD: torch.Tensor
    keys_VD: torch.Tensor

    def __init__(self, config: ConnectorConfig, token_ids: Sequence[int], table: torch.Tensor):
        super().__init__()
        self.config = config
        ids_V = torch.tensor(list(token_ids), dtype=torch.long)
        chosen_VD = table.detach()[ids_V.to(table.device)].float().cpu()
        self.register_buffer("ids_V", ids_V)
        self._row = {token: row for row, token in enumerate(ids_V.tolist())}
        self.register_buffer("table_VD", chosen_VD, persistent=False)
        keys = F.normalize(chosen_VD - chosen_VD.mean(0), dim=1)
        self.register_buffer("keys_VD", keys, persistent=False)
        self.norm = nn.LayerNorm(config.features * config.stack)
        self.enter = nn.Linear(config.features * config.stack, config.width)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.layers))
        self.out_norm = nn.LayerNorm(config.width)
        self.out = nn.Linear(config.width, chosen_VD.shape[1])
        self.blank = nn.Linear(config.width, 1)
        self.bias_V = nn.Parameter(torch.zeros(len(ids_V)))
        self.log_scale = nn.Parameter(torch.tensor(3.0))

    def rows(self, tokens: Sequence[int]) -> list[int]:
        """Where LLM tokens stand in `ids_V`. Raises KeyError for one that the connector does not read."""
        return [self._row[token] for token in tokens]

    def stack(self, features: Sequence[torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
        """Features [T_i, F] -> padded stacked frames [B, T, stack * F] and their mask [B, T] (True = real)."""
        width = self.config.stack
        frames = [F.pad(f, (0, 0, 0, -len(f) % width)).reshape(-1, width * f.shape[1]) for f in features]
        batch_BTF, mask_BT = right_pad(frames)
        return batch_BTF, mask_BT.bool()

    def queries(self, frames_BTF: torch.Tensor, mask_BT: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Queries [B, T, D] and blank scores [B, T]; token v scores query . `keys_VD[v]` + `bias_V[v]`."""
        x_BTW = F.gelu(self.enter(self.norm(frames_BTF)))
        for block in self.blocks:
            x_BTW = block(x_BTW, mask_BT)
        x_BTW = self.out_norm(x_BTW)
        query_BTD = F.normalize(self.out(x_BTW).float(), dim=-1) * self.log_scale.exp()
        return query_BTD.to(x_BTW.dtype), self.blank(x_BTW)[..., 0]

    def forward(self, frames_BTF: torch.Tensor, mask_BT: torch.Tensor) -> torch.Tensor:
        """Log-probs [B, T, 1 + V] (float32); index 0 is the blank, index 1 + v stands for `ids_V[v]`."""
        query_BTD, blank_BT = self.queries(frames_BTF, mask_BT)
        scores_BTV = F.linear(query_BTD, self.keys_VD, self.bias_V)
        return torch.cat([blank_BT[..., None], scores_BTV], -1).float().log_softmax(-1)

    def logprobs(self, features: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        """Log-probs [T_i / stack, 1 + V] of each clip."""
        frames_BTF, mask_BT = self.stack(features)
        logp_BTV = self(frames_BTF.to(self.enter.weight.dtype), mask_BT)
        return [logp[:n] for logp, n in zip(logp_BTV, mask_BT.sum(1).tolist())]

    def read(self, logp_TV: torch.Tensor) -> list[int]:
        """The LLM tokens on the best CTC path."""
        best = logp_TV.argmax(-1).unique_consecutive()
        return self.ids_V[best[best > 0] - 1].tolist()

    def embed(self, logp_TV: torch.Tensor) -> torch.Tensor:
        """Embeddings [N, D] for the LLM, one a run of frames that agree on a token; differentiable in the posteriors.

        Silence (blanks only) becomes its single most likely token, so that no prompt is ever empty.
        """
        best_T = logp_TV.argmax(-1)
        if not (best_T > 0).any():
            frame = logp_TV[:, 1:].max(-1).values.argmax()
            return self._mean(logp_TV[frame : frame + 1])
        run_T = (best_T != best_T.roll(1)).long().cumsum(0)
        groups, inverse = run_T[best_T > 0].unique(return_inverse=True)
        probs = logp_TV[best_T > 0][:, 1:].exp()
        total = probs.new_zeros(len(groups), probs.shape[1]).index_add(0, inverse, probs)
        return (total / total.sum(-1, keepdim=True)) @ self.table_VD

    def _mean(self, logp_TV: torch.Tensor) -> torch.Tensor:
        return logp_TV[:, 1:].softmax(-1) @ self.table_VD
