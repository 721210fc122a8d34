"""A tiny random Llama with a byte-level tokenizer and a chat template, made in memory."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rba.lm import chat
from rba.lm.load import TextLM

SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
CHAT_TEMPLATE = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


def spelled(words: Sequence[str]) -> list[tuple[str, str]]:
    """The merges by which a byte-pair tokenizer makes a token of each word and of each of its beginnings."""
    return list(dict.fromkeys((word[:i], word[i]) for word in words for i in range(1, len(word))))


def tiny_tokenizer(words: Sequence[str] = ()) -> Any:
    """One token per byte after three special tokens: 259 ids, any text survives the round trip.

    `words` (of ASCII letters) get tokens of their own, as do all their beginnings.
    """
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: i for i, token in enumerate([*SPECIAL, *letters])}
    merges = spelled(words)
    vocabulary |= {left + right: len(vocabulary) + i for i, (left, right) in enumerate(merges)}
    core = Tokenizer(models.BPE(vocabulary, merges))
    core.add_special_tokens([AddedToken(token, special=True) for token in SPECIAL])
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=core, eos_token=SPECIAL[2], pad_token=SPECIAL[0], additional_special_tokens=[SPECIAL[1]]
    )
    tokenizer.chat_template, tokenizer.padding_side = CHAT_TEMPLATE, "left"
    return tokenizer


def tiny_text_lm(seed: int = 0, hidden: int = 32, layers: int = 2, words: Sequence[str] = ()) -> TextLM:
    """A random float32 Llama ready to generate; the same weights for the same seed, the global generator untouched."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    tokenizer = tiny_tokenizer(words)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=hidden,
        intermediate_size=2 * hidden,
        num_hidden_layers=layers,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=1024,
        tie_word_embeddings=True,
        bos_token_id=1,
        eos_token_id=2,
        pad_token_id=0,
        initializer_range=0.15,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = LlamaForCausalLM(config).eval().requires_grad_(False)
    return TextLM(model, tokenizer, f"tiny-{seed}", chat.end_ids(tokenizer, model))


def save_tiny_lm(folder: str | Path, seed: int = 0, words: Sequence[str] = ()) -> Path:
    """Save the tiny LM as a checkpoint folder that `load_lm` and `load_teacher` open."""
    lm = tiny_text_lm(seed, words=words)
    lm.model.save_pretrained(folder)
    lm.tokenizer.save_pretrained(folder)
    return Path(folder)
