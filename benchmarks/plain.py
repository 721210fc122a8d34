"""The plain path: nothing is shared. Transformers draws the answers, and each one is scored as a whole row."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import torch

from rba.lm.generation import Completion, left_pad
from rba.lm.load import TextLM
from rba.lm.sampling import Sampling
from rba.lm.scoring import backbone, right_pad


@torch.inference_mode()
def sample(lm: TextLM, prompts: Sequence[torch.Tensor], sampling: Sampling, group: int = 1, **more: Any) -> Any:
    """Tokens [prompts * group, steps] drawn by `model.generate`; `more` goes to it.

    It draws from what `rba.lm.generation.generate` draws from: `lm.end_ids` end an answer, none do if there are none.
    """
    inputs_BTD, mask_BT = left_pad(prompts)
    return lm.model.generate(
        inputs_embeds=inputs_BTD,
        attention_mask=mask_BT,
        do_sample=True,
        temperature=sampling.temperature,
        top_p=sampling.top_p,
        top_k=0,
        num_return_sequences=group,
        max_new_tokens=sampling.max_new_tokens,
        eos_token_id=lm.end_ids or None,
        pad_token_id=lm.tokenizer.pad_token_id,
        **more,
    )


def trim(lm: TextLM, row: Sequence[int]) -> list[int]:
    """A row of `sample` up to its end token."""
    ends = [i for i, token in enumerate(row) if token in lm.end_ids]
    return list(row[: ends[0] + 1] if ends else row)


def generate(
    lm: TextLM,
    prompts: Sequence[torch.Tensor],
    sampling: Sampling,
    seeds: Sequence[int],
    group: int = 1,
    batch_size: int = 64,
) -> list[list[Completion]]:
    """`sample` in the place of `rba.lm.generation.generate`; it gives no log-probs, which are all 0."""
    torch.manual_seed(seeds[0] % 2**31)
    answers = []
    step = max(1, batch_size // group)
    for start in range(0, len(prompts), step):
        rows = sample(lm, prompts[start : start + step], sampling, group).tolist()
        answers += [trim(lm, row) for row in rows]
    found = [Completion(ids, [0.0] * len(ids), ids[-1] in lm.end_ids, lm.tokenizer.decode(ids)) for ids in answers]
    return [found[i : i + group] for i in range(0, len(found), group)]


def chosen_logprobs(head: Any, states_ND: torch.Tensor, labels_N: torch.Tensor) -> torch.Tensor:
    """Log-probs [N] of `labels_N` out of logits that all exist at once, and stay for the backward pass."""
    logits_NV = head(states_ND).float()
    return logits_NV.gather(1, labels_N[:, None])[:, 0] - logits_NV.logsumexp(-1)


def score(lm: TextLM, prompts: Sequence[torch.Tensor], answers: Sequence[Sequence[int]]) -> list[torch.Tensor]:
    """Log-probs [R_i] of each answer given its prompt embeddings [T_i, D], in one padded batch; keeps the graph.

    The kernels are those that transformers chooses, not `rba.lm.attention`'s.
    """
    tails = [lm.embed(list(answer[:-1])).to(prompt.dtype) for prompt, answer in zip(prompts, answers)]
    inputs_BTD, mask_BT = right_pad([torch.cat(pair) for pair in zip(prompts, tails)])
    states_BTD = backbone(lm.model)(inputs_embeds=inputs_BTD, attention_mask=mask_BT, use_cache=False).last_hidden_state
    places = [slice(len(prompt) - 1, len(prompt) - 1 + len(answer)) for prompt, answer in zip(prompts, answers)]
    states_ND = torch.cat([row_TD[place] for row_TD, place in zip(states_BTD, places)])
    labels_N = torch.tensor([token for answer in answers for token in answer], device=lm.device)
    logp_N = chosen_logprobs(lm.model.get_output_embeddings(), states_ND, labels_N)
    return list(logp_N.split([len(answer) for answer in answers]))


@contextmanager
def sharing_nothing() -> Iterator[None]:
    """Make the trainer take the plain path."""
    with (
        patch("rba.alignment.sampler.generate", generate),
        patch("rba.lm.scorer.keeps_everything", lambda lm: False),
        patch("rba.alignment.policy.chosen_logprobs", chosen_logprobs),
    ):
        yield
