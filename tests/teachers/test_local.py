"""The teacher in process: pre-query header, seeds, stops, answers and likelihoods."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from rba.errors import ModelError
from rba.lm import chat
from rba.lm.generation import Completion
from rba.lm.sampling import Sampling
from rba.lm.scoring import token_logprobs
from rba.teachers import local
from rba.teachers.load import load_teacher
from rba.teachers.local import LocalTeacher
from rba.teachers.teacher import Reply
from rba.testing.tiny_lm import save_tiny_lm, tiny_text_lm

SAMPLING = Sampling(1.0, 0.95, 10)


@pytest.fixture(scope="module")
def teacher() -> LocalTeacher:
    return LocalTeacher(tiny_text_lm(), batch_size=4)


@pytest.mark.parametrize("system", [None, "You help cooks."])
def test_the_pre_query_header_is_how_every_prompt_begins(teacher, system):
    tokenizer = teacher.lm.tokenizer
    header = chat.prequery_ids(tokenizer, system)
    prompt = chat.prompt_ids(tokenizer, "What is tea?", system)
    assert prompt[: len(header)] == header
    assert tokenizer.decode(prompt[len(header) :]).startswith("What is tea?")
    assert tokenizer.decode(header).endswith("<|im_start|>user\n")


def test_the_teacher_is_given_the_header_and_nothing_else(teacher, monkeypatch):
    seen = {}

    def generate(lm, prompts, sampling, seeds, *args, **kwargs):
        seen.update(prompts=prompts, ends=lm.end_ids)
        return [[Completion([], [], True, "") for _ in seeds]]

    monkeypatch.setattr(local, "generate", generate)
    teacher.sample_queries([1, 2], None, SAMPLING)
    assert seen["prompts"] == [chat.prequery_ids(teacher.lm.tokenizer)]
    assert seen["ends"] == [2, 1]  # the end of turn, and the token that would open the assistant's header


@pytest.mark.parametrize(
    ("written", "finished", "reply"),
    [
        ("What is tea?", True, Reply("What is tea?", True)),
        ("What is tea and", False, Reply("What is tea and", False)),
        ("What is tea?\nassistant\nTea is a drink", False, Reply("What is tea?", True)),
        ("What is tea?\n\n### Assistant: Tea is a drink", False, Reply("What is tea?", True)),
        ("assistant\nTea is a drink", False, Reply("", True)),
        ("My assistant is late. What now?", True, Reply("My assistant is late. What now?", True)),
    ],
)
def test_a_request_ends_where_another_turn_begins(teacher, monkeypatch, written, finished, reply):
    ids = teacher.lm.tokenizer(written)["input_ids"] + ([2] if finished else [])
    monkeypatch.setattr(local, "generate", lambda *args, **kwargs: [[Completion(ids, [], finished, written)]])
    assert teacher.sample_queries([1], None, SAMPLING) == [reply]


def test_a_request_depends_on_its_own_seed_alone(teacher):
    seeds = [5, 9, 2, 7, 1, 8]
    texts = [r.text for r in teacher.sample_queries(seeds, None, SAMPLING)]
    assert len(set(texts)) == len(texts)
    assert [r.text for r in teacher.sample_queries(seeds[::-1], None, SAMPLING)] == texts[::-1]
    assert teacher.sample_queries([2], None, SAMPLING)[0].text == texts[2]


def test_first_words_are_part_of_the_request_and_stay_with_their_seed(teacher):
    first = ["How do", "", "Tell me about", "How do"]
    replies = teacher.sample_queries([1, 2, 3, 4], None, SAMPLING, first)
    assert all(r.text.startswith(f) for r, f in zip(replies, first))
    assert teacher.sample_queries([4, 3], None, SAMPLING, first[:1:-1]) == replies[:1:-1]


def test_answers_and_their_likelihood_come_under_the_teachers_own_turn(teacher):
    told = LocalTeacher(teacher.lm, batch_size=4, system="Be brief.")
    prompt, answer = chat.prompt_ids(teacher.lm.tokenizer, "Why?", "Be brief."), "Because."
    end = teacher.lm.end_ids[0]
    ids = chat.response_ids(teacher.lm.tokenizer, answer, end)
    wanted = token_logprobs(teacher.lm.model, [teacher.lm.embed(prompt)], [ids])[0].sum().item()
    assert told.log_likelihood(["Why?"], [answer])[0][0] == pytest.approx(wanted, abs=1e-4)
    assert told.log_likelihood(["Why?"], [answer]) != teacher.log_likelihood(["Why?"], [answer])
    assert told.replies(["Why?"], SAMPLING, [1]) != teacher.replies(["Why?"], SAMPLING, [1])


def test_the_system_turn_changes_what_is_asked(teacher):
    plain = teacher.sample_queries([1, 2], None, SAMPLING)
    assert teacher.sample_queries([1, 2], "You help cooks.", SAMPLING) != plain


def test_answers_follow_request_and_seed(teacher):
    texts = ["What is tea?", "Why?", "What is coffee?"]
    answers = teacher.answer(texts, SAMPLING, [1, 2, 3])
    assert teacher.answer(texts[::-1], SAMPLING, [3, 2, 1]) == answers[::-1]
    assert teacher.answer(texts, SAMPLING, [4, 5, 6]) != answers
    assert [r.text for r in teacher.replies(texts, SAMPLING, [1, 2, 3])] == answers


def test_a_greedy_answer_needs_no_seed(teacher):
    greedy = Sampling(0.0, 1.0, 6)
    assert teacher.answer(["Why?"], greedy, [1]) == teacher.answer(["Why?"], greedy, [2])


def test_likelihood_is_the_sum_over_answer_and_end_token(teacher):
    lm = teacher.lm
    prompt, answer = chat.prompt_ids(lm.tokenizer, "Why?"), [*lm.tokenizer("Because.")["input_ids"], 2]
    with torch.no_grad():
        logp_TV = lm.model(torch.tensor([prompt + answer])).logits[0].log_softmax(-1)
    places = range(len(prompt) - 1, len(prompt) + len(answer) - 1)
    expected = sum(float(logp_TV[t, token]) for t, token in zip(places, answer))
    total, tokens = teacher.log_likelihood(["Why?"], ["Because."])[0]
    assert total == pytest.approx(expected, abs=1e-3)
    assert tokens == len("Because.") + 1


def test_likelihoods_keep_the_order_of_the_requests(teacher):
    texts, responses = ["Why?", "What is tea?", "How?"], ["A long answer to this.", "", "So."]
    scores = teacher.log_likelihood(texts, responses)
    assert [n for _, n in scores] == [len(r) + 1 for r in responses]
    alone = [teacher.log_likelihood([t], [r])[0] for t, r in zip(texts, responses)]
    assert [s for s, _ in scores] == pytest.approx([s for s, _ in alone], abs=1e-3)
    assert teacher.log_likelihood([], []) == []


def test_a_teacher_is_loaded_by_its_folder(tmp_path):
    teacher = load_teacher(str(save_tiny_lm(tmp_path)))
    assert teacher.name == str(tmp_path)
    assert len(teacher.answer(["Why?"], Sampling(1, 1, 4), [1])) == 1


def test_an_unknown_teacher_is_named():
    with pytest.raises(ModelError, match="no-such-teacher"):
        load_teacher("no-such-teacher")


@pytest.mark.weights
def test_a_real_teacher_prefers_sense_to_nonsense(weights):
    teacher = load_teacher(weights("smollm2-135m-instruct"))
    question = "What is the capital of France?"
    (good, n), (bad, m) = teacher.log_likelihood(
        [question] * 2, ["The capital of France is Paris.", "The banana of elbow is seventeen."]
    )
    assert good / n > bad / m + 2
    queries = [r.text for r in teacher.sample_queries(range(6), None, Sampling(0.8, 0.95, 16), ["How do I"] * 6)]
    assert all(q.startswith("How do I ") for q in queries)


def test_a_teacher_told_otherwise_answers_as_one_made_so_on_the_same_llm(teacher):
    texts, seeds, brief = ["What is tea?", "Why?"], [1, 2], "Be brief."
    told, made = teacher.told(brief), LocalTeacher(teacher.lm, batch_size=4, system=brief)
    assert told.lm is teacher.lm and told.system == brief
    assert told.replies(texts, SAMPLING, seeds) == made.replies(texts, SAMPLING, seeds)
    assert told.log_likelihood(texts, ["So.", "Tea."]) == made.log_likelihood(texts, ["So.", "Tea."])
    assert told.log_likelihood(texts, ["So.", "Tea."]) != teacher.log_likelihood(texts, ["So.", "Tea."])
    assert told.told("").log_likelihood(texts, ["So.", "Tea."]) == teacher.log_likelihood(texts, ["So.", "Tea."])


def test_likelihoods_need_a_token_that_ends_a_turn():
    endless = LocalTeacher(replace(tiny_text_lm(), end_ids=[]))
    with pytest.raises(ModelError, match=r"no token that ends a turn \(tiny-0\); choose an instruction-tuned model"):
        endless.log_likelihood(["Why?"], ["So."])
