"""Scoring with shared prefixes equals plain scoring, whatever else is in the batch."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoModelForCausalLM, GPTNeoConfig, MptConfig

from rba.lm.load import TextLM
from rba.lm.scorer import plan_forwards, score, shared_rows
from rba.lm.scoring import backbone, token_logprobs
from rba.models.adapters import adapter_parameters, add_lora
from rba.models.compact import CompactSpeechLM
from rba.testing.tiny_lm import tiny_tokenizer
from rba.testing.tiny_speechlm import tiny_speechlm

ANSWERS = [[5, 6, 7, 2], [9], [10, 11, 12, 13, 14, 15, 2], [20, 21], [30, 31, 32]]


@pytest.fixture
def speechlm() -> CompactSpeechLM:
    """A fresh tiny SpeechLM."""
    return tiny_speechlm()


@pytest.fixture
def adapted(speechlm: CompactSpeechLM) -> CompactSpeechLM:
    """The tiny SpeechLM with an adapter that does something."""
    add_lora(speechlm, 4, 8, seed=1)
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in adapter_parameters(speechlm):
            parameter.normal_(0, 0.2)
    return speechlm


def five_prompts(speechlm: CompactSpeechLM) -> list[torch.Tensor]:
    """Prompts for five answers: two of them answer the same, two another."""
    one, two, three = speechlm.text_prompts(["hello there", "what is a tree?", "hello moon and sun"])
    return [one, two, two, three, one]


def test_log_probs_and_gradients_equal_the_plain_way(adapted: CompactSpeechLM):
    prompts, weights = five_prompts(adapted), torch.arange(1.0, 18.0)
    found = []
    for way in (
        lambda: score(adapted.lm, prompts, ANSWERS, 64),
        lambda: token_logprobs(adapted.lm.model, prompts, ANSWERS),
    ):
        adapted.lm.model.zero_grad()
        logp = torch.cat(way())
        (logp * weights).sum().backward()
        found.append((logp.detach(), torch.cat([p.grad.flatten() for p in adapter_parameters(adapted)])))
    (shared, shared_grad), (plain, plain_grad) = found
    torch.testing.assert_close(shared, plain, atol=1e-5, rtol=0)
    # as a whole: single weights have gradients of up to 200, whose rounding differences reach 2e-4
    assert (shared_grad - plain_grad).norm() < 1e-5 * plain_grad.norm()


def test_no_pass_takes_more_than_the_budget(adapted: CompactSpeechLM, monkeypatch: pytest.MonkeyPatch):
    prompts = adapted.text_prompts([f"tell me about number {i}{' please' * (i % 3)}" for i in range(12)])
    seen, decoder = [], type(backbone(adapted.lm.model))
    forward = decoder.forward

    def counted(self, input_ids=None, inputs_embeds=None, **rest):
        rows = input_ids if inputs_embeds is None else inputs_embeds
        seen.append(rows.shape[:2])
        return forward(self, input_ids=input_ids, inputs_embeds=inputs_embeds, **rest)

    whole = score(adapted.lm, prompts, [[5, 6, 2]] * 12, 100_000)
    monkeypatch.setattr(decoder, "forward", counted)
    parts = score(adapted.lm, prompts, [[5, 6, 2]] * 12, 100)
    assert max(batch * length for batch, length in seen) <= 100 and len(seen) > 4
    for row, same in zip(parts, whole, strict=True):
        torch.testing.assert_close(row, same, atol=1e-5, rtol=0)


@pytest.mark.parametrize("chosen", [[0], [2, 3], [4, 1, 0], [3, 3]])
def test_an_answers_log_probs_do_not_depend_on_its_batch(adapted: CompactSpeechLM, chosen: list[int]):
    prompts = five_prompts(adapted)
    together = score(adapted.lm, prompts, ANSWERS, 64)
    apart = score(adapted.lm, [prompts[i] for i in chosen], [ANSWERS[i] for i in chosen], 8)
    for i, row in zip(chosen, apart):
        torch.testing.assert_close(row, together[i], atol=1e-5, rtol=0)


def test_gradients_reach_prompts_that_carry_them(adapted: CompactSpeechLM):
    found = []
    for way in (
        lambda p: score(adapted.lm, p, ANSWERS[:2], 64),
        lambda p: token_logprobs(adapted.lm.model, p, ANSWERS[:2]),
    ):
        prompts = [p.detach().requires_grad_() for p in five_prompts(adapted)[:2]]
        torch.cat(way(prompts)).sum().backward()
        found.append(torch.cat([p.grad for p in prompts]))
    torch.testing.assert_close(found[0], found[1], atol=1e-5, rtol=1e-5)


def test_a_model_with_sliding_windows_takes_the_plain_way(adapted: CompactSpeechLM, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("rba.lm.scorer.keeps_everything", lambda lm: False)
    prompts = five_prompts(adapted)
    plain = token_logprobs(adapted.lm.model, prompts, ANSWERS)
    torch.testing.assert_close(torch.cat(score(adapted.lm, prompts, ANSWERS, 64)), torch.cat(plain))


BY_PLACE = [
    MptConfig(vocab_size=259, d_model=32, n_layers=2, n_heads=4, max_seq_len=256, initializer_range=0.2),
    GPTNeoConfig(
        vocab_size=259,
        hidden_size=32,
        num_layers=2,
        num_heads=4,
        attention_types=[[["global", "local"], 1]],
        window_size=16,
        initializer_range=0.2,
    ),
]


@pytest.mark.parametrize("config", BY_PLACE, ids=lambda config: config.model_type)
def test_prompts_of_other_length_move_no_token_of_an_llm_that_counts_by_place(config):
    torch.manual_seed(0)
    lm = TextLM(AutoModelForCausalLM.from_config(config).eval(), tiny_tokenizer(), config.model_type, [2])
    short, long = lm.embed([9, 8]), lm.embed(list(range(10, 34)))
    with torch.no_grad():
        alone = token_logprobs(lm.model, [short], ANSWERS[:1])[0]
        torch.testing.assert_close(score(lm, [short, long], ANSWERS[:2], 4096)[0], alone, atol=1e-4, rtol=0)


def test_the_chat_frame_is_shared_and_a_row_is_left_over():
    frame, tail = torch.zeros(3, 4), torch.ones(1, 4)
    assert shared_rows([torch.cat([frame, tail]), torch.cat([frame, 2 * tail])]) == 3
    assert shared_rows([frame, frame]) == 2
    assert shared_rows([frame]) == 0
    assert shared_rows([frame, frame.clone().requires_grad_()]) == 0


@given(st.lists(st.integers(1, 300), max_size=40), st.integers(1, 2000), st.integers(1, 10_000))
def test_every_answer_passes_once_within_the_budget(lengths: list[int], budget: int, enough: int):
    batches = plan_forwards(lengths, budget, enough)
    assert sorted(i for batch in batches for i in batch) == list(range(len(lengths)))
    for batch in batches:
        assert len(batch) == 1 or len(batch) * max(lengths[i] for i in batch) <= budget
