"""The client against a server that fails in every way it can: nothing lost, nothing doubled, order kept."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import time
from email.utils import formatdate

import pytest

from rba.errors import ModelError, RecipeError, WorkspaceError
from rba.services import cache
from rba.services.client import Client, _seconds, _told
from rba.services.service import Service
from services.fault_server import FAULTS, FaultServer, echo, serving


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("RBA_CACHE", str(tmp_path / "cache"))


def ask(i: int) -> dict:
    return {"model": "m", "messages": [{"role": "user", "content": f"item {i}"}]}


def read(tree):
    (choice,) = tree["choices"]
    return choice["message"]["content"]


def client(state: FaultServer, **options) -> Client:
    return Client(Service(state.url, "m", **{"retries": 4, "timeout": 0.4, **options}), pause=0.01)


def test_every_fault_is_survived_and_every_item_answered_once_in_order():
    def fault(text, number):
        place = int(text.split("item ")[1].split('"')[0])
        return FAULTS[(place + number) % len(FAULTS)] if number < 2 else ""

    with serving(FaultServer(echo, fault)) as state:
        answers = client(state).post_all("chat/completions", [ask(i) for i in range(28)], read)
    assert answers == [f"about item {i}" for i in range(28)]
    assert set(state.attempts.values()) == {3}
    assert set(state.answered.values()) == {1}


def test_no_more_requests_are_under_way_than_allowed_and_several_are():
    def slowly(path, payload):
        time.sleep(0.03)  # long enough for all that may be under way to be there
        return echo(path, payload)

    with serving(FaultServer(slowly)) as state:
        client(state, concurrency=3).post_all("chat/completions", [ask(i) for i in range(24)], read)
    assert state.most == 3


def test_a_second_run_asks_nothing_and_equal_requests_are_asked_once():
    with serving(FaultServer(echo)) as state:
        first = client(state, price_in=1.0, price_out=2.0)
        said = first.post_all("chat/completions", [ask(1), ask(2), ask(1)], read)
        again = client(state)
        assert again.post_all("chat/completions", [ask(2), ask(1)], read) == said[1::-1]
    assert said == ["about item 1", "about item 2", "about item 1"]
    assert set(state.attempts.values()) == {1}
    assert (first.usage.tokens_in, first.usage.tokens_out) == (20, 8)
    assert first.usage.cost(first.service) == pytest.approx(36e-6)
    assert (again.usage.cached, again.usage.tokens_in) == (2, 0)


def test_what_changes_the_servers_state_is_asked_every_time_and_not_kept():
    with serving(FaultServer(echo)) as state:
        asking = client(state)
        for _ in range(2):
            assert asking.post_all("load", [ask(1)], read, keep=False) == ["about item 1"]
        assert state.attempts.total() == 2
        assert cache.read(cache.key_of(asking.service, "load", ask(1))) is None


def test_what_was_answered_before_a_failure_is_kept():
    broken = {"on": True}

    def fault(text, number):
        return "500" if broken["on"] and "item 5" in text else ""

    with serving(FaultServer(echo, fault)) as state:
        asking = client(state, retries=1, concurrency=1)
        with pytest.raises(ModelError, match=r"failed 2 times: status 500.*chat/completions"):
            asking.post_all("chat/completions", [ask(i) for i in range(8)], read)
        broken["on"] = False
        assert len(client(state).post_all("chat/completions", [ask(i) for i in range(8)], read)) == 8
    assert set(state.answered.values()) == {1}


def test_a_killed_process_leaves_a_cache_that_the_next_one_uses(tmp_path):
    script = """
import os, sys
from rba.services.client import Client
from rba.services.service import Service
seen = []
def read(tree):
    seen.append(tree)
    if len(seen) == 6:
        os.kill(os.getpid(), 9)
    return tree["choices"][0]["message"]["content"]
