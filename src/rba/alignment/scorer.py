"""Scoring many answers in few forward passes: similar lengths together, at most so many padded tokens at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from rba.lm.load import TextLM
from rba.lm.scoring import token_logprobs

FULL_ENOUGH = 256
ALIKE = 0.8


def plan_forwards(lengths: Sequence[int], budget: int) -> list[list[int]]:
    """Indices in batches of similar length, longest first, each of at most `budget` padded tokens (or one row).

    A batch that keeps the machine busy (256 tokens) is closed before a row would waste more than a fifth in padding.
    """
    batches: list[list[int]] = []
    for i in sorted(range(len(lengths)), key=lambda i: (-lengths[i], i)):
        longest = lengths[batches[-1][0]] if batches else 0
        padded = longest * len(batches[-1]) if batches else 0
        fits = padded + longest <= budget and (padded < FULL_ENOUGH or lengths[i] >= ALIKE * longest)
        if batches and fits:
            batches[-1].append(i)
        else:
            batches.append([i])
    return batches


def score(
    lm: TextLM, prompts: Sequence[torch.Tensor], answers: Sequence[Sequence[int]], budget: int
) -> list[torch.Tensor]:
    """Log-probs [R_i] (float32) of each answer given its prompt embeddings [T_i, D]; keeps the graph."""
    lengths = [len(prompt) + len(answer) for prompt, answer in zip(prompts, answers)]
    found: list[Any] = [None] * len(answers)
    for batch in plan_forwards(lengths, budget):
        rows = token_logprobs(lm.model, [prompts[i] for i in batch], [list(answers[i]) for i in batch])
        for i, row in zip(batch, rows):
            found[i] = row
    return found


def precision(lm: TextLM, dtype: str) -> torch.autocast:
    """Autocast to bfloat16 where the run asks for it; the adapter's weights stay float32."""
    return torch.autocast(lm.device.type, torch.bfloat16, enabled=dtype == "bfloat16")
