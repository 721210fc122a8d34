"""Self-samples by a real vLLM around SmolLM2."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from statistics import fmean

import pytest
import torch
from services.vllm import NAMED, Vllm

from rba.alignment.sampler import load_sampler
from rba.alignment.settings import LoraSettings
from rba.errors import ModelError
from rba.lm.sampling import Sampling
from rba.lm.scorer import score
from rba.models.adapters import adapter_parameters, add_lora
from rba.models.load import load_speechlm

from .conftest import SMALL

REQUESTS = ["What is the capital of France?", "How do I boil an egg?", "Name three colours.", "Why is the sky blue?"]

pytestmark = [pytest.mark.weights, pytest.mark.slow, NAMED]


def test_it_draws_from_every_policy_that_it_is_handed(
    smollm_server: Vllm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    speechlm = load_speechlm("shipped", "float32")
    monkeypatch.setenv("RBA_CACHE", str(tmp_path / "cache"))  # what another vLLM said is not to be found again
    cool = Sampling(0.7, 0.95, 24)  # log-probs are the model's own, whatever the temperature
    settings = replace(SMALL, rollout_server=smollm_server.named(), sample=cool, lora=LoraSettings(rank=16, alpha=32))
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
