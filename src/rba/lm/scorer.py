"""Scoring many answers at little cost: what prompts share is computed once, gradients included.

1. The rows that all prompts begin with (the chat frame) pass the LLM once.
2. What follows them, up to where the assistant speaks, passes once for each *prompt*, however many answers it has.
3. The answers follow, those of similar length together.

The result equals one padded pass over every prompt with its answer (`rba.lm.scoring.token_logprobs`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch

from rba.lm.attention import short_attention
from rba.lm.cache import read_cache
from rba.lm.head import vocabulary_head
from rba.lm.likelihood import chosen_logprobs
from rba.lm.load import TextLM
from rba.lm.number_format import number_format
from rba.lm.recompute import recomputed
from rba.lm.scoring import backbone, response_states, right_pad

FULL_ENOUGH = {"cpu": 256, "cuda": 8192}
"""Tokens that keep a device busy: a GPU is through with fewer before it has been told what to do next."""
ALIKE = 0.8
BY_PLACE = frozenset({"gpt_neo", "mpt"})
"""Model types that count distances by where keys stand, whatever positions are told: pads between would count, too."""


def plan_forwards(lengths: Sequence[int], budget: int, enough: int = FULL_ENOUGH["cpu"]) -> list[list[int]]:
    """Indices in batches of similar length, longest first, each of at most `budget` padded tokens (or one row).

    A batch of `enough` tokens is closed before a row would waste more than a fifth in padding.
    """
    batches: list[list[int]] = []
    for i in sorted(range(len(lengths)), key=lambda i: (-lengths[i], i)):
        longest = lengths[batches[-1][0]] if batches else 0
        padded = longest * len(batches[-1]) if batches else 0
        fits = padded + longest <= budget and (padded < enough or lengths[i] >= ALIKE * longest)
        if batches and fits:
            batches[-1].append(i)
        else:
            batches.append([i])
    return batches


def shared_rows(prompts: Sequence[torch.Tensor]) -> int:
    """How many leading rows all prompts [T_i, D] have in common; at least one row of each is left over.

    None of those that carry a gradient: equal values would not make them the same function of the connector.
    """
    if len(prompts) < 2 or any(p.requires_grad for p in prompts):
        return 0
    shortest = min(len(p) for p in prompts) - 1
    same_BT = torch.stack([(p[:shortest] == prompts[0][:shortest]).all(-1) for p in prompts[1:]])
    return int(same_BT.all(0).long().cumprod(0).sum())


@dataclass(frozen=True)
class States:
    """What an answer's tokens were predicted from: the last hidden states, and the mean state of every layer.

    `layers_LD` (input embeddings and every block, no gradient) is there only if it was asked for.
    """

    last_RD: torch.Tensor
    layers_LD: torch.Tensor | None = None


def score(
    lm: TextLM, prompts: Sequence[torch.Tensor], answers: Sequence[Sequence[int]], budget: int
) -> list[torch.Tensor]:
    """Log-probs [R_i] (float32) of each answer given its prompt embeddings [T_i, D]; keeps the graph.

    The same tensor given for several answers is one prompt. At most `budget` padded tokens pass at once.
    """
    if not answers:
        return []
    states_ND = torch.cat([row.last_RD for row in answer_states(lm, prompts, answers, budget)])
    labels_N = torch.tensor([token for answer in answers for token in answer], device=lm.device)
    logp_N = chosen_logprobs(vocabulary_head(lm.model), states_ND, labels_N)
    return list(logp_N.split([len(answer) for answer in answers]))


def answer_states(
    lm: TextLM,
    prompts: Sequence[torch.Tensor],
    answers: Sequence[Sequence[int]],
    budget: int,
    layers: bool = False,
    recompute: bool = False,
) -> list[States]:
    """The hidden states that predict each answer's tokens, as `score` needs them, and on request those of `layers`.

    With `recompute`, blocks keep their inputs only and run again in the backward pass.
    """
    if not answers:
        return []
    found: list[Any] = [None] * len(answers)
    enough = FULL_ENOUGH.get(lm.device.type, FULL_ENOUGH["cpu"])
    if not keeps_everything(lm):
        for batch in plan_forwards([len(p) + len(a) for p, a in zip(prompts, answers)], budget, enough):
            with recomputed(backbone(lm.model), recompute):
                rows = _plain_states(lm, [prompts[i] for i in batch], [answers[i] for i in batch], layers)
            for i, row in zip(batch, rows):
                found[i] = row
        return found
    heads = {id(p): p for p in prompts}
    for part in _parts(list(heads.values()), budget, enough):
        prefix, number = _Prefix(lm, part, layers, recompute), {id(p): i for i, p in enumerate(part)}
        own = [i for i, p in enumerate(prompts) if id(p) in number]
        for batch in plan_forwards([len(answers[i]) for i in own], budget, enough):
            chosen = [own[i] for i in batch]
            rows = prefix.follow([number[id(prompts[i])] for i in chosen], [answers[i] for i in chosen])
            for i, row in zip(chosen, rows):
                found[i] = row
    return found


def _parts(prompts: list[torch.Tensor], budget: int, enough: int) -> list[list[torch.Tensor]]:
    """The prompts whose memory is held at a time: all of them where they fit the budget together."""
    lengths = [len(p) for p in prompts]
    if max(lengths) * len(lengths) <= budget:
        return [prompts]
    return [[prompts[i] for i in batch] for batch in plan_forwards(lengths, budget, enough)]


def _plain_states(
    lm: TextLM, prompts: Sequence[torch.Tensor], answers: Sequence[Sequence[int]], layers: bool
) -> list[States]:
    """The same with nothing shared, for models that cannot read keys and values behind pads, or keep more."""
    rows = response_states(lm.model, prompts, [list(answer) for answer in answers], layers)
    return [States(row[-1], _mean(row) if layers else None) for row in rows]


def _mean(layers: Sequence[torch.Tensor]) -> torch.Tensor:
    """Layers of states [R, D] -> their means [L, D] (float32), without a gradient."""
    return torch.stack([layer_RD.detach().float().mean(0) for layer_RD in layers])


def keeps_everything(lm: TextLM) -> bool:
    """Whether all layers attend to all that was before, by told positions: no sliding windows, no recurrent states."""
    from transformers import DynamicCache
    from transformers.cache_utils import DynamicLayer

    if lm.model.config.get_text_config().model_type in BY_PLACE:
        return False
    return all(type(layer) is DynamicLayer for layer in DynamicCache(config=lm.model.config).layers)


class _Prefix:
    """The LLM's memory of some prompts: their keys and values, right-padded, and the states each one ends in."""

    def __init__(self, lm: TextLM, prompts: Sequence[torch.Tensor], layers: bool, recompute: bool):
        from transformers import DynamicCache

        self.lm, self.decoder, self.layers, self.recompute = lm, backbone(lm.model), layers, recompute
        common = shared_rows(prompts)
        cache = DynamicCache(config=lm.model.config)
        if common:
            self._pass(inputs_embeds=prompts[0][None, :common], past_key_values=cache)
            cache.batch_repeat_interleave(len(prompts))
        rest_BTD, mask_BT = right_pad([p[common:] for p in prompts])
        self.mask_BT = torch.cat([mask_BT.new_ones(len(prompts), common), mask_BT], 1)
        positions = torch.arange(common, self.mask_BT.shape[1], device=lm.device)
        states = self._pass(
            inputs_embeds=rest_BTD,
            attention_mask=self.mask_BT,
            position_ids=positions[None].expand(len(prompts), -1),
            past_key_values=cache,
        )
        lengths_B = mask_BT.sum(1)
        self.last = [layer_BTD[torch.arange(len(prompts), device=lm.device), lengths_B - 1] for layer_BTD in states]
        self.length_B = lengths_B + common
        self.memory: list[Any] = [(layer.keys, layer.values) for layer in cache.layers]  # type: ignore[union-attr]

    def _pass(self, **inputs: Any) -> Sequence[torch.Tensor]:
        """The decoder's last hidden states (before them those of all layers, if wanted); the cache keeps the rest."""
        with short_attention(self.lm.device), recomputed(self.decoder, self.recompute):
            out = self.decoder(**inputs, use_cache=True, output_hidden_states=self.layers)
        return [*out.hidden_states[:-1], out.last_hidden_state] if self.layers else [out.last_hidden_state]

    def follow(self, owners: Sequence[int], answers: Sequence[Sequence[int]]) -> list[States]:
        """The states that predict each answer's tokens; answer i follows prompt `owners[i]`."""
        index_B = torch.tensor(owners, device=self.lm.device)
        first = [layer_BD[index_B] for layer_BD in self.last]
        width = max(len(a) for a in answers) - 1
        if not width:
            return [self._states([layer_BD[i, None] for layer_BD in first]) for i in range(len(answers))]
        cache = read_cache((k[index_B], v[index_B]) for k, v in self.memory)
        tails = [torch.tensor(a[:-1], dtype=torch.long, device=self.lm.device) for a in answers]
        tokens_BR, mask_BR = right_pad(tails)
        steps_R = torch.arange(width, device=self.lm.device)
        states = self._pass(
            input_ids=tokens_BR,
            attention_mask=torch.cat([self.mask_BT[index_B], mask_BR], 1),
            position_ids=self.length_B[index_B][:, None] + steps_R,
            past_key_values=cache,
        )
        return [
            self._states([torch.cat([f[i : i + 1], s[i, : len(a) - 1]]) for f, s in zip(first, states)])
            for i, a in enumerate(answers)
        ]

    def _states(self, rows: list[torch.Tensor]) -> States:
        return States(rows[-1], _mean(rows) if self.layers else None)


@contextmanager
def precision(lm: TextLM, dtype: str) -> Iterator[None]:
    """Autocast to bfloat16 where the run asks for it; the adapter's weights stay float32."""
    from peft.helpers import disable_input_dtype_casting

    half = number_format(dtype, lm.device) == torch.bfloat16
    # peft would widen every input of an adapter to float32, only for autocast to narrow it again
    with torch.autocast(lm.device.type, torch.bfloat16, enabled=half), disable_input_dtype_casting(lm.model, half):
        yield
