"""A tiny Llama that writes requests in English: a random walk over words, without training and without a download."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rba.lm import chat
from rba.lm.load import TextLM
from rba.testing.tiny_lm import tiny_tokenizer

_SPACE = "\u0120"  # how a byte-level tokenizer writes a space
REQUESTS = (
    ("Do",),
    ("I", "we"),
    ("paint", "repair", "carry", "polish", "borrow", "measure", "decorate", "sell", "lift", "wash"),
    ("a",),
    ("violin", "ladder", "kettle", "cactus", "statue", "bicycle", "blanket", "pumpkin", "lantern", "canoe", "carpet"),
    ("again", "before", "here", "myself", "now", "today"),
    ("?",),
)
"""A walk, English to those who ask for it, and not so much that it could be no translation (`rba.synthesis.language`).

Each word is followed by one of the next line, the last by the end, any other token by one of the first."""
MARKS = (("4", "5", "6", "7"),)
"""The walk of a judge that writes a mark."""
_SCALE = 3.0  # nats between what may follow and what may not, over the norm of a state


def tiny_writer(seed: int = 0, walk: Sequence[Sequence[str]] = REQUESTS) -> TextLM:
    """The LLM: whatever it is asked, it writes along the `walk`, such as "Do I paint a violin today?".

    Its blocks add nothing to what its embeddings say: the next token is a function of the last alone.
    """
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    written = [[_SPACE + word if word.isalpha() else word for word in line] for line in walk]
    tokenizer = tiny_tokenizer([word for line in written for word in line if len(word) > 1])
    places = [tokenizer.convert_tokens_to_ids(line) for line in written]
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=8192,
        tie_word_embeddings=False,
        bos_token_id=1,
        eos_token_id=2,
        pad_token_id=0,
    )
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(seed)
        model: Any = LlamaForCausalLM(config).eval().requires_grad_(False)
        for block in model.model.layers:
            block.self_attn.o_proj.weight.zero_()
            block.mlp.down_proj.weight.zero_()
        _teach(model, places, tokenizer.eos_token_id)
    return TextLM(model, tokenizer, f"tiny-writer-{seed}", chat.end_ids(tokenizer, model))


def _teach(model: Any, places: list[list[int]], end: int) -> None:
    """Give every line of the walk a direction of its own, and each token the direction that leads to it."""
    states_VD, heads_VD = model.get_input_embeddings().weight, model.get_output_embeddings().weight
    states_VD.mul_(5)  # as random as the rest, next to the directions
    states_VD[:, : len(places) + 1] = 0
    states_VD[:, 0] = 1
    for direction, line in enumerate(places, 1):
        states_VD[line, 0] = 0
        states_VD[line, direction] = 1
    for direction, line in enumerate([*places, [end]]):
        heads_VD[line, direction] += _SCALE


def save_tiny_writer(folder: str | Path, seed: int = 0, walk: Sequence[Sequence[str]] = REQUESTS) -> Path:
    """Save it as a checkpoint folder that `load_lm` and `load_teacher` open."""
    lm = tiny_writer(seed, walk)
    lm.model.save_pretrained(folder)
    lm.tokenizer.save_pretrained(folder)
    return Path(folder)
