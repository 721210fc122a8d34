"""A plan's numbers are those worked out by hand, and they move as they should."""

from __future__ import annotations

import math
import socket
import statistics
from dataclasses import replace
from pathlib import Path
from typing import Literal

import pytest
import torch

from rba.alignment.groups import Group
from rba.alignment.groups import plan as order
from rba.alignment.objectives import available
from rba.alignment.rollout import round_of
from rba.alignment.settings import AlignSettings
from rba.plan.plan import make_plan
from rba.plan.updates import Line, line_of
from rba.recipe import load_recipe

from .conftest import ROUND, WEIGHTS, Planner, item, stage

RECIPES = Path(__file__).parents[2] / "recipes"
ADAPTER = 2 * 2 * (64 + 48 + 48 + 64 + 3 * 96)
"""An adapter of rank 2 on all of them."""


def test_every_instruction_is_spoken_in_every_voice(toy: Planner):
    spoken, said = stage(toy(), "speech"), item(toy(), "speech", "utterances")
    assert said.count == 16
    assert spoken.audio_hours == pytest.approx(16 * 5 / 3600)
    assert said.core_seconds == pytest.approx(1.0)


# an update: four prompts of 24 shared rows and 16 of their own, an answer of five tokens each, whose last stays out
TOKENS = 24 + 4 * 16 + 4 * 4
PAIRS = 24 * 25 / 2 + 4 * (16 * 24 + 16 * 17 / 2) + 4 * (4 * 40 + 4 * 5 / 2)
FORWARD = 2 * TOKENS * (WEIGHTS + ADAPTER) + 4 * 2 * 32 * PAIRS


def test_an_update_passes_what_prompts_share_once(toy: Planner):
    found = item(toy(), "align/sft", "updates")
    backward = 2 * TOKENS * (WEIGHTS + 2 * ADAPTER) + 8 * 2 * 32 * PAIRS
    logits = 2 * 4 * 5 * 32 * 259
    assert found.flops == 3 * (FORWARD + backward + 2 * logits)
    assert found.prompt == 3 * 4 * (40 + 5)


def test_an_optimiser_holds_four_numbers_a_trained_weight(toy: Planner):
    parts = {part.what: part.bytes for part in stage(toy(), "align/sft").memory}
    assert parts["adapter, gradient and optimiser"] == 16 * ADAPTER
    assert parts["logits of a chunk"] == 128 * 259 * (4 + 4)


def test_keys_and_values_are_those_of_a_real_cache(toy: Planner):
    from transformers import DynamicCache

    from rba.testing.tiny_lm import tiny_text_lm

    model, memory = tiny_text_lm().model, DynamicCache()
    longest, rows = 24 + 10 + 6 + 10, 8
    with torch.no_grad():
        model(torch.zeros(rows, longest, dtype=torch.long), past_key_values=memory)
    held = sum(layer.keys.nbytes + layer.values.nbytes for layer in memory.layers)
    parts = {part.what: part.bytes for part in stage(toy(), "synthesis").memory}
    assert parts["keys and values"] == held  # float32 here, whatever the weights are: `rba.lm.grouped`


def _size(toy: Planner) -> int:
    """Bytes of a weight of the teacher on this machine."""
    decoder = toy().basis.text_lm(toy().basis.recipe.teacher)
    assert decoder is not None
    return decoder.itemsize


@pytest.mark.parametrize("method", available())
def test_every_method_can_be_planned(toy: Planner, method: str):
    plan = toy(f"align.methods=[{method}]", "align.answers=2", "align.refresh=online", "align.validation.every=1")
    assert item(plan, f"align/{method}", "updates").flops > 0
    assert not plan.unknown


def test_rewarded_methods_score_less_than_those_that_take_every_answer(toy: Planner):
    plan = toy("align.methods=[sft, rba-group, rba-single]", "speech.voices=4")
    sft, group, single = (item(plan, f"align/{name}", "updates").flops for name in ("sft", "rba-group", "rba-single"))
    assert sft < group < single


def test_more_voices_are_more_of_everything_that_is_spoken(toy: Planner):
    two, four = toy(), toy("speech.voices=4")
    assert stage(four, "speech").audio_hours == 2 * stage(two, "speech").audio_hours
    assert stage(four, "speech").disk == 2 * stage(two, "speech").disk
    assert item(four, "align (shared)", "clips").count == 2 * item(two, "align (shared)", "clips").count
    assert stage(four, "synthesis") == stage(two, "synthesis")


