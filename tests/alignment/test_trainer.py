"""The training loop."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rba.alignment.bank import build_bank
from rba.alignment.drift import DriftProbe
from rba.alignment.settings import AdaptiveSettings, LoraSettings, ValidationSettings
from rba.alignment.trainer import micro_batches
from rba.errors import ModelError
from rba.models.adapters import add_lora

from .conftest import SMALL, Bench


class Scripted:
    """A validator whose scores are given."""

    def __init__(self, scores: list[float]):
        self.scores = iter(scores)

    def __call__(self) -> dict[str, float]:
        return {"validation/score": next(self.scores)}


def weights(bench: Bench, trained: bool) -> dict[str, torch.Tensor]:
    """The LLM's trained or frozen weights, by name."""
    named = bench.speechlm.lm.model.named_parameters()
    return {n: p.detach().clone() for n, p in named if ("lora_" in n) == trained}


def test_sft_memorises_four_instructions(benches):
    bench: Bench = benches(4, 2)
    bench.trainer("sft", replace(SMALL, steps=12, groups_per_step=4, lr=3e-2)).run()
    assert bench.records[-1]["ce"] < 0.75 * bench.records[0]["ce"]


def test_rba_single_widens_the_margin(benches):
    bench: Bench = benches(4, 3)
    bench.trainer("rba-single", replace(SMALL, steps=12, groups_per_step=4, lr=3e-2)).run()
    assert bench.records[-1]["rewards/margins"] > bench.records[0]["rewards/margins"] + 0.5
    assert bench.records[-1]["loss/preference"] < bench.records[0]["loss/preference"]


def test_rba_group_widens_the_margin(benches):
    bench: Bench = benches(4, 3)
    bench.trainer("rba-group", replace(SMALL, steps=12, groups_per_step=4, lr=3e-2, lam=0.0)).run()
    assert bench.records[-1]["rewards/margins"] > bench.records[0]["rewards/margins"] + 0.5


def test_the_base_stays_frozen_and_the_adapter_moves(bench: Bench):
    trainer = bench.trainer("rba-group")
    base, adapter = weights(bench, False), weights(bench, True)
    trainer.run()
    assert all(torch.equal(w, weights(bench, False)[n]) for n, w in base.items())
    assert any(not torch.equal(w, weights(bench, True)[n]) for n, w in adapter.items())


def test_the_gradient_does_not_depend_on_the_micro_batches(benches):
    losses = []
    for budget in (1, 100_000):
        bench: Bench = benches(2, 3)
        bench.trainer("rba-group", replace(SMALL, steps=2, batch_tokens=budget)).run()
        losses.append([(r["loss"], r["grad_norm"]) for r in bench.records])
    assert losses[0][0] == pytest.approx(losses[1][0], rel=1e-4)
    assert losses[0][1] == pytest.approx(losses[1][1], rel=1e-3)


def test_blocks_that_run_again_in_the_backward_pass_change_nothing(benches):
    found = []
    for light in (False, True):
        bench: Bench = benches(2, 3)
        bench.trainer("rba-group", replace(SMALL, steps=2, gradient_checkpointing=light)).run()
        found.append(weights(bench, True))
    assert all(torch.equal(weight, found[1][name]) for name, weight in found[0].items())


def dropping(bench: Bench) -> Bench:
    """A bench whose LLM drops out of its attention in training mode, as some families are published."""
    for block in bench.speechlm.lm.model.model.layers:
        block.self_attn.attention_dropout = 0.5
    return bench


@pytest.mark.parametrize("method", ["sft", "rba-single", "rba-group"])
def test_half_precision_is_near_and_something_else(benches, method: str):
    half, whole = (benches() for _ in range(2))
    half.trainer(method, replace(SMALL, dtype="bfloat16")).run()
    whole.trainer(method, SMALL).run()
    for ours, theirs in zip(half.records, whole.records, strict=True):
        assert ours["loss"] == pytest.approx(theirs["loss"], rel=0.005)
        assert ours["loss"] != theirs["loss"]
        assert ours["grad_norm"] == pytest.approx(theirs["grad_norm"], rel=0.02)
    assert {p.dtype for p in half.speechlm.lm.model.parameters() if p.requires_grad} == {torch.float32}


