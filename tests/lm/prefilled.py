"""Prompts of several lengths that have passed an LLM, ready for what comes after them, and what is to come the same."""

from __future__ import annotations

import pytest
import torch
from transformers import DynamicCache

from rba.lm.cache import roomy_cache
from rba.lm.generation import Completion, left_pad
from rba.lm.load import TextLM
from rba.lm.scoring import backbone

PROMPTS = [[5, 6, 7], [8, 9], [4] * 9, [3, 5, 8, 13]]


def prefilled(lm: TextLM) -> tuple[DynamicCache, torch.Tensor, torch.Tensor]:
    """Their cache, their mask [P, T] and the position [P] of each one's last token."""
    inputs_BTD, mask_BT = left_pad([lm.embed(prompt) for prompt in PROMPTS])
    positions_BT, cache = (mask_BT.cumsum(-1) - 1).clamp(min=0), roomy_cache(lm.model.config)
    with torch.no_grad():
        backbone(lm.model)(
            inputs_embeds=inputs_BTD, attention_mask=mask_BT, position_ids=positions_BT, past_key_values=cache
        )
    return cache, mask_BT, positions_BT[:, -1]


def same(ours: list[list[Completion]], theirs: list[list[Completion]]) -> None:
    """Assert that two ways have drawn the same answers."""
    pairs = [(mine, other) for a, b in zip(ours, theirs, strict=True) for mine, other in zip(a, b, strict=True)]
    assert [mine.ids for mine, _ in pairs] == [other.ids for _, other in pairs]
    for mine, other in pairs:
        assert mine.logprobs == pytest.approx(other.logprobs, abs=1e-4) and mine.finished == other.finished
