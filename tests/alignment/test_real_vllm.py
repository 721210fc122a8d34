"""A real vLLM around SmolLM2: `RBA_TEST_VLLM=COMMAND` names it, as it is installed in an environment of its own."""

from __future__ import annotations

import os
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from statistics import fmean

import pytest
import torch

from rba.alignment.sampler import load_sampler
from rba.alignment.settings import LoraSettings
from rba.errors import ModelError
from rba.lm.sampling import Sampling
from rba.lm.scorer import score
from rba.models.adapters import adapter_parameters, add_lora
from rba.models.load import load_speechlm

from .conftest import SMALL

NAME, LAST = "smollm2-135m-instruct", 300
REQUESTS = ["What is the capital of France?", "How do I boil an egg?", "Name three colours.", "Why is the sky blue?"]
TARGETS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]

pytestmark = [
    pytest.mark.weights,
    pytest.mark.skipif("RBA_TEST_VLLM" not in os.environ, reason="RBA_TEST_VLLM names no vLLM"),
]


@pytest.fixture(scope="module")
def server(weights, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Its name in a recipe, once it answers."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [os.environ["RBA_TEST_VLLM"], "serve", weights(NAME), "--served-model-name", "policy"]
    command += ["--port", str(port), "--max-model-len", "512", "--enforce-eager", "--enable-prompt-embeds"]
    command += ["--enable-lora", "--max-lora-rank", "16", "--lora-target-modules", *TARGETS]
    env = {**os.environ, "VLLM_ALLOW_RUNTIME_LORA_UPDATING": "True", "VLLM_CPU_KVCACHE_SPACE": "1"}
    log = tmp_path_factory.mktemp("vllm") / "log"
    with log.open("w") as said, subprocess.Popen(command, env=env, stdout=said, stderr=said) as running:
        try:
            _wait(f"http://127.0.0.1:{port}/health", running, log)
            yield f"openai:http://127.0.0.1:{port}/v1?retries=1#policy"
        finally:
            running.terminate()


def _wait(url: str, running: subprocess.Popen, log: Path) -> None:
    for _ in range(LAST):
        assert running.poll() is None, log.read_text()[-3000:]
        try:
            with urllib.request.urlopen(url, timeout=2):
                return
        except OSError:
            time.sleep(1)
    raise AssertionError(f"no answer in {LAST} s: {log.read_text()[-3000:]}")


def test_it_draws_from_every_policy_that_it_is_handed(server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    speechlm = load_speechlm("shipped", "float32")
    monkeypatch.setenv("RBA_CACHE", str(tmp_path / "cache"))  # what another vLLM said is not to be found again
    cool = Sampling(0.7, 0.95, 24)  # log-probs are the model's own, whatever the temperature
    settings = replace(SMALL, rollout_server=server, sample=cool, lora=LoraSettings(rank=16, alpha=32))
    sampler = load_sampler(speechlm, settings, tmp_path / "served")
    prompts = speechlm.text_prompts(REQUESTS)

    def gap(initial: bool) -> float:
        with sampler.now(initial) as draw:
            rows = [answer for row in draw(prompts, range(8), 2) for answer in row]
        assert all((row.ids[-1] in speechlm.lm.end_ids) == row.finished for row in rows)
        with torch.no_grad():
            own = score(speechlm.lm, [p for p in prompts for _ in range(2)], [row.ids for row in rows], 1024)
        return fmean(float((o - torch.tensor(r.logprobs)).abs().mean()) for o, r in zip(own, rows))

    assert gap(initial=True) < 0.1
    add_lora(speechlm, 16, 32, seed=1)
    for round_ in range(2):
        torch.manual_seed(round_)
        with torch.no_grad():
            for parameter in adapter_parameters(speechlm)[1::2]:
                parameter.normal_(0, 0.05)
        assert gap(initial=False) < 0.15
    draw = sampler.server.draw
    monkeypatch.setattr(sampler.server, "draw", lambda *asked: draw(*asked[:4], "", asked[5]))
    with pytest.raises(ModelError, match=r"leaves the adapter out|another model"):  # the base in the policy's place
        gap(initial=False)
