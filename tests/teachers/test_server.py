"""The served teacher against a server around a tiny model: what it asks, and that it agrees with the local one."""

from __future__ import annotations

import json

import pytest
from services.fault_server import FaultServer, echo, serving
from services.scoring import scores

from rba.errors import ModelError, RecipeError
from rba.lm import chat
from rba.lm.sampling import Sampling
from rba.rewards.reward import load_reward
from rba.services.client import Client
from rba.services.service import Service, parse_service
from rba.teachers.load import load_teacher
from rba.teachers.local import LocalTeacher
from rba.teachers.server import ServerTeacher
from rba.teachers.teacher import Reply
from rba.testing.tiny_lm import save_tiny_lm, tiny_text_lm

SAMPLING = Sampling(0.7, 0.9, 12)


@pytest.fixture(scope="module")
def lm():
    return tiny_text_lm()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return save_tiny_lm(tmp_path_factory.mktemp("lm"))


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("RBA_CACHE", str(tmp_path / "cache"))


def test_likelihoods_are_those_of_the_local_teacher(lm, folder):
    texts, answers = ["Why?", "What is tea?"], ["Because.", "A drink."]
    with serving(FaultServer(scores(lm))) as state:
        served = ServerTeacher(Service(state.url, "m", str(folder)), "Be brief.").log_likelihood(texts, answers)
    local = LocalTeacher(lm, system="Be brief.").log_likelihood(texts, answers)
    assert [n for _, n in served] == [n for _, n in local]
    assert [s for s, _ in served] == pytest.approx([s for s, _ in local], abs=1e-3)


def test_a_server_without_log_probs_is_refused_with_what_still_works(folder):
    bare = {"choices": [{"text": "", "finish_reason": "length", "logprobs": None}]}
    with serving(FaultServer(lambda path, payload: bare)) as state:
        teacher = ServerTeacher(Service(state.url, "m", str(folder)))
        with pytest.raises(ModelError, match=r"no log-probs of given tokens.*recall, similarity and judge"):
            teacher.log_likelihood(["Why?"], ["So."])


def test_log_probs_that_are_no_numbers_are_an_answer_of_another_form(folder):
    texts = {"choices": [{"text": "", "finish_reason": "length", "logprobs": {"token_logprobs": ["-0.5"] * 99}}]}
    with serving(FaultServer(lambda path, payload: texts)) as state:
        service = Service(state.url, "m", str(folder), retries=0)
        with pytest.raises(ModelError, match=r"answer of another form \(a log-prob is no number\)"):
            ServerTeacher(service).log_likelihood(["Why?"], ["So."])


def test_requests_begin_with_the_pre_query_header_and_their_first_words(lm, folder):
    def answer(path, payload):
        return {"choices": [{"text": " tea?\nassistant\nA drink", "finish_reason": "length"}]}

    with serving(FaultServer(answer)) as state:
        teacher = ServerTeacher(Service(state.url, "m", str(folder), concurrency=1))
        asked = teacher.sample_queries([2**40 + 3, 4], None, SAMPLING, ["What is", ""])
    assert asked == [Reply("What is tea?"), Reply("tea?")]
    header = chat.prequery_ids(lm.tokenizer)
    opener = lm.tokenizer("What is", add_special_tokens=False)["input_ids"]
    assert [p["prompt"] for p in state.payloads] == [header + opener, header]
    assert [p["seed"] for p in state.payloads] == [(2**40 + 3) % 2**31, 4]
    for asked in state.payloads:
        # by their words for servers that read their own text whole, by number for those that leave them out of it
        assert set(asked["stop"]) == {"<|im_start|>", "<|im_end|>"}
        assert lm.tokenizer.convert_ids_to_tokens(asked["stop_token_ids"]) == asked["stop"]
    assert state.paths == ["/v1/completions"] * 2


@pytest.mark.parametrize(
    "said",
    [
        '400 {"error": {"message": "Unrecognized request argument supplied: stop_token_ids"}}',
        "400 Extra inputs are not permitted, field: 'stop_token_ids', value: [1]",
        '422 {"detail": [{"loc": ["body", "stop_token_ids"], "msg": "Extra inputs are not permitted"}]}',
        "400 Unknown parameter: 'stop_token_ids'.",
        "400 property 'stop_token_ids' is unsupported",
        '422 {"error": "json: unknown field \\"stop_token_ids\\""}',
    ],
)
def test_a_server_that_knows_no_numbers_of_tokens_to_end_with_is_asked_without_them(folder, said):
    def fault(text, number):
        return said if "stop_token_ids" in json.loads(text) else ""

    answer = {"choices": [{"text": " tea?", "finish_reason": "stop"}]}
    with serving(FaultServer(lambda path, payload: answer, fault)) as state:
        teacher = ServerTeacher(Service(state.url, "m", str(folder), concurrency=1))
        asked = teacher.sample_queries([3, 4], None, SAMPLING, ["What is", "Where is"])
    assert asked == [Reply("What is tea?"), Reply("Where is tea?")]
    assert ["stop_token_ids" in p for p in state.payloads] == [True, False, False]
    assert all("<|im_start|>" in p["stop"] for p in state.payloads)