asked = [{"model": "m", "messages": [{"role": "user", "content": f"item {i}"}]} for i in range(12)]
Client(Service(sys.argv[1], "m", concurrency=1)).post_all("chat/completions", asked, read)
"""
    with serving(FaultServer(echo)) as state:
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
        done = subprocess.run([sys.executable, "-c", script, state.url], env=environment, timeout=60)
        assert done.returncode == -9
        answers = client(state).post_all("chat/completions", [ask(i) for i in range(12)], read)
    assert answers == [f"about item {i}" for i in range(12)]
    counts = sorted(state.attempts.values())
    assert counts == [1] * 11 + [2]  # the one whose answer had arrived but was not yet kept


def test_a_damaged_entry_is_asked_for_again():
    with serving(FaultServer(echo)) as state:
        asking = client(state)
        asking.post_all("chat/completions", [ask(1)], read)
        cache.write(cache.key_of(asking.service, "chat/completions", ask(1)), b'{"choi')
        assert asking.post_all("chat/completions", [ask(1)], read) == ["about item 1"]
    assert set(state.attempts.values()) == {2}


@pytest.mark.parametrize("half", ["\ud83d", "\ude00"])
def test_half_a_character_is_replaced_also_in_an_answer_that_was_kept(half):
    def cut(path, payload):
        return {"choices": [{"message": {"content": f"bad {half} half, whole \U0001f600"}}]}

    with serving(FaultServer(cut)) as state:
        asking = client(state)
        for _ in range(2):
            assert asking.post_all("chat/completions", [ask(1)], read) == ["bad \ufffd half, whole \U0001f600"]
    assert state.attempts.total() == asking.usage.cached == 1
    assert half.encode("unicode-escape") in cache.read(cache.key_of(asking.service, "chat/completions", ask(1)))


@pytest.mark.parametrize(
    "usage",
    [{"prompt_tokens": "many", "completion_tokens": float("inf")}, {"prompt_tokens": 10**400}, "many", [1], None],
)
def test_a_usage_that_is_no_number_is_not_counted_and_costs_no_answer(usage):
    with serving(FaultServer(lambda path, payload: {**echo(path, payload), "usage": usage})) as state:
        asking = client(state)
        assert asking.post_all("chat/completions", [ask(1)], read) == ["about item 1"]
    assert (asking.usage.answers, asking.usage.tokens_in, asking.usage.tokens_out) == (1, 0, 0)
    assert state.attempts.total() == 1


@pytest.mark.parametrize(
    ("status", "says"),
    [("401", r"refuses the API key.*\$RBA_TEST_KEY"), ("404", 'no model "m"'), ("400", "status 400.*no")],
)
def test_a_refusal_is_one_line_and_is_not_tried_again(status, says, monkeypatch):
    monkeypatch.setenv("RBA_TEST_KEY", "secret")
    refusing = FaultServer(echo, lambda text, number: status)
    with serving(refusing) as state, pytest.raises(ModelError, match=says) as caught:
        client(state, key_env="RBA_TEST_KEY").post_all("chat/completions", [ask(1)], read)
    assert state.headers[0]["Authorization"] == "Bearer secret"
    assert list(state.attempts.values()) == [1]
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ('{"error": {"message": "Too\\nmany.", "code": 400}}', r"status 400: Too many\. \("),
        ('{"detail": "Not Found"}', r"status 400: Not Found \("),
        (
            '{"detail": [{"loc": ["body", "n", 0], "msg": "Too\\nmany", "input": 9}, {"msg": "Bad"}]}',
            r"status 400: body: n: 0: Too many; Bad \(",
        ),
        ('{"detail": ["no"]}', r'status 400: \{"detail": \["no"\]\} \('),
        ('{"detail": {"no": 1}}', r'status 400: \{"detail": \{"no": 1\}\} \('),
        ('{"error": "no"}', r'status 400: \{"error": "no"\} \('),
        ("[" * 5000, r"status 400: \["),
        ("maximum context length is 512 tokens", "longer context.*--max-model-len"),
        ("max_tokens=9 cannot be greater than max_model_len=8", "--max-model-len.*fewer tokens"),
    ],
)
def test_what_a_server_says_of_a_refusal_is_told_with_what_mends_it(body, says):
    refusing = FaultServer(echo, lambda text, number: f"400 {body}")
    with serving(refusing) as state, pytest.raises(ModelError, match=says) as caught:
        client(state).post_all("chat/completions", [ask(1)], read)
    assert len(str(caught.value).splitlines()) == 1


def test_a_redirect_says_where_to():
    moved = FaultServer(echo, lambda text, number: "307", said={"Location": "https://host/v2/chat"})
    with serving(moved) as state, pytest.raises(ModelError, match="elsewhere, status 307: to https://host/v2/chat"):
        client(state).post_all("chat/completions", [ask(1)], read)
    assert state.attempts.total() == 1


def test_an_answer_that_drips_in_is_late_as_a_whole_and_tried_again():
    with serving(FaultServer(echo, lambda text, number: "drip" if number < 1 else "")) as state:
        start = time.monotonic()
        assert client(state).post_all("chat/completions", [ask(1)], read) == ["about item 1"]
        assert time.monotonic() - start < 3
    always, said = FaultServer(echo, lambda text, number: "drip"), r"failed 1 times: no whole answer within 0\.2 s"
    with serving(always) as state, pytest.raises(ModelError, match=said):
        client(state, retries=0, timeout=0.2).post_all("chat/completions", [ask(2)], read)


@pytest.mark.parametrize("asked", ["0.6", "date", "120"])
def test_a_server_is_left_alone_for_as_long_as_it_asks_and_no_longer_than_a_minute(asked, monkeypatch):
    monkeypatch.setattr("rba.services.client.LONGEST_PAUSE", 0.6 if asked == "120" else 60)
    said = {"Retry-After": formatdate(time.time() + 2, usegmt=True) if asked == "date" else asked}
    with serving(FaultServer(echo, lambda text, number: "429" if number < 1 else "", said=said)) as state:
        start = time.monotonic()
        client(state).post_all("chat/completions", [ask(1)], read)
    assert 0.6 <= time.monotonic() - start < 5


@pytest.mark.parametrize("said", ["", "soon", "-5", "nan", "Fri, 99 Foo 2026 00:00:00 GMT", formatdate(0, usegmt=True)])
def test_a_retry_after_that_says_nothing_or_is_past_asks_for_no_pause(said):
    assert _seconds(said) == 0


def test_a_key_that_is_not_set_is_named(monkeypatch):
    monkeypatch.delenv("RBA_TEST_KEY", raising=False)
    with pytest.raises(ModelError, match=r"key is not set.*\$RBA_TEST_KEY"):
        Client(Service("http://127.0.0.1:9/v1", "m", key_env="RBA_TEST_KEY"))


def test_a_key_is_taken_without_the_end_of_its_line_and_never_shown(monkeypatch):
    service = Service("http://127.0.0.1:9/v1", "m", key_env="RBA_TEST_KEY")
    monkeypatch.setenv("RBA_TEST_KEY", "sk-secret\r")
    assert Client(service)._headers == {"Authorization": "Bearer sk-secret"}
    monkeypatch.setenv("RBA_TEST_KEY", "\u201csk-secret\u201d")
    with pytest.raises(ModelError, match=r"\$RBA_TEST_KEY") as refused:
        Client(service)
    assert "secret" not in str(refused.value)


def test_a_proxy_that_cannot_be_used_is_one_clear_line(monkeypatch):
    monkeypatch.setenv("ALL_PROXY", "gopher://127.0.0.1:9")
    with pytest.raises(ModelError, match=r"servers cannot be asked.*ALL_PROXY"):
        Client(Service("http://127.0.0.1:9/v1", "m")).post_all("chat/completions", [ask(0)], read)


def test_a_server_that_is_not_there_is_named():
    with pytest.raises(ModelError, match=r"failed 2 times: ConnectError.*127.0.0.1.*check that the server runs"):
        Client(Service("http://127.0.0.1:9/v1", "m", retries=1), pause=0.01).post_all("completions", [ask(1)], read)


def test_a_cache_that_cannot_be_written_is_one_clear_line(monkeypatch):
    monkeypatch.setenv("RBA_CACHE", "/dev/null/x")
    said = r"answer is lost: .*Not a directory \(/dev/null/x/services/.*; free some space.*RBA_CACHE"
    with serving(FaultServer(echo)) as state, pytest.raises(WorkspaceError, match=said):
        client(state).post_all("chat/completions", [ask(i) for i in range(8)], read)


def test_a_full_disk_is_no_group_of_errors(monkeypatch):
    def full(key, answer):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(cache, "write", full)
    with serving(FaultServer(echo)) as state, pytest.raises(OSError, match="No space left"):
        client(state).post_all("chat/completions", [ask(i) for i in range(8)], read)


def test_of_several_failures_one_that_can_be_mended_is_told():
    mendable = WorkspaceError("cannot write", "here", "free some space")
    group = BaseExceptionGroup("", [OSError("first"), BaseExceptionGroup("", [mendable, ModelError("later")])])
    assert _told(group) is mendable
    assert str(_told(BaseExceptionGroup("", [OSError("first"), OSError("second")]))) == "first"


def test_an_address_that_cannot_be_is_one_clear_line_and_is_not_tried_again():
    with pytest.raises(RecipeError, match=r"this is no address: .*snow.*; write openai:http://host"):
        Client(Service("http://snow\u2603.com/v1", "m"), pause=60).post_all("completions", [ask(1), ask(2)], read)
