"""Which token ends a turn, and what a token looks like to the LLM."""

from __future__ import annotations

import pytest
import torch

from rba.lm import chat
from rba.lm.load import TextLM
from rba.testing.tiny_lm import tiny_text_lm, tiny_tokenizer

PLAIN = "{% for m in messages %}{{ m['role'] + ': ' + m['content'] + '\n' }}{% endfor %}"


def test_an_answer_ends_as_the_template_ends_it_whatever_ends_a_text():
    tokenizer = tiny_tokenizer()
    tokenizer.eos_token = "<|endoftext|>"
    ends = chat.end_ids(tokenizer)
    assert tokenizer.convert_ids_to_tokens(ends) == ["<|im_end|>", "<|endoftext|>"]


@pytest.mark.parametrize("template", [PLAIN, "{{ raise_exception('no') }}"])
def test_a_template_that_ends_no_turn_leaves_the_tokenizers_end(template: str):
    tokenizer = tiny_tokenizer()
    tokenizer.chat_template = template
    assert chat.end_ids(tokenizer) == [tokenizer.eos_token_id]


def gemma() -> TextLM:
    """A random LLM of a kind that scales the embeddings it looks up."""
    from transformers import Gemma3ForCausalLM, Gemma3TextConfig

    tokenizer = tiny_tokenizer()
    sizes = {"hidden_size": 64, "intermediate_size": 64, "num_hidden_layers": 1, "head_dim": 16}
    heads = {"num_attention_heads": 2, "num_key_value_heads": 1}
    model = Gemma3ForCausalLM(Gemma3TextConfig(vocab_size=len(tokenizer), pad_token_id=0, **sizes, **heads)).eval()
    return TextLM(model, tokenizer, "gemma")


@pytest.mark.parametrize("make", [tiny_text_lm, gemma])
def test_the_table_holds_what_the_llm_reads(make):
    lm = make()
    table = lm.table()
    assert not table.requires_grad
    torch.testing.assert_close(table[[5, 9, 2]], lm.embed([5, 9, 2]).detach(), atol=0, rtol=0)
    scale = float(table.norm() / lm.model.get_input_embeddings().weight.detach().norm())
    assert scale == pytest.approx(8.0 if make is gemma else 1.0, rel=1e-3)
