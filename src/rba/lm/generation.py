"""Batched generation: one prefill per prompt, groups share it, finished rows leave the batch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn.functional import cross_entropy

from rba.lm.attention import short_attention
from rba.lm.head import vocabulary_head
from rba.lm.load import TextLM
from rba.lm.sampling import Sampling, draw, uniforms
from rba.lm.scoring import backbone
from rba.progress import Progress


@dataclass(frozen=True)
class Completion:
    """One sampled answer: its text, token ids (end token included if `finished`) and untempered log-probs."""

    ids: list[int]
    logprobs: list[float]
    finished: bool
    text: str


def left_pad(prompts: Sequence[torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
    """Embeddings [T_i, D] -> left-padded batch [B, T, D] and its mask [B, T] (long, 1 = real)."""
    width = max(len(p) for p in prompts)
    batch = prompts[0].new_zeros(len(prompts), width, prompts[0].shape[-1])
    mask = torch.zeros(len(prompts), width, dtype=torch.long, device=prompts[0].device)
    for i, prompt in enumerate(prompts):
        batch[i, width - len(prompt) :], mask[i, width - len(prompt) :] = prompt, 1
    return batch, mask


@torch.inference_mode()
def generate(
    lm: TextLM,
    prompts: Sequence[list[int] | torch.Tensor],
    sampling: Sampling,
    seeds: Sequence[int],
    group: int = 1,
    batch_size: int = 64,
    bar: Progress | None = None,
) -> list[list[Completion]]:
    """Sample `group` answers to each prompt (token ids, or embeddings [T, D]); `seeds` holds one seed per answer.

    Returns answers as [prompt][member]. Prompts are batched by length; an answer depends on its own seed and on the
    set of prompts of the call, never on their order. On a GPU half precision may round otherwise where memory is short
    (`rba.lm.replay`).
    """
    if len(seeds) != len(prompts) * group:
        raise ValueError(f"{len(prompts)} prompts x {group} answers need as many seeds, got {len(seeds)}")
    answers: list[list[Completion]] = [[] for _ in prompts]
    for chosen in by_length([len(prompt) for prompt in prompts], seeds[::group], batch_size // group):
        embeds = [_embeds(lm, prompts[i]) for i in chosen]
        own = [seeds[i * group + g] for i in chosen for g in range(group)]
        with short_attention(lm.device):
            rows = _generate_batch(lm, embeds, sampling, own, group)
        for k, i in enumerate(chosen):
            answers[i] = rows[k * group : (k + 1) * group]
        if bar:
            bar.advance(len(chosen))
    return answers


def by_length(lengths: Sequence[int], seeds: Sequence[int], size: int) -> list[list[int]]:
    """Batches of prompts by index, at most `size` (and at least one) in each, the shortest first, ties by seed."""
    order = sorted(range(len(lengths)), key=lambda i: (lengths[i], seeds[i]))
    step = max(1, size)
    return [order[start : start + step] for start in range(0, len(order), step)]


def _embeds(lm: TextLM, prompt: list[int] | torch.Tensor) -> torch.Tensor:
    return prompt if isinstance(prompt, torch.Tensor) else lm.embed(prompt)


def _generate_batch(
    lm: TextLM, embeds: list[torch.Tensor], sampling: Sampling, seeds: list[int], group: int
) -> list[Completion]:
    """Prefill the prompts, decode the answers of their groups until every row has ended."""
    from rba.lm.cache import roomy_cache
    from rba.lm.decoding import Decoding

    inputs_BTD, mask_BT = left_pad(embeds)
    positions_BT = (mask_BT.cumsum(-1) - 1).clamp(min=0)
    cache = roomy_cache(lm.model.config)
    states_BTD = backbone(lm.model)(
        inputs_embeds=inputs_BTD,
        attention_mask=mask_BT,
        position_ids=positions_BT,
        past_key_values=cache,
        use_cache=True,
    ).last_hidden_state
    # a contiguous matrix, as in `rba.lm.stepwise`
    logits_BV = vocabulary_head(lm.model)(states_BTD[:, -1].contiguous()).float().repeat_interleave(group, 0)
    uniform_BS = torch.from_numpy(uniforms(seeds, sampling.max_new_tokens)).to(lm.device)
    ends = torch.tensor(lm.end_ids, device=lm.device)
    ids: list[list[int]] = [[] for _ in seeds]
    logprobs: list[list[float]] = [[] for _ in seeds]
    finished = [False] * len(seeds)
    rows = list(range(len(seeds)))  # those in the batch; ended ones stay until enough have ended
    decoding: Decoding | None = None
    for step in range(sampling.max_new_tokens):
        token_B = draw(logits_BV, uniform_BS[rows, step], sampling)
        chosen_B = -cross_entropy(logits_BV, token_B, reduction="none")
        drawn = zip(rows, token_B.tolist(), chosen_B.tolist(), torch.isin(token_B, ends).tolist())
        for row, token, logprob, ended in drawn:
            if not finished[row]:
                ids[row].append(token)
                logprobs[row].append(logprob)
                finished[row] = ended
        live = [place for place, row in enumerate(rows) if not finished[row]]
        left = sampling.max_new_tokens - step - 1
        if not live or not left:
            break
        decoding = decoding or Decoding(lm, cache, mask_BT, positions_BT[:, -1], left, group)
        if (index_B := decoding.compact(live, len(rows))) is not None:
            rows, token_B = [rows[place] for place in live], token_B[index_B]
        logits_BV = decoding.logits(token_B)
    return [completion(lm.tokenizer, i, p, f) for i, p, f in zip(ids, logprobs, finished)]


def completion(tokenizer: Any, ids: list[int], logprobs: list[float], finished: bool) -> Completion:
    """An answer of these tokens, with its text."""
    text = tokenizer.decode(ids[:-1] if finished else ids, skip_special_tokens=True)
    return Completion(ids, logprobs, finished, text.strip())