def test_twice_the_updates_are_twice_the_work(toy: Planner):
    assert item(toy("align.steps=6"), "align/sft", "updates").flops == 2 * item(toy(), "align/sft", "updates").flops


def test_only_instructions_that_updates_reach_are_encoded(toy: Planner):
    assert item(toy("align.steps=1"), "align (shared)", "clips").count == 2 * 2
    assert item(toy("align.steps=99"), "align (shared)", "clips").count == 6 * 2


@pytest.mark.parametrize(
    ("refresh", "updates", "drawn"), [("once", 3, 6), ("per_round", 6, 6), ("per_round", 3, 12), ("online", 3, 12)]
)
def test_self_samples_are_drawn_as_often_as_they_are_refreshed(toy: Planner, refresh: str, updates: int, drawn: int):
    """Six updates of two instructions are two passes over all six."""
    rounds = (f"align.refresh={refresh}", f"align.round_steps={updates}")
    plan = toy("align.methods=[rba-single]", "align.steps=6", *rounds)
    place = "align (shared)" if refresh == "once" else "align/rba-single"
    assert item(plan, place, "self-samples").count == 2 * drawn


DRAWN, TYPED, REWARDED = "self-samples drawn", "self-samples to typed requests drawn", "self-samples rewarded (judge)"
GROUP = "method: rba-group"


@pytest.mark.parametrize(
    ("methods", "variants", "made"),
    [
        ("rba-group", {"a": "method: rba-group, beta: 0.5"}, {"(shared)": [DRAWN, REWARDED]}),
        ("sft", {"a": GROUP, "b": GROUP}, {"/a": [DRAWN, REWARDED], "/b": [DRAWN, REWARDED]}),
        ("rba-single", {"a": GROUP, "b": GROUP}, {"(shared)": [DRAWN], "/a": [REWARDED]}),
        ("", {"rba-group": GROUP, "a": GROUP}, {"/rba-group": [DRAWN, REWARDED]}),
        ("rba-group", {"a": "method: opd", "b": "method: opd"}, {"(shared)": [DRAWN, REWARDED], "/a": [TYPED]}),
        ("rba-group", {"a": f"{GROUP}, reward: judge + recall"}, {"(shared)": [DRAWN, REWARDED], "/a": [REWARDED]}),
        ("rba-group", {"a": "method: tars"}, {"(shared)": [DRAWN, REWARDED], "/a": [TYPED, REWARDED]}),
        *(
            ("rba-group", {"a": f"{GROUP}, {key}"}, {"(shared)": [DRAWN, REWARDED], "/a": [DRAWN, REWARDED]})
            for key in (
                "answers: 2",
                "steps: 1",
                "train_connector: true",
                "refresh: online",
                "adaptive: {drift_every: 1}",
            )
        ),
    ],
)
def test_variants_make_the_self_samples_and_rewards_that_are_not_shared(toy: Planner, methods, variants, made):
    changed = ", ".join(f"{name}: {{{keys}}}" for name, keys in variants.items())
    plan = toy(f"align.methods=[{methods}]", f"align.variants={{{changed}}}", "align.reward=judge")
    found = {
        one.name.removeprefix("align").strip(): [item.what for item in one.items if item.what.startswith("self-")]
        for one in plan.stages
        if one.name.startswith("align")
    }
    assert {name: items for name, items in found.items() if items} == made


def test_a_variant_that_draws_once_where_methods_draw_online_keeps_its_own(toy: Planner):
    once = "align.variants={a: {method: rba-single, refresh: once}}"
    plan = toy("align.methods=[rba-single]", "align.refresh=online", once)
    drawn, again = item(plan, "align/a", DRAWN), item(plan, "align/rba-single", DRAWN)
    assert drawn.count == again.count > 0
    assert stage(plan, "align/a").disk - stage(plan, "align/rba-single").disk == 13 * drawn.new


