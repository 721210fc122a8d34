"""Batched generation: one prefill per prompt, groups share it, finished rows leave the batch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from rba.lm.head import vocabulary_head
from rba.lm.load import TextLM
from rba.lm.sampling import Sampling, draw, uniforms
from rba.lm.scoring import backbone
from rba.progress import Progress

COMPACT_AT = 0.8


@dataclass(frozen=True)
class Completion:
    """One sampled answer: its text, token ids (end token included if `finished`) and untempered log-probs."""

    ids: list[int]
    logprobs: list[float]
    finished: bool
    text: str


@dataclass
class _Rows:
    """The rows still in the batch: which completion each one is, and the state of decoding."""

    owner_B: torch.Tensor
    token_B: torch.Tensor
    mask_BT: torch.Tensor
    position_B: torch.Tensor

    def keep(self, index: torch.Tensor) -> _Rows:
        return _Rows(self.owner_B[index], self.token_B[index], self.mask_BT[index], self.position_B[index])


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
    set of prompts of the call, never on their order.
    """
    if len(seeds) != len(prompts) * group:
        raise ValueError(f"{len(prompts)} prompts x {group} answers need as many seeds, got {len(seeds)}")
    answers: list[list[Completion]] = [[] for _ in prompts]
    for chosen in by_length([len(prompt) for prompt in prompts], seeds[::group], batch_size // group):
        embeds = [_embeds(lm, prompts[i]) for i in chosen]
        rows = _generate_batch(
            lm, embeds, sampling, [seeds[i * group + g] for i in chosen for g in range(group)], group
        )
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
    """Prefill the prompts, repeat the cache for the group, decode until every row has ended."""
    from rba.lm.cache import roomy_cache

    inputs_BTD, mask_BT = left_pad(embeds)
    positions_BT = (mask_BT.cumsum(-1) - 1).clamp(min=0)
    cache = roomy_cache(lm.model.config)
    decoder, head = backbone(lm.model), vocabulary_head(lm.model)
    states_BTD = decoder(
        inputs_embeds=inputs_BTD,
        attention_mask=mask_BT,
        position_ids=positions_BT,
        past_key_values=cache,
        use_cache=True,
    ).last_hidden_state
    if group > 1:
        cache.batch_repeat_interleave(group)
    # a contiguous matrix: on a strided [B, 1, D] slice the CPU's linear copies the whole head once a row
    logits_BV = head(states_BTD[:, -1].contiguous()).float().repeat_interleave(group, 0)
    uniform_BS = torch.from_numpy(uniforms(seeds, sampling.max_new_tokens)).to(lm.device)
    ends = torch.tensor(lm.end_ids, device=lm.device)
    ids: list[list[int]] = [[] for _ in seeds]
    logprobs: list[list[float]] = [[] for _ in seeds]
    finished = [False] * len(seeds)
    rows = _Rows(
        torch.arange(len(seeds), device=lm.device),
        torch.zeros(len(seeds), dtype=torch.long, device=lm.device),
        mask_BT.repeat_interleave(group, 0),
        positions_BT[:, -1].repeat_interleave(group, 0),
    )
    live_B = torch.ones(len(seeds), dtype=torch.bool, device=lm.device)
    for step in range(sampling.max_new_tokens):
        rows.token_B = draw(logits_BV, uniform_BS[rows.owner_B, step], sampling)
        chosen_B = logits_BV.gather(1, rows.token_B[:, None])[:, 0] - logits_BV.logsumexp(-1)
        ended_B = torch.isin(rows.token_B, ends)
        for owner, token, logprob, live, end in zip(
            rows.owner_B.tolist(), rows.token_B.tolist(), chosen_B.tolist(), live_B.tolist(), ended_B.tolist()
        ):
            if live:
                ids[owner].append(token)
                logprobs[owner].append(logprob)
                finished[owner] = end
        live_B = live_B & ~ended_B
        if not live_B.any() or step + 1 == sampling.max_new_tokens:
            break
        if live_B.float().mean() < COMPACT_AT:
            index = live_B.nonzero()[:, 0]
            rows, live_B = rows.keep(index), live_B[index]
            cache.batch_select_indices(index)
        rows.mask_BT = torch.cat([rows.mask_BT, rows.mask_BT.new_ones(len(rows.owner_B), 1)], 1)
        rows.position_B = rows.position_B + 1
        states_B1D = decoder(
            input_ids=rows.token_B[:, None],
            attention_mask=rows.mask_BT,
            position_ids=rows.position_B[:, None],
            past_key_values=cache,
            use_cache=True,
        ).last_hidden_state
        logits_BV = head(states_B1D[:, 0].contiguous()).float()
    return [_completion(lm, i, p, f) for i, p, f in zip(ids, logprobs, finished)]


def _completion(lm: TextLM, ids: list[int], logprobs: list[float], finished: bool) -> Completion:
    text = lm.tokenizer.decode(ids[:-1] if finished else ids, skip_special_tokens=True)
    return Completion(ids, logprobs, finished, text.strip())