def test_an_adapter_with_dropout_begins_as_its_reference_whatever_the_llm_drops_in_training(bench: Bench):
    settings = replace(SMALL, steps=1, use_reference=True, lam=0.0, lora=replace(SMALL.lora, dropout=0.1))
    dropping(bench).trainer("rba-group", settings).run()
    assert bench.records[0]["rewards/margins"] == pytest.approx(0, abs=1e-5)
    assert bench.records[0]["loss/preference"] == pytest.approx(math.log(2), abs=1e-5)


def test_the_adapters_dropout_acts_in_updates(benches):
    moved = []
    for dropout in (0.0, 0.5):
        bench: Bench = benches(2, 3)
        bench.trainer("sft", replace(SMALL, lora=replace(SMALL.lora, dropout=dropout))).run()
        moved.append(weights(bench, True))
    assert any(not torch.equal(weight, moved[1][name]) for name, weight in moved[0].items())


def test_instructions_are_never_cut_by_a_micro_batch():
    assert micro_batches([3, 3, 3, 9, 1], 6) == [[0, 1], [2], [3], [4]]
    assert micro_batches([5, 5, 5, 5], 16) == [[0, 1], [2, 3]]
    assert micro_batches([], 6) == []


@given(st.lists(st.integers(1, 50), max_size=20), st.integers(1, 200))
def test_micro_batches_hold_everything_in_order_within_the_budget(costs: list[int], budget: int):
    parts = micro_batches(costs, budget)
    assert [i for part in parts for i in part] == list(range(len(costs)))
    assert all(len(part) == 1 or sum(costs[i] for i in part) <= budget for part in parts)


def test_all_methods_see_the_same_instructions_in_the_same_order(benches):
    plans = [
        [[g.id for g in step] for step in benches(3, 2).trainer(m).plan] for m in ("sft", "rba-single", "rba-group")
    ]
    assert plans[0] == plans[1] == plans[2]


def test_every_update_is_logged(bench: Bench):
    bench.trainer("rba-group").run()
    assert [r["step"] for r in bench.records] == [1, 2, 3, 4]
    wanted = {
        "loss",
        "loss/preference",
        "loss/ce",
        "ce",
        "rewards/margins",
        "rewards/accuracies",
        "logps/chosen",
        "logps/rejected",
        "length/chosen",
        "length/rejected",
        "length/reference",
        "pairs/tied",
        "reward",
        "reward_std",
        "frac_reward_zero_std",
        "reward_length_correlation",
        "completions/mean_length",
        "completions/deaf",
        "grad_norm",
        "lr",
        "lr_multiplier",
        "tokens_per_second",
        "matmul_utilisation",
        "seconds",
    }
    assert wanted <= bench.records[0].keys()
    assert all(value == value for record in bench.records for value in record.values())


def test_a_record_holds_what_json_has_and_nothing_else(bench: Bench):
    bench.trainer("sft").log({"step": 1, "lr": 0.5, "loss": math.inf, "grad_norm": -math.inf, "kl": math.nan})
    assert bench.records == [{"step": 1, "lr": 0.5}]


def test_the_connector_learns_where_asked(benches):
    bench: Bench = benches(2, 2)
    bank, _ = build_bank(bench.speechlm, bench.utterances, keep_features=True)
    settings = replace(SMALL, train_connector=True, connector_lr=1e-2, use_reference=True, lora=LoraSettings(rank=0))
    before = [p.detach().clone() for p in bench.speechlm.connector_parameters()]
    bench.trainer("rba-single", settings, bank).run()
    after = list(bench.speechlm.connector_parameters())
    assert any(not torch.equal(a, b) for a, b in zip(before, after))
    assert bench.records[0]["rewards/margins"] == pytest.approx(0, abs=1e-5)
    assert bench.records[-1]["rewards/margins"] != pytest.approx(0, abs=1e-5)