def test_checkpointing_trades_memory_for_work(toy: Planner):
    plain, again = toy(), toy("align.gradient_checkpointing=true")
    work = [item(plan, "align/sft", "updates").flops for plan in (plain, again)]
    assert work[1] - work[0] == 3 * FORWARD
    kept = [
        next(part.bytes for part in stage(plan, "align/sft").memory if part.what == "activations")
        for plan in (plain, again)
    ]
    assert kept[1] < 0.8 * kept[0]


def test_a_reference_is_one_more_pass(toy: Planner):
    plain, with_reference = (
        item(toy("align.methods=[rba-single]", f"align.use_reference={value}"), "align/rba-single", "updates").flops
        for value in ("false", "true")
    )
    assert 1.2 * plain < with_reference < 1.5 * plain


def test_work_behind_a_server_costs_nothing_here(toy: Planner, bare: Path):
    plan = toy(f"teacher=openai:http://localhost:1/v1?concurrency=4#{bare / 'llm'}")
    here, away, _ = stage(plan, "synthesis").hours(plan.basis.local, plan.basis.server)
    assert here == 0 and away > 0
    assert stage(plan, "synthesis").peak(served=True) > 0


def test_self_samples_behind_a_server_cost_nothing_here(toy: Planner):
    online = ("align.methods=[grpo]", "align.refresh=online", "align.answers=2")
    here, away = (toy(*online, *more) for more in ((), ("align.rollout_server=openai:http://localhost:1/v1#policy",)))
    drawn = [item(plan, "align/grpo", "self-samples drawn") for plan in (here, away)]
    assert [found.served for found in drawn] == [False, True]
    assert drawn[0].flops == drawn[1].flops > 0
    here, away = (
        toy(*online, "align.validation.every=0", *more)
        for more in ((), ("align.rollout_server=openai:http://localhost:1/v1#policy",))
    )
    parts = [{part.what for part in stage(plan, "align/grpo").memory} for plan in (here, away)]
    assert parts[0] - parts[1] == {"keys and values", "logits of a step", "weights laid out"}


def test_what_a_cpu_draws_by_is_counted_up_to_its_bound(toy: Planner, monkeypatch: pytest.MonkeyPatch):
    def copied() -> float:
        memory = stage(toy("align.methods=[grpo]", "align.refresh=online", "align.answers=2"), "align/grpo").memory
        return sum(part.bytes for part in memory if part.what == "weights laid out")

    decoder = toy().basis.hearing.decoder
    assert decoder is not None
    assert copied() >= decoder.itemsize * decoder.weights
    monkeypatch.setattr("rba.plan.memory.MOST", copied() - 1)
    assert not copied()


def test_reading_binds_where_few_answers_are_drawn_at_once(toy: Planner):
    """One answer at a time reads all weights for every token; eight together read them once."""
    slow, fast = (toy(f"synthesis.batch={n}") for n in (1, 8))
    moved = [sum(p.moved for p in item(plan, "synthesis", "requests answered").passes) for plan in (slow, fast)]
    # twelve answers of five tokens, the first of which comes with the prompt of 40 rows; half way there are 42
    weights, keys = WEIGHTS + 32 * 259, 2 * 2 * 2 * 8 * 42
    assert moved[0] == 12 * 4 * _size(toy) * (weights + keys)
    assert moved[1] == 2 * 4 * _size(toy) * (weights + 8 * keys)
    assert item(slow, "synthesis", "requests answered").flops == item(fast, "synthesis", "requests answered").flops


def test_a_model_of_unknown_shape_is_told_once_and_the_rest_is_planned(toy: Planner):
    plan = toy("model=org/nobody-has-this")
    (line,) = plan.unknown
    assert line.startswith("the shape of org/nobody-has-this is not known here") and "--shape" in line
    assert item(plan, "speech", "utterances").count == 16 and item(plan, "synthesis", "requests drawn").flops > 0
    assert item(plan, "align/sft", "updates").unknown and item(plan, "evaluation", "answers: base").count == 2


def test_an_engine_of_unknown_speed_is_told(toy: Planner):
    (line,) = toy("speech.engine=espeak").unknown
    assert line.startswith("speech, utterances spoken: the speed of espeak is unknown")


def test_a_large_model_is_planned_on_gpus_unless_told_otherwise(toy: Planner):
    large = "teacher=meta-llama/Llama-3.1-8B-Instruct"
    assert toy().basis.local.kind == "core" and toy(large).basis.local.kind == "GPU"
    assert toy(large, gpus=0).basis.local.kind == "core" and toy(gpus=3).basis.local.count == 3
    assert toy(gpus=1, tflops=100).basis.local.flops == 1e14


