"""Self-samples by a server: the policy's own, and nothing of another model, another adapter or another run."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from forked import ended, fork_ranks

from rba.alignment.sampler import ServedSampler, load_sampler
from rba.alignment.stage import _rollout_folder, align
from rba.errors import ModelError, RecipeError
from rba.lm.generation import generate
from rba.lm.load import TextLM
from rba.lm.scorer import score
from rba.models.adapters import adapter_parameters, add_lora, save_lora_alone
from rba.testing.local_server import answering
from rba.testing.tiny_audio_lm import tiny_audio_lm
from rba.testing.tiny_lm import tiny_text_lm
from rba.testing.tiny_speechlm import tiny_speechlm
from rba.testing.tiny_utterances import tiny_utterances
from rba.testing.tiny_vllm import TinyVllm
from rba.workspace import StageFolder

from . import drawn
from .conftest import SMALL, Bench, variety
from .drawn import furthest, moved, served
from .launched import ROOT


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RBA_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def vllm() -> TinyVllm:
    """A server of the tiny SpeechLM's LLM."""
    return TinyVllm(tiny_text_lm)


@pytest.fixture
def server(vllm: TinyVllm) -> Iterator[str]:
    """Its name in a recipe."""
    with answering(vllm) as url:
        yield f"openai:{url}?retries=0&concurrency=2#m"


def texts(made, step: int) -> list[str]:
    return [s.text for task in made.tasks(step)[0] for s in task.samples]


def test_its_answers_have_the_policys_log_probs_before_and_after_updates(
    bench: Bench, vllm: TinyVllm, server: str, tmp_path: Path
):
    made = served(bench, tmp_path, server)
    add_lora(bench.speechlm, 4, 8, seed=1)
    assert furthest(bench, made, 0) < 1e-4
    assert {model for model, _ in vllm.asked} == {"m"}
    with torch.no_grad():
        for parameter in adapter_parameters(bench.speechlm):
            parameter.add_(0.1)
    assert furthest(bench, made, 1) < 1e-4
    assert [model for model, _ in vllm.asked[6:]] == vllm.loads * 6
    assert {count for _, count in vllm.asked} == {2}  # the prompt passes once for both answers


def test_every_policy_has_its_own_adapter_and_none_is_left_behind(
    bench: Bench, vllm: TinyVllm, server: str, tmp_path: Path
):
    made = served(bench, tmp_path, server)
    moved(bench)
    made.tasks(1)
    with torch.no_grad():
        next(iter(adapter_parameters(bench.speechlm))).add_(0.01)
    made.tasks(2)
    assert len(set(vllm.loads)) == 2
    assert vllm.adapters == {}
    assert list((tmp_path / "served").iterdir()) == []


def test_runs_of_the_same_weights_do_not_take_each_others_adapter(
    bench: Bench, vllm: TinyVllm, server: str, tmp_path: Path
):
    moved(bench)
    for name in "ab":
        served(bench, tmp_path / name, server).tasks(1)
    assert len(set(vllm.loads)) == 2


def test_an_adapter_that_a_killed_run_left_is_loaded_anew(bench: Bench, vllm: TinyVllm, server: str, tmp_path: Path):
    moved(bench)
    served(bench, tmp_path, server).tasks(1)
    vllm.adapters[vllm.loads[0]] = tiny_text_lm(1)
    assert furthest(bench, served(bench, tmp_path, server), 2) < 1e-4
    assert vllm.loads == vllm.loads[:1] * 2 and vllm.adapters == {}


def test_a_resumed_run_has_the_answers_that_it_had_though_the_server_gives_others(
    bench: Bench, vllm: TinyVllm, server: str, tmp_path: Path
):
    moved(bench)
    first = texts(served(bench, tmp_path, server), 1)
    asked = len(vllm.asked)
    assert texts(served(bench, tmp_path, server), 1) == first
    assert len(vllm.asked) == asked
    with torch.no_grad():
        next(iter(adapter_parameters(bench.speechlm))).add_(0.01)
    assert texts(served(bench, tmp_path, server), 1) != first


def test_another_model_behind_the_server_is_refused_and_the_right_one_asked_anew(
    bench: Bench, vllm: TinyVllm, server: str, tmp_path: Path
):
    vllm.load = partial(tiny_text_lm, 1)
    with pytest.raises(ModelError, match=r"another model.*nats a token.*serve the SpeechLM's own LLM, tiny-0"):
        served(bench, tmp_path, server).tasks(0)
    vllm.load = tiny_text_lm
    assert furthest(bench, served(bench, tmp_path, server), 0) < 1e-4


