"""A real vLLM: requests, answers and log-probs by SmolLM2, transcriptions by Whisper, and what its refusals read like.

`RBA_TEST_VLLM=COMMAND` names it. Both models are served in float32, so that it has to say what they say here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from rba.alignment.objectives.settings import OpdSettings, RbaOpdSettings
from rba.alignment.settings import AlignSettings
from rba.alignment.token_teacher import load_token_teacher, own_teacher
from rba.errors import ModelError
from rba.evaluation.judge import load_judge
from rba.evaluation.winrate import preferences
from rba.lm import chat
from rba.lm.load import load_lm
from rba.lm.sampling import Sampling
from rba.models.load import load_speechlm
from rba.rewards.reward import load_reward
from rba.services.client import Client
from rba.services.service import parse_service
from rba.speech.engine import load_engine
from rba.speech.recogniser import load_recogniser
from rba.speech.speaker import Speaker
from rba.teachers.load import load_teacher
from rba.teachers.local import LocalTeacher
from rba.teachers.server import ServerTeacher
from services.vllm import NAMED, Vllm, vllm

NAME = "smollm2-135m-instruct"
TEXTS = ["What is the capital of France?", "How do I boil an egg?", "Name three colours."]
GOOD = ["It is Paris.", "Put it into boiling water for seven minutes.", "Red, green and blue."]
POOR = ["A zebra.", "No no no no no.", "Paris is large, 12 \u00e9t\u00e9s \u4e2d!"]
AS_NEAR = 5e-4  # nats between a token's log-prob there and here, both in float32

pytestmark = [pytest.mark.weights, pytest.mark.slow, NAMED]


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RBA_CACHE", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def folder(weights) -> str:
    return weights(NAME)


@pytest.fixture(scope="module")
def local(folder: str) -> LocalTeacher:
    return LocalTeacher(load_lm(folder, "float32"))


@pytest.fixture
def named(smollm_server: Vllm, folder: str) -> str:
    return smollm_server.named(f"&tokenizer={folder}")


def test_likelihoods_rewards_and_judges_of_log_probs_are_those_of_the_local_model(
    named: str, local: LocalTeacher
) -> None:
    served, texts, answers = load_teacher(named), TEXTS * 2, GOOD + POOR
    for system in ("", "Be brief."):
        there, here = (llm.told(system).log_likelihood(texts, answers) for llm in (served, local))
        assert [tokens for _, tokens in there] == [tokens for _, tokens in here]
        apart = [abs(a - b) / tokens for (a, tokens), (b, _) in zip(there, here)]
        assert max(apart) < AS_NEAR
    for name in ("likelihood", "likelihood-sum", "judge-likelihood"):
        rewards = [load_reward(name, teacher=llm, judge=llm) for llm in (served, local)]
        there, here = (reward(texts, answers, reference=[""] * len(texts)) for reward in rewards)
        assert there == pytest.approx(here, abs=5e-3) and len(set(here)) == len(here)
    for name in ("likelihood", "letter"):
        judges = [load_judge(name, teacher=lambda llm=llm: llm, judge=lambda llm=llm: llm) for llm in (served, local)]
        there, here = (preferences(judge, TEXTS, GOOD, POOR, [""] * 3).tolist() for judge in judges)
        assert there == here
    assert served.client.usage.cached > 0  # the likelihoods that the reward asked for again


def test_a_token_teacher_says_of_drawn_tokens_what_the_speechlms_own_llm_says(named: str) -> None:
    speechlm = load_speechlm("shipped", "float32")
    sampled = {"opd": OpdSettings(form="sampled"), "rba_opd": RbaOpdSettings(dense=0.0)}
    settings = AlignSettings(methods=("opd", "rba-opd"), dtype="float32", token_teacher=named, **sampled)
    lm = speechlm.lm
    answers = [chat.response_ids(lm.tokenizer, text, lm.end_ids[0]) for text in GOOD + POOR]
    answers += [answer[:-3] for answer in answers]  # one that was cut has no end
    there = load_token_teacher(speechlm, settings, "Be brief.").logprobs(TEXTS * 4, answers)
    here = own_teacher(speechlm, replace(settings, token_teacher=""), "Be brief.").logprobs(TEXTS * 4, answers)
    for one, other in zip(there, here):
        torch.testing.assert_close(one, other, atol=AS_NEAR, rtol=0)


def test_it_writes_requests_and_answers(named: str) -> None:
    teacher, sampling = load_teacher(named), Sampling(0.8, 0.95, 24)
    openers = ["How do I", "Tell me about", "", ""]
    requests = teacher.sample_queries([1, 2, 3, 4], None, sampling, openers)
    assert all(r.text.startswith(opener) and len(r.text) > len(opener) for r, opener in zip(requests, openers))
    assert len({r.text for r in requests}) == 4
    assert all(answer.text for answer in teacher.replies(TEXTS, sampling, [5, 6, 7]))
    assert load_teacher(named).sample_queries([4, 3, 2, 1], None, sampling, openers[::-1]) == requests[::-1]


def test_its_greedy_answers_marks_and_choices_are_those_of_the_local_model(named: str, local: LocalTeacher) -> None:
    served, greedy, nothing = load_teacher(named), Sampling(0.0, 1.0, 24), [""] * 3
    there, here = (llm.told("Be brief.").replies(TEXTS, greedy, [0] * 3) for llm in (served, local))
    assert there == here
    marks = [load_reward("judge", judge=llm)(TEXTS, GOOD, reference=nothing) for llm in (served, local)]
    assert marks[0] == marks[1]
    judges = [load_judge("pairwise", judge=llm) for llm in (served, local)]
    choices = [preferences(judge, TEXTS, GOOD, POOR, nothing) for judge in judges]
    np.testing.assert_array_equal(*choices)  # NaN where so small a model replies with neither letter
    assert judges[0].unread == judges[1].unread


def test_a_request_ends_where_the_header_of_another_turn_begins(
    named: str, local: LocalTeacher, monkeypatch: pytest.MonkeyPatch
) -> None:
    teacher = load_teacher(named)
    (header,) = chat.text_ids(local.lm.tokenizer, "<|im_start|>")
    post_all = teacher.client.post_all

    def driven(path: str, payloads: Sequence[dict[str, Any]], read: Any) -> Any:
        return post_all(path, [{**load, "logit_bias": {str(header): 100}} for load in payloads], read)

    monkeypatch.setattr(teacher.client, "post_all", driven)  # no other token can be drawn
    (asked,) = teacher.sample_queries([1], None, Sampling(0.8, 0.95, 24), ["What is tea?"])
    assert (asked.text, asked.finished) == ("What is tea?", True)
    assert teacher.client.usage.tokens_out == 1


@pytest.mark.parametrize(
    ("model", "request_", "says"),
    [
        ("other", TEXTS[0], r'no model "other" or no such endpoint: The model `other` does not exist'),
        ("policy", "word " * 600, r"status 400: This model's maximum context length is 512 tokens.*longer context"),
    ],
)
@pytest.mark.parametrize("use", ["answers", "log-probs"])
def test_what_it_refuses_is_one_line(named: str, model: str, request_: str, says: str, use: str) -> None:
    teacher = load_teacher(named.partition("#")[0] + f"#{model}")
    with pytest.raises(ModelError, match=says) as told:
        if use == "answers":
            teacher.answer([request_], Sampling(0.0, 1.0, 8), [0])
        else:
            teacher.log_likelihood([request_], ["Yes."])
    assert len(str(told.value).splitlines()) == 1
    assert teacher.client.usage.answers == 0


def test_a_server_of_llms_does_not_transcribe(smollm_server: Vllm) -> None:
    with pytest.raises(ModelError, match="no such endpoint"):
        load_recogniser(smollm_server.named()).transcribe([load_engine("hibari").say("Hello.", Speaker("a"), 1)])


def test_whisper_hears_there_what_it_hears_here_until_it_is_killed(weights, tmp_path: Path) -> None:
    engine = load_engine("hibari")
    plain = TEXTS + GOOD[::2]  # without numbers, which may be spelled either way
    waves = [engine.say(text, Speaker("hibari-0001"), 1) for text in plain]
    here = load_recogniser("whisper-base").transcribe(waves)
    with vllm(weights("whisper-base"), "asr", tmp_path / "log", "--dtype", "float32") as server:
        there = load_recogniser(server.named()).transcribe(waves)
        assert there == here and all(there)
        service = parse_service(server.named(f"&tokenizer={weights(NAME)}"))
        server.kill()
    assert load_recogniser(server.named()).transcribe(waves) == there  # what it has said is kept
    with pytest.raises(ModelError, match=r"failed 2 times: ConnectError.*check that the server runs"):
        ServerTeacher(service, client=Client(service, pause=0.01)).answer(["Hello."], Sampling(0.0, 1.0, 8), [0])
