"""Rows remember their tokens in every precision, and the LLM reads them."""

from __future__ import annotations

import pytest
import torch
from releases import each

from rba.lm.scorer import score
from rba.models.worded import DIGITS, WordedEmbedding, as_wide, unworded, worded
from rba.testing.tiny_audio_lm import tiny_audio_lm


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_ids_come_back_from_rows_in_every_precision(dtype: torch.dtype):
    ids = torch.tensor([0, 1, 255, 256, 65_535, 65_536, 262_143, 2**24 - 1])
    rows = torch.randn(len(ids), 4).to(dtype)
    plain, again = unworded(worded(rows, ids))
    assert torch.equal(plain, rows) and torch.equal(again, ids)


def test_an_embedding_remembers_and_what_is_no_word_passes_for_the_pad():
    table = torch.nn.Embedding(300, 4)
    words = WordedEmbedding(table)(torch.tensor([[7, 299]]))
    assert torch.equal(unworded(words)[0], table(torch.tensor([[7, 299]]))) and words.shape == (1, 2, 4 + DIGITS)
    said = torch.randn(3, 4, requires_grad=True)
    plain, ids = unworded(as_wide(said, words[0], 5))
    assert torch.equal(plain, said) and ids.tolist() == [5, 5, 5] and plain.requires_grad
    assert as_wide(said, table(torch.tensor([7])), 5) is said


@pytest.mark.parametrize("name", each(["gemma3n", "gemma4"]))
def test_the_blocks_of_a_gemma_read_which_token_a_row_is(name: str):
    model = tiny_audio_lm(name)
    (prompt,) = model.text_prompts(["hello"])
    rows, ids = unworded(prompt)
    assert torch.equal(model.core.model.get_input_embeddings()(ids), rows)
    other = worded(rows, ids.roll(1))
    with torch.no_grad():
        one, two, same = score(model.lm, [prompt, other, worded(rows, ids)], [[40, 41, 2]] * 3, 512)
    assert (one - two).abs().max() > 0.01
    torch.testing.assert_close(one, same, atol=1e-5, rtol=0)
