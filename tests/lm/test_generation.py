"""Generation and scoring agree with the plain path, and with each other, row by row."""

import pytest
import torch

from rba.lm import chat
from rba.lm.generation import generate, left_pad
from rba.lm.sampling import Sampling
from rba.lm.scoring import response_logits, right_pad, token_logprobs
from rba.testing.tiny_lm import tiny_text_lm

TEXTS = ["Hi", "What is the capital of France?", "Tell me a story about a small dog, please."]


@pytest.fixture(scope="module")
def lm():
    return tiny_text_lm()


def prompts(lm):
    return [chat.prompt_ids(lm.tokenizer, text) for text in TEXTS]


def plain_logprobs(lm, prompt, response):
    """One unpadded row, full logits: the plain path."""
    with torch.no_grad():
        logits = lm.model(torch.tensor([prompt + response])).logits[0].float().log_softmax(-1)
    return logits[len(prompt) - 1 : -1].gather(1, torch.tensor(response)[:, None])[:, 0]


def test_greedy_answers_are_transformers_own(lm):
    ours = generate(lm, prompts(lm), Sampling(temperature=0, max_new_tokens=12), [0, 0, 0])
    for prompt, answer in zip(prompts(lm), ours):
        theirs = lm.model.generate(
            torch.tensor([prompt]), max_new_tokens=12, do_sample=False, eos_token_id=lm.end_ids, pad_token_id=0
        )[0, len(prompt) :]
        assert answer[0].ids == theirs.tolist()


def test_rollout_logprobs_are_scoring_logprobs(lm):
    answers = generate(lm, prompts(lm), Sampling(max_new_tokens=16), list(range(6)), group=2)
    embeds = [lm.embed(p) for p in prompts(lm) for _ in range(2)]
    flat = [a for group in answers for a in group]
    scored = token_logprobs(lm.model, embeds, [a.ids for a in flat])
    for answer, logp in zip(flat, scored):
        assert torch.allclose(logp, torch.tensor(answer.logprobs), atol=1e-5)


def test_scoring_equals_the_plain_path_with_any_padding(lm):
    responses = [[5, 6, 7], [9], [3, 4, 5, 6, 7, 8, 9, 10]]
    scored = token_logprobs(lm.model, [lm.embed(p) for p in prompts(lm)], responses)
    for prompt, response, logp in zip(prompts(lm), responses, scored):
        assert torch.allclose(logp, plain_logprobs(lm, prompt, response), atol=1e-5)


def test_scoring_gradients_equal_the_plain_path(lm):
    lm.model.requires_grad_(True)
    responses = [[5, 6, 7], [9], [3, 4, 5]]
    sum(logp.sum() for logp in token_logprobs(lm.model, [lm.embed(p) for p in prompts(lm)], responses)).backward()
    ours = {name: p.grad.clone() for name, p in lm.model.named_parameters()}
    lm.model.zero_grad()
    for prompt, response in zip(prompts(lm), responses):
        logits = lm.model(torch.tensor([prompt + response])).logits[0].float().log_softmax(-1)
        logits[len(prompt) - 1 : -1].gather(1, torch.tensor(response)[:, None]).sum().backward()
    for name, parameter in lm.model.named_parameters():
        assert torch.allclose(ours[name], parameter.grad, atol=1e-5), name
    lm.model.zero_grad()
    lm.model.requires_grad_(False)


def test_logits_are_those_the_logprobs_come_from(lm):
    responses = [[5, 6, 7], [9], [3]]
    embeds = [lm.embed(p) for p in prompts(lm)]
    logits = response_logits(lm.model, embeds, responses)
    for found, response, logp in zip(logits, responses, token_logprobs(lm.model, embeds, responses)):
        assert torch.allclose(found.log_softmax(-1).gather(1, torch.tensor(response)[:, None])[:, 0], logp, atol=1e-5)


def test_an_answer_does_not_depend_on_order_or_batch(lm):
    sampling, seeds = Sampling(max_new_tokens=10), [11, 22, 33]
    straight = generate(lm, prompts(lm), sampling, seeds)
    turned = generate(lm, prompts(lm)[::-1], sampling, seeds[::-1], batch_size=1)[::-1]
    assert [a[0].ids for a in straight] == [a[0].ids for a in turned]


def test_a_group_shares_its_prompt_yet_differs_by_seed(lm):
    group = generate(lm, prompts(lm)[:1], Sampling(max_new_tokens=10), [1, 2, 1], group=3)[0]
    assert group[0].ids == group[2].ids != group[1].ids


def test_an_end_token_ends_and_is_kept(lm):
    answers = generate(lm, prompts(lm)[:1], Sampling(max_new_tokens=400), list(range(8)), group=8)[0]
    for answer in answers:
        assert answer.finished == (answer.ids[-1] in lm.end_ids)
        assert not set(answer.ids[:-1]) & set(lm.end_ids)
        assert len(answer.ids) == len(answer.logprobs)


def test_seeds_must_match_the_answers(lm):
    with pytest.raises(ValueError, match="seeds"):
        generate(lm, prompts(lm), Sampling(), [1])


def test_padding_sides():
    rows = [torch.ones(2, 3), torch.ones(4, 3)]
    left, left_mask = left_pad(rows)
    right, right_mask = right_pad(rows)
    assert left_mask.tolist() == [[0, 0, 1, 1], [1, 1, 1, 1]]
    assert right_mask.tolist() == [[1, 1, 0, 0], [1, 1, 1, 1]]
    assert left[0, :2].abs().sum() == right[0, 2:].abs().sum() == 0


def test_the_frame_is_what_stands_around_the_words(lm):
    before, after = chat.frame(lm.tokenizer)
    ids = chat.prompt_ids(lm.tokenizer, "Hello there")
    assert ids[: len(before)] == before == chat.prequery_ids(lm.tokenizer)
    assert ids[-len(after) :] == after
    turns = [{"role": "user", "content": "Hello there"}]
    whole = lm.tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
    assert lm.tokenizer.decode(ids) == whole


def test_a_response_ends_with_the_end_token(lm):
    assert chat.response_ids(lm.tokenizer, "ok", lm.end_ids[0])[-1] == lm.end_ids[0]
    assert lm.end_ids[0] not in chat.response_ids(lm.tokenizer, "ok", None)