def test_answers_come_through_the_chat_under_the_teachers_turn():
    with serving(FaultServer(echo)) as state:
        teacher = load_teacher(f"openai:{state.url}?concurrency=1#m", system="Be brief.")
        assert teacher.answer(["tea", "ink"], SAMPLING, [1, 2]) == ["about tea", "about ink"]
    assert state.payloads[0] == {
        "model": "m",
        "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "tea"}],
        "temperature": 0.7,
        "top_p": 0.9,
        "max_tokens": 12,
        "seed": 1,
    }


def thinking(text: str, number: int) -> str:
    """What models that think before they answer refuse, in OpenAI's words."""
    payload = json.loads(text)
    for name in ("max_tokens", "seed", "top_p"):
        if name in payload:
            return f"400 {{'message': \"Unsupported parameter: '{name}' is not supported with this model.\"}}"
    if payload.get("temperature", 1) != 1:
        return "400 Unsupported value: 'temperature' does not support 0 with this model. Only the default (1) is."
    return ""


def test_parameters_that_a_model_refuses_are_spelled_as_it_takes_them_and_what_it_said_is_kept():
    with serving(FaultServer(echo, thinking)) as state:
        teacher = ServerTeacher(Service(state.url, "m", concurrency=4))
        plain = Sampling(1.0, 1.0, 12)
        said = teacher.answer([f"item {i}" for i in range(8)], plain, list(range(8)))
        last = [{k: p[k] for k in p if k != "messages"} for p in state.payloads[-4:]]
        asked = len(state.paths)
        again = ServerTeacher(Service(state.url, "m")).answer(["item 3"], plain, [3])
    assert said == [f"about item {i}" for i in range(8)] and again == ["about item 3"]
    assert last == [{"model": "m", "temperature": 1.0, "max_completion_tokens": 12}] * 4, (
        "learnt once, not with every request"
    )
    assert len(state.paths) == asked, "an answer is kept under what was asked for, however it was spelled"


def test_a_temperature_that_a_model_refuses_is_told():
    with (
        serving(FaultServer(echo, thinking)) as state,
        pytest.raises(ModelError, match=r"'temperature' .*ask for .* 1"),
    ):
        ServerTeacher(Service(state.url, "m")).answer(["tea"], Sampling(0.0, 1.0, 16), [0])
    assert state.payloads[-1]["max_completion_tokens"] == 16


def test_an_answer_that_was_cut_is_not_finished():
    cut = {"choices": [{"message": {"content": "Well"}, "finish_reason": "length"}]}
    with serving(FaultServer(lambda path, payload: cut)) as state:
        assert ServerTeacher(Service(state.url, "m")).replies(["tea"], SAMPLING, [1]) == [Reply("Well", False)]


def test_an_answer_without_content_is_an_empty_one_and_costs_no_other():
    def answer(path, payload):
        tree = echo(path, payload)
        if "tea" in payload["messages"][-1]["content"]:
            tree["choices"][0] = {"message": {"content": None}, "finish_reason": "length"}
        if "no" in payload["messages"][-1]["content"]:
            tree["choices"][0]["message"] = {"content": None, "refusal": "I cannot."}
        return tree

    with serving(FaultServer(answer)) as state:
        said = ServerTeacher(Service(state.url, "m", retries=0)).replies(["ink", "tea", "no"], SAMPLING, [1, 2, 3])
    assert said == [Reply("about ink"), Reply("", finished=False), Reply("")]
    assert set(state.attempts.values()) == {1}


@pytest.mark.parametrize("message", [{}, {"content": ["a"]}, {"content": 5}, None])
def test_an_answer_of_another_form_is_asked_for_again(message):
    garbage = {"choices": [{"message": message, "finish_reason": "stop"}]}
    with serving(FaultServer(lambda path, payload: garbage)) as state:
        client = Client(Service(state.url, "m", retries=2), pause=0.01)
        with pytest.raises(ModelError, match="failed 3 times: an answer of another form"):
            ServerTeacher(client.service, client=client).replies(["tea"], SAMPLING, [1])
    assert list(state.attempts.values()) == [3]


def test_requests_without_a_tokenizer_are_refused():
    teacher = ServerTeacher(parse_service("openai:http://127.0.0.1:9/v1#m"))
    with pytest.raises(RecipeError, match=r"need the tokenizer.*tokenizer=NAME"):
        teacher.sample_queries([1], None, SAMPLING)


def test_a_served_judge_marks_answers():
    def mark(path, payload):
        good = "Canberra" in payload["messages"][-1]["content"]
        return {"choices": [{"message": {"content": "9/10" if good else "2"}, "finish_reason": "stop"}]}

    with serving(FaultServer(mark)) as state:
        reward = load_reward("judge", judge=ServerTeacher(Service(state.url, "m")))
        assert reward(["Capital?"] * 2, ["Canberra.", "Sydney."], reference=["Canberra."] * 2) == [9.0, 2.0]