@pytest.mark.parametrize("step", [0.02, 0.1])
def test_a_server_that_leaves_the_adapter_out_is_noticed_however_little_it_does(
    bench: Bench, vllm: TinyVllm, server: str, tmp_path: Path, step: float
):
    add_lora(bench.speechlm, 4, 8, seed=1)
    with torch.no_grad():
        for parameter in adapter_parameters(bench.speechlm):
            parameter.add_(step)
    vllm.lora_modules = ["lm_head"]
    with pytest.raises(ModelError, match=r"leaves the adapter out.*--lora-target-modules|another model"):
        served(bench, tmp_path, server).tasks(1)
    vllm.lora_modules = []
    assert furthest(bench, served(bench, tmp_path, server), 1) < 1e-4


@pytest.mark.parametrize(
    ("started", "says"),
    [
        ({"takes_embeddings": False}, r"status 400: .*prompt_embeds are not enabled.*--enable-prompt-embeds"),
        (
            {"takes_adapters": False},
            r"no such endpoint: .*Not Found.*load_lora_adapter.*VLLM_ALLOW_RUNTIME_LORA_UPDATING=True",
        ),
        ({"root": ROOT}, r"No adapter found.*it must find .*/served/rba-\w+-\w+ under this path"),
        ({"max_lora_rank": 2}, r"500 .*LoRA rank 4 is greater than max_lora_rank 2.*--max-lora-rank 4 or more"),
        ({"gives_ids": False}, r"no token ids.*newer vLLM"),
    ],
)
def test_a_server_that_was_started_otherwise_is_told_how(
    bench: Bench, vllm: TinyVllm, server: str, tmp_path: Path, started: dict[str, Any], says: str
):
    for key, value in started.items():
        setattr(vllm, key, value)
    moved(bench)
    with pytest.raises(ModelError, match=says) as caught:
        served(bench, tmp_path, server).tasks(1)
    assert "\n" not in str(caught.value)
    assert vllm.adapters == {} and list((tmp_path / "served").iterdir()) == []


def test_a_server_that_is_gone_is_told_of_and_what_it_answered_is_kept(bench: Bench, vllm: TinyVllm, tmp_path: Path):
    moved(bench)
    with answering(vllm) as url:
        name = f"openai:{url}?retries=0#m"
        made = served(bench, tmp_path, name)
        made.tasks(1)
    with pytest.raises(ModelError, match=r"failed 1 times.*check that the server runs"):
        made.tasks(2)
    assert list((tmp_path / "served").iterdir()) == []


def test_a_server_that_fails_is_told_of_with_its_reason(bench: Bench, vllm: TinyVllm, server: str, tmp_path: Path):
    def fail() -> None:
        raise RuntimeError("tensors on two devices")

    vllm.load = fail
    with pytest.raises(ModelError, match=r"status 500.*RuntimeError: tensors on two devices"):
        served(bench, tmp_path, server).tasks(1)


def test_two_processes_draw_from_one_policy_on_one_server(bench: Bench, vllm: TinyVllm, server: str, tmp_path: Path):
    ranks = fork_ranks(drawn.main, tmp_path, server, count=2, said=tmp_path / "said.txt")
    assert ended(ranks) == [0, 0], (tmp_path / "said.txt").read_text()[-3000:]
    first, second = (json.loads((tmp_path / f"{rank}.json").read_text()) for rank in (0, 1))
    assert first == second
    assert first["far"] < 1e-4
    assert vllm.loads == vllm.loads[:1]
    assert {model for model, _ in vllm.asked} == set(vllm.loads)


def test_the_model_in_memory_draws_where_no_server_is_named(bench: Bench, tmp_path: Path):
    sampler, sampling = load_sampler(bench.speechlm, SMALL, tmp_path), SMALL.sample
    assert not isinstance(sampler, ServedSampler)
    prompts = bench.bank.initial(bench.groups[0].utterances)
    with sampler.now(initial=True) as draw:
        assert draw(prompts, range(3), 1) == generate(bench.speechlm.lm, prompts, sampling, range(3))


