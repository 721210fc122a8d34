"""A step that is replayed gives what a step of its own gives, for every row, whatever has left the batch."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from prefilled import PROMPTS, prefilled, same
from releases import each

from rba.lm import decoding, replay
from rba.lm.cache import roomy_cache
from rba.lm.decoding import Decoding
from rba.lm.fused import Fused
from rba.lm.generation import generate
from rba.lm.load import TextLM
from rba.lm.quantization import NF4
from rba.lm.replay import NotRecorded, Replayed, Step, repeatable
from rba.lm.sampling import Sampling
from rba.lm.sharding import Shards
from rba.lm.stepwise import Stepwise
from rba.testing.tiny_audio_lm import tiny_audio_lm
from rba.testing.tiny_lm import tiny_text_lm

LONG = Sampling(1.0, 1.0, 40)


def again(step: Step) -> Step:
    """Records by calling: twice beforehand, as a recording does."""
    step(), step()
    return step


@torch.no_grad()
def test_logits_are_the_same_while_rows_leave():
    lm = tiny_text_lm()
    steps = 20
    replayed = Replayed(lm.model, *prefilled(lm), steps, again)
    stepwise = Stepwise(lm.model, *prefilled(lm))
    token_B = torch.tensor([5, 6, 7, 8])
    for step in range(steps):
        ours, theirs = replayed.logits(token_B), stepwise.logits(token_B)
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)
        token_B = theirs.argmax(-1)
        if step in (6, 13):
            index_B = torch.arange(len(token_B))[1:]
            replayed.keep(index_B), stepwise.keep(index_B)
            token_B = token_B[1:]


def as_recorded(monkeypatch: pytest.MonkeyPatch, record: Callable[[Step], Step]) -> list[Decoding]:
    """Let every model be recorded here, by `record`; what was begun, in order."""
    begun: list[Decoding] = []

    class Watched(Decoding):
        def __init__(self, *args):
            super().__init__(*args)
            begun.append(self)

    plain = repeatable
    monkeypatch.setattr(decoding, "Decoding", Watched)
    monkeypatch.setattr(decoding, "graph", lambda step, device: record(step))
    monkeypatch.setattr(decoding, "_REFUSED", {})
    monkeypatch.setattr(
        decoding, "repeatable", lambda lm, cache: plain(_OnGpu(lm.model, lm.tokenizer, "", [], lm.weights), cache)
    )
    return begun


def ways(begun: list[Decoding]) -> list[type]:
    return [type(each.way) for each in begun]


class _OnGpu(TextLM):
    device = torch.device("cuda")


@pytest.mark.parametrize("group", [1, 3])
def test_answers_are_the_same(group: int, monkeypatch: pytest.MonkeyPatch):
    lm = tiny_text_lm()
    lm.end_ids = list(range(12))
    asked = (lm, PROMPTS, LONG, list(range(len(PROMPTS) * group)), group)
    plain = generate(*asked)
    begun = as_recorded(monkeypatch, again)
    same(generate(*asked), plain)
    assert ways(begun) == [Replayed]
    assert len({len(answer.ids) for answers in plain for answer in answers}) > 1  # rows left the batch on the way


@pytest.mark.parametrize(
    "family", each(["qwen2_audio", "qwen2_5_omni_thinker", "voxtral", "granite_speech", "phi4_multimodal"])
)
def test_so_are_those_of_audio_lms(family: str, monkeypatch: pytest.MonkeyPatch):
    lm = tiny_audio_lm(family).lm
    plain = generate(lm, PROMPTS, LONG, range(4))
    begun = as_recorded(monkeypatch, again)
    same(generate(lm, PROMPTS, LONG, range(4)), plain)
    assert ways(begun) == [Replayed]


def test_layers_with_a_window_are_left_alone(monkeypatch: pytest.MonkeyPatch):
    lm = tiny_audio_lm(window=6).lm
    begun = as_recorded(monkeypatch, again)
    generate(lm, PROMPTS, LONG, range(4))
    assert ways(begun) == [Stepwise]


def test_what_cannot_be_recorded_goes_step_by_step_and_is_not_tried_again(monkeypatch: pytest.MonkeyPatch):
    lm, tried = tiny_text_lm(), []
    plain = generate(lm, PROMPTS, LONG, range(4))

    def waits(step: Step) -> Step:
        step(), tried.append(1)
        raise NotRecorded("called a synchronizing CUDA operation", lasting=True)

    begun = as_recorded(monkeypatch, waits)
    with pytest.warns(UserWarning, match="LlamaModel draws step by step, not by a CUDA graph: called a synchronizing"):
        same(generate(lm, PROMPTS, LONG, range(4)), plain)
    same(generate(lm, PROMPTS, LONG, range(4)), plain)
    assert ways(begun) == [Stepwise, Fused] and len(tried) == 1


@pytest.mark.parametrize("number", [2, 3])
def test_where_memory_runs_short_on_the_way_it_goes_on_step_by_step(number: int, monkeypatch: pytest.MonkeyPatch):
    lm, tried = tiny_text_lm(), []
    lm.end_ids = list(range(12))
    plain = generate(lm, PROMPTS, LONG, range(12), 3)

    def short(step: Step) -> Step:
        step(), tried.append(1)
        if len(tried) == number:
            raise NotRecorded("memory is short", lasting=False)
        return step

    monkeypatch.setattr(replay, "ROOM", 9)
    begun = as_recorded(monkeypatch, short)
    same(generate(lm, PROMPTS, LONG, range(12), 3), plain)
    assert ways(begun) == [Stepwise] and len(tried) == number
    same(generate(lm, PROMPTS, LONG, range(12), 3), plain)
    assert ways(begun) == [Stepwise, Replayed]  # another time there may be memory


@pytest.mark.parametrize("room", [1, 8, 13])
def test_room_is_made_as_it_is_needed(room: int, monkeypatch: pytest.MonkeyPatch):
    lm = tiny_text_lm()
    lm.end_ids = list(range(12))
    plain = generate(lm, PROMPTS, LONG, range(12), 3)
    monkeypatch.setattr(replay, "ROOM", room)
    begun = as_recorded(monkeypatch, again)
    same(generate(lm, PROMPTS, LONG, range(12), 3), plain)
    assert ways(begun) == [Replayed]


def test_short_answers_are_not_worth_a_recording(monkeypatch: pytest.MonkeyPatch):
    begun = as_recorded(monkeypatch, again)
    generate(tiny_text_lm(), PROMPTS, Sampling(1.0, 1.0, decoding.WORTH), range(4))
    assert ways(begun) == [Stepwise]


def test_divided_or_packed_weights_are_not_recorded():
    lm = _OnGpu(tiny_text_lm().model, None, "")
    cache = roomy_cache(lm.model.config)
    assert repeatable(lm, cache)
    assert not repeatable(_OnGpu(lm.model, None, "", weights=object.__new__(Shards)), cache)
    assert not repeatable(_OnGpu(lm.model, None, "", quantize=NF4), cache)
    assert not repeatable(tiny_text_lm(), cache) or torch.cuda.is_available()


GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")


@GPU
@pytest.mark.parametrize("group", [1, 3])
@pytest.mark.parametrize("family", each(["", "qwen2_audio", "qwen2_5_omni_thinker", "voxtral", "phi4_multimodal"]))
def test_a_graph_gives_the_same_answers(family: str, group: int, monkeypatch: pytest.MonkeyPatch):
    lm = tiny_audio_lm(family).lm if family else tiny_text_lm()
    lm.model.to("cuda")
    lm.end_ids = list(range(12))
    asked = (lm, PROMPTS, LONG, list(range(len(PROMPTS) * group)), group)
    recorded = []

    def counted(step: Step, device: torch.device, make=decoding.graph) -> Step:
        recorded.append(1)
        return make(step, device)

    monkeypatch.setattr(replay, "ROOM", 9)
    monkeypatch.setattr(decoding, "graph", counted)
    ours = generate(*asked)
    assert len(recorded) > 1  # once more when there was no room left
    monkeypatch.setattr(decoding, "WORTH", 1000)
    same(ours, generate(*asked))


@GPU
def test_a_step_that_waits_for_the_gpu_is_refused_and_randomness_goes_on():
    def waits() -> torch.Tensor:
        return torch.ones(2, device="cuda").sum().item() * torch.ones(2, device="cuda")

    with pytest.raises(NotRecorded, match="synchroniz"):
        decoding.graph(waits, torch.device("cuda"))
    assert len(set(torch.rand(4, device="cuda").tolist())) == 4