def walked(train: int, settings: AlignSettings, seed: int) -> int:
    """The instructions of all rounds, by the line that alignment itself goes along."""
    groups = [Group(str(i), "", "", (), ()) for i in range(train)]
    rounds: dict[int, set[str]] = {}
    for step, chosen in enumerate(order(groups, settings.groups_per_step, settings.steps, seed)):
        rounds.setdefault(round_of(step, settings), set()).update(group.id for group in chosen)
    return sum(map(len, rounds.values()))


@pytest.mark.parametrize(("train", "steps", "per_step"), [(8, 6, 4), (10, 25, 3), (3, 7, 8), (97, 40, 5)])
@pytest.mark.parametrize(("refresh", "round_steps"), [("once", 9), ("online", 9), ("per_round", 3), ("per_round", 9)])
def test_the_rounds_of_all_updates_are_those_that_alignment_walks(
    train: int, steps: int, per_step: int, refresh: Literal["once", "online", "per_round"], round_steps: int
):
    settings = AlignSettings(steps=steps, groups_per_step=per_step, refresh=refresh, round_steps=round_steps)
    mean = statistics.fmean(walked(train, settings, seed) for seed in range(100))
    assert line_of(train, settings).drawn == pytest.approx(mean, rel=0.01, abs=0.5)


def test_a_plan_of_a_billion_updates_walks_none_of_them():
    settings = AlignSettings(steps=10**9, groups_per_step=4, refresh="online")
    assert line_of(8, settings) == Line(8, 4 * 10**9)
    assert line_of(6, settings) == Line(6, round(10**9 * (4 + (4 - 4 / 6) + 4) / 3))
    assert line_of(0, settings) == Line(0, 0)


def test_a_slower_device_takes_longer(toy: Planner):
    hours = [
        sum(s.hours(p.basis.local, p.basis.server)[0] for s in p.stages) for p in (toy(tflops=1e-3), toy(tflops=1e-4))
    ]
    assert 5 < hours[1] / hours[0] < 10.001


def test_the_papers_recipe_is_the_papers_size(monkeypatch: pytest.MonkeyPatch):
    def no_network(*_: object) -> None:
        raise AssertionError("a plan needs no network")

    monkeypatch.setattr(socket.socket, "connect", no_network)
    plan = make_plan(load_recipe(RECIPES / "paper.yaml"))
    assert item(plan, "synthesis", "instructions").count == 250_000 + 1024 + 1600
    assert item(plan, "speech", "utterances").count == 4 * 252_624
    assert item(plan, "align (shared)", "clips").count == 1_000_000 + 4 * 1024
    assert item(plan, "align/rba-group", "self-samples drawn").count == 1_000_000
    assert item(plan, "align/rba-group", "self-samples rewarded (reward-model)").count == 1_000_000
    assert {item(plan, f"align/{m}", "updates").count for m in ("sft", "rba-single", "rba-group")} == {15_625}
    assert item(plan, "align/sft", "validation answers scored").count == 33 * 1024
    assert stage(plan, "speech").audio_hours == pytest.approx(4 * 252_624 * 15 * 0.39 / 3600)
    assert plan.basis.local.kind == "GPU" and plan.unknown == ()
    sizes = {shape.name: shape.parameters / 1e9 for shape in plan.basis.shapes.known}
    assert sizes["meta-llama/Llama-3.1-70B-Instruct"] == pytest.approx(70.55, abs=0.01)
    assert sizes["Qwen/Qwen2-Audio-7B-Instruct"] == pytest.approx(8.40, abs=0.01)
    assert sizes["RLHFlow/ArmoRM-Llama3-8B-v0.1"] == pytest.approx(7.51, abs=0.01)


def test_assumed_shares_reach_the_plan(toy: Planner):
    more = toy(assumed=replace(ROUND, kept=0.25))
    assert item(more, "synthesis", "requests drawn").count == 32
    assert math.isclose(
        stage(toy(assumed=replace(ROUND, flac_bytes=31_500)), "speech").disk / stage(toy(), "speech").disk,
        2,
        rel_tol=0.05,
    )