def test_a_whole_training_leaves_nothing_of_the_server_in_its_stage(vllm: TinyVllm, server: str, tmp_path: Path):
    settings = replace(SMALL, rollout_server=server, refresh="online", answers=2)
    folder = StageFolder(tmp_path / "align" / "grpo")
    folder.open("mark")
    align(
        tiny_speechlm(),
        settings,
        method="grpo",
        folder=folder,
        seed=3,
        utterances=tiny_utterances(3, 2),
        reward=lambda *extra: variety,
    )
    assert [model for model, _ in vllm.asked].count("m") == 4 and len(set(vllm.loads)) == SMALL.steps - 1
    assert folder.is_complete and vllm.adapters == {}
    assert not any("served" in name for name in folder.manifest["files"])
    assert not list(tmp_path.rglob("served"))


class Killed(Exception):
    """The end of a training that is cut short."""


def test_a_training_that_was_killed_ends_with_the_same_bits_though_the_server_gives_other_answers(
    vllm: TinyVllm, server: str, tmp_path: Path
):
    settings = replace(SMALL, rollout_server=server, refresh="online", answers=2, checkpoint_minutes=0.0)

    def trained(last: int = SMALL.steps) -> list[torch.Tensor]:
        def log(record: dict[str, Any]) -> None:
            if record["step"] > last:
                raise Killed

        speechlm, folder = tiny_speechlm(), StageFolder(tmp_path / "align" / "grpo")
        folder.open("mark")
        parts = {"method": "grpo", "folder": folder, "seed": 3, "utterances": tiny_utterances(3, 2)}
        align(speechlm, settings, **parts, reward=lambda *extra: variety, log=log)
        return [parameter.detach().clone() for parameter in adapter_parameters(speechlm)]

    whole = trained()
    asked = len(vllm.asked)
    for name in ("align", "checkpoints"):
        shutil.rmtree(tmp_path / name, ignore_errors=True)
    with pytest.raises(Killed):
        trained(last=2)
    assert len(vllm.asked) == asked
    assert all(map(torch.equal, trained(), whole))


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"rollout_server": "http://localhost:8000/v1"}, r"rollout_server.*openai:http"),
        ({"rollout_server": "openai:http://h/v1#m", "quantize": "nf4"}, r"rollout_server.*quantize: none"),
    ],
)
def test_what_cannot_be_served_is_refused(changes: dict[str, str], says: str):
    with pytest.raises(RecipeError, match=says):
        replace(SMALL, **changes)


def test_options_of_speed_leave_the_shared_answers_and_another_model_does_not(tmp_path: Path):
    folder = StageFolder(tmp_path / "align" / "grpo")
    data = SimpleNamespace(mark="m", plan=[])
    places = [
        _rollout_folder(replace(SMALL, rollout_server=name), "grpo", folder, 1, data)
        for name in ("openai:http://h/v1#a", "openai:http://h/v1?concurrency=4&timeout=9#a", "openai:http://h/v1#b")
    ]
    assert places[0] == places[1] != places[2]


def test_an_adapter_that_also_stands_on_the_head_is_refused(tmp_path: Path):
    whole = tiny_audio_lm("qwen2_audio")
    add_lora(whole, 4, 8, targets=".*language_model.*q_proj|.*lm_head", seed=1)
    with pytest.raises(ModelError, match=r"weights outside the LLM's blocks: .*lm_head"):
        save_lora_alone(whole.lm, tmp_path)


@pytest.mark.parametrize("make", [tiny_speechlm, lambda: tiny_audio_lm("qwen2_audio")])
def test_an_adapter_fits_the_llm_alone_whatever_it_was_trained_in(make, tmp_path: Path):
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    from rba.export.llm import llm_alone

    speechlm = make()
    prompts = speechlm.text_prompts(["Why?", "How so?"])
    alone = llm_alone(speechlm.lm, "tiny")
    alone.save_pretrained(tmp_path / "llm")
    add_lora(speechlm, 4, 8, seed=1)
    with torch.no_grad():
        for parameter in adapter_parameters(speechlm):
            parameter.add_(0.1)
    (tmp_path / "adapter").mkdir()
    save_lora_alone(speechlm.lm, tmp_path / "adapter")
    llm = AutoModelForCausalLM.from_pretrained(tmp_path / "llm", dtype=torch.float32)
    opened = PeftModel.from_pretrained(llm, tmp_path / "adapter").eval()
    other = TextLM(opened, speechlm.lm.tokenizer, "alone", speechlm.lm.end_ids)
    with torch.no_grad():
        own, found = (torch.cat(score(lm, prompts, [[40, 41, 2], [50, 2]], 256)) for lm in (speechlm.lm, other))
    torch.testing.assert_close(found, own, atol=1e-5, rtol=0)
