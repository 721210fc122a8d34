"""Log-probs of given responses, with full logits kept for response positions only."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch.utils.checkpoint import checkpoint

from rba.lm.attention import short_attention
from rba.lm.head import vocabulary_head

CHUNK = 512


def right_pad(rows: Sequence[torch.Tensor], value: float = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Rows [T_i, ...] -> right-padded batch [B, T, ...] and its mask [B, T] (long, 1 = real)."""
    batch = torch.nn.utils.rnn.pad_sequence(list(rows), batch_first=True, padding_value=value)
    lengths = torch.tensor([len(r) for r in rows], device=batch.device)
    return batch, (torch.arange(batch.shape[1], device=batch.device) < lengths[:, None]).long()


def response_logits(model: Any, prompts: Sequence[torch.Tensor], responses: Sequence[list[int]]) -> list[torch.Tensor]:
    """Logits [R_i, V] of every response token, given prompt embeddings [T_i, D]; keeps the graph."""
    return [vocabulary_head(model)(h[-1]) for h in response_states(model, prompts, responses)]


def token_logprobs(
    model: Any, prompts: Sequence[torch.Tensor], responses: Sequence[list[int]], temperature: float = 1.0
) -> list[torch.Tensor]:
    """Log-probs [R_i] (float32) of each response's tokens given its prompt's embeddings [T_i, D]; keeps the graph.

    The vocabulary projection runs over chunks of response positions and is recomputed in the backward pass, so logits
    of a whole batch never exist at once.
    """
    hidden = [states[-1] for states in response_states(model, prompts, responses)]
    flat_ND = torch.cat(hidden)
    labels_N = torch.tensor([t for r in responses for t in r], device=flat_ND.device)
    pieces = []
    for start in range(0, len(flat_ND), CHUNK):
        args = (vocabulary_head(model), flat_ND[start : start + CHUNK], labels_N[start : start + CHUNK], temperature)
        keep = torch.is_grad_enabled()
        pieces.append(checkpoint(_gather, *args, use_reentrant=False) if keep else _gather(*args))
    return list(torch.cat(pieces).split([len(r) for r in responses]))


def _gather(head: Any, hidden_ND: torch.Tensor, labels_N: torch.Tensor, temperature: float) -> torch.Tensor:
    logits_NV = head(hidden_ND).float() / temperature
    return logits_NV.gather(1, labels_N[:, None])[:, 0] - logits_NV.logsumexp(-1)


def response_states(
    model: Any, prompts: Sequence[torch.Tensor], responses: Sequence[list[int]], layers: bool = False
) -> list[Sequence[torch.Tensor]]:
    """Hidden states [R_i, D] at the positions that predict each response token: of the last layer, or of all layers."""
    embed = model.get_input_embeddings()
    rows = []
    for prompt, response in zip(prompts, responses):
        tail = torch.tensor(response[:-1], dtype=torch.long, device=prompt.device)
        rows.append(torch.cat([prompt, embed(tail).to(prompt.dtype)]))
    inputs_BTD, mask_BT = right_pad(rows)
    # with right padding and causal attention no real position sees a pad, so plain position ids are right
    with short_attention(inputs_BTD.device):
        out = backbone(model)(
            inputs_embeds=inputs_BTD, attention_mask=mask_BT, use_cache=False, output_hidden_states=layers
        )
    kept = [active(model, layer) for layer in out.hidden_states[:-1]] if layers else []
    states = [*kept, out.last_hidden_state]
    return [
        [layer_BTD[i, len(prompt) - 1 : len(prompt) - 1 + len(response)] for layer_BTD in states]
        for i, (prompt, response) in enumerate(zip(prompts, responses))
    ]


def active(model: Any, states: torch.Tensor) -> torch.Tensor:
    """A block's states [B, T, D]: of blocks that hand on several streams [S, B, T, D], the one that passes them."""
    return states[model.config.get_text_config().altup_active_idx] if states.ndim == 4 else states


def backbone(model: Any) -> Any:
    """The decoder under the vocabulary head, also beneath a PEFT wrapper."""
    inner = model.get_base_model() if hasattr(model, "get_base_model") else model
    decoder = inner.get_decoder() if hasattr(inner, "get_decoder") else inner
    if decoder is not inner and getattr(decoder, "lm_head", None) is not None:  # a whole causal LM stands in its place
        return backbone(decoder)
    # some classes of older releases of transformers do not find theirs and return themselves
    return getattr(inner, "model", inner) if decoder is inner else decoder