def test_after_a_kill_behind_a_validation_the_weights_of_the_best_that_is_known_are_kept(bench: Bench):
    settings = replace(SMALL, checkpoint_minutes=0.0, validation=ValidationSettings(every=1, patience=0))
    seen: dict[int, dict[str, torch.Tensor]] = {}

    def killed(record: dict[str, Any]) -> None:
        if record["step"] == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        bench.trainer("sft", settings, validator=Scripted([0.1, 0.2, 0.5, 0.9]), log=killed).run()
    again = Bench(bench.folder, 2, 3)
    log = partial(keep_weights, again, seen)
    outcome = again.trainer("sft", settings, validator=Scripted([0.4, 0.3]), log=log).run()
    whole = Bench(bench.folder.with_name("whole"), 2, 3)
    log = partial(keep_weights, whole, seen)
    whole.trainer("sft", settings, validator=Scripted([0.1, 0.2, 0.5, 0.4, 0.3]), log=log).run()
    assert outcome.best_step == 2
    assert all(torch.equal(weight, seen[2][name]) for name, weight in weights(again, True).items())
    assert [path.name for path in bench.folder.glob("best*")] == ["best-2.safetensors"]


def keep_weights(bench: Bench, seen: dict[int, dict[str, torch.Tensor]], record: dict[str, Any]) -> None:
    seen[record["step"]] = weights(bench, True)


def test_the_best_weights_are_kept(benches):
    settings = replace(SMALL, validation=ValidationSettings(every=1, patience=0))
    kept: Bench = benches(2, 2)
    outcome = kept.trainer("sft", settings, validator=Scripted([0, 1, 5, 3, 2])).run()
    assert (outcome.best_step, outcome.best_score, outcome.steps) == (2, 5, 4)
    short: Bench = benches(2, 2)
    trainer = short.trainer("sft", settings)
    trainer._step(), trainer._step()
    assert all(torch.equal(w, weights(kept, True)[n]) for n, w in weights(short, True).items())


def test_training_stops_when_validation_no_longer_improves(bench: Bench):
    settings = replace(SMALL, steps=9, validation=ValidationSettings(every=1, patience=2))
    outcome = bench.trainer("sft", settings, validator=Scripted([0, 1, 3, 2, 1, 1, 1, 1, 1, 1])).run()
    assert (outcome.steps, outcome.best_step) == (4, 2)


def test_drift_over_the_target_slows_the_training_down(bench: Bench):
    adaptive = AdaptiveSettings(drift_every=1, drift_target=1e-9)
    settings = replace(SMALL, adaptive=adaptive)
    add_lora(bench.speechlm, 4, 8, seed=1)
    probe = DriftProbe(bench.speechlm, bench.bank, bench.groups, settings, seed=3)
    bench.trainer("sft", settings, probe=probe).run()
    assert bench.records[-1]["kl"] > 0
    assert bench.records[-1]["lr_multiplier"] == pytest.approx(0.7**3)


def test_an_update_without_a_finite_gradient_is_left_out_and_many_are_refused(bench: Bench):
    trainer = bench.trainer("sft", replace(SMALL, steps=20))
    before = weights(bench, True)
    trainer._apply(float("nan"))
    assert all(torch.equal(w, weights(bench, True)[n]) for n, w in before.items())
    with pytest.raises(ModelError, match="finite gradient"):
        for _ in range(20):
            trainer._apply(float("inf"))


def test_the_end_token_is_learnt(benches):
    """Trained on one short answer, the model gives it and stops."""
    from rba.lm.generation import generate
    from rba.lm.sampling import Sampling

    bench: Bench = benches(1, 1)
    bench.trainer("sft", replace(SMALL, steps=40, groups_per_step=1, lr=3e-2)).run()
    prompts = bench.bank.initial(bench.groups[0].utterances)
    ((answer,),) = generate(bench.speechlm.lm, prompts, Sampling(0.0, 1.0, 30), [0])
    assert answer.finished
    assert answer.text == bench.groups[0].response
