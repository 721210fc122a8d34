"""ArmoRM (Wang et al. 2024, "Interpretable Preferences via Multi-Objective Reward Modeling and Mixture-of-Experts").

A Llama with 19 linear rewards r(x, y), read at the end of the answer, and a gate g(x), a softmax read at the end of the
request: score = sum_k g_k(x) (r(x, y) M)_k, where the matrix M takes the length out of the rewards. The layout is that
of `RLHFlow/ArmoRM-Llama3-8B-v0.1`, which `ArmoRM.from_pretrained` opens.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn
from transformers import LlamaModel, LlamaPreTrainedModel

ARCHITECTURE = "LlamaForRewardModelWithGating"
OBJECTIVES = 19


def is_armorm(config: Any) -> bool:
    """Whether a config names ArmoRM's architecture: the published name, or that of the class below."""
    return bool({ARCHITECTURE, ArmoRM.__name__} & set(config.architectures or ()))


class Gate(nn.Module):
    """An MLP with ReLU and a tempered softmax over the objectives, times a learned scale."""

    def __init__(self, width: int, hidden: int, depth: int, objectives: int, temperature: float):
        super().__init__()
        sizes = [width, *[hidden] * depth, objectives]
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in zip(sizes, sizes[1:]))
        self.logit_scale = nn.Parameter(torch.ones(1))
        self.temperature = temperature

    def forward(self, state_BD: torch.Tensor) -> torch.Tensor:
        """Weights [B, K] (float32) of the objectives for the states [B, D] of requests."""
        for layer in self.layers[:-1]:
            state_BD = layer(state_BD).relu()
        logits_BK = self.layers[-1](state_BD).float()
        return (logits_BK / self.temperature).softmax(-1) * self.logit_scale.float()


class ArmoRM(LlamaPreTrainedModel):
    """The reward model; names of its weights are those of the published checkpoint."""

    def __init__(self, config: Any):
        super().__init__(config)
        objectives = getattr(config, "num_objectives", OBJECTIVES)
        self.model = LlamaModel(config)
        self.regression_layer = nn.Linear(config.hidden_size, objectives, bias=False)
        self.reward_transform_matrix = nn.Parameter(torch.eye(objectives), requires_grad=False)
        self.gating = Gate(
            config.hidden_size,
            getattr(config, "gating_hidden_dim", 1024),
            getattr(config, "gating_n_hidden", 3),
            objectives,
            getattr(config, "gating_temperature", 10),
        )
        self.post_init()

    def forward(self, ids_BT: torch.Tensor, mask_BT: torch.Tensor, request_end_B: torch.Tensor) -> torch.Tensor:
        """Scores [B] (float32) of right-padded dialogues; `request_end_B` is where the request's end of turn stands."""
        states_BTD = self.model(input_ids=ids_BT, attention_mask=mask_BT, use_cache=False).last_hidden_state
        row_B = torch.arange(len(ids_BT), device=ids_BT.device)
        rewards_BK = self.regression_layer(states_BTD[row_B, mask_BT.sum(-1) - 1]).float()
        adjusted_BK = rewards_BK @ self.reward_transform_matrix.float()
        return (self.gating(states_BTD[row_B, request_end_B]) * adjusted_BK).sum(-1)


def last_occurrence(row: Sequence[int], pattern: Sequence[int]) -> int:
    """Where `pattern` last begins in `row`. Raises ValueError if it does not occur.

    The pattern runs from the user's end of turn to where the assistant begins: its first token is the last to depend on
    the request alone.
    """
    for i in range(len(row) - len(pattern), -1, -1):
        if list(row[i : i + len(pattern)]) == list(pattern):
            return i
    raise ValueError("the dialogue has no assistant's turn")
