"""Every objective trains the tiny SpeechLM end to end, with answers it drew itself."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from rba.alignment.groups import plan
from rba.alignment.objectives.objective import load_objective
from rba.alignment.objectives.settings import GkdSettings, GrpoSettings, OpdSettings, RbaOpdSettings, TarsSettings
from rba.alignment.rollout import Rollouts

from ..conftest import SMALL, Bench, variety

FAST = replace(SMALL, steps=6, lr=2e-2, answers=2)
METHODS: list[tuple[str, str, dict[str, Any]]] = [
    ("kd", "loss", {}),
    ("gkd", "teacher/divergence", {"gkd": GkdSettings(own=1.0)}),
    ("opd", "loss", {}),
    ("opd", "loss/speech", {"opd": OpdSettings(form="sampled", text_weight=0.0)}),
    ("dpo", "loss", {}),
    ("rba-single", "loss/preference", {}),
    ("rba-group", "loss/preference", {"pairing": "all", "lam": 0.0}),
    ("rba-opd", "loss", {}),
    ("rba-opd", "loss/preference", {"pairing": "all", "rba_opd": RbaOpdSettings(dense=0.0)}),
    ("grpo", "loss/policy", {"grpo": GrpoSettings(loss="grpo")}),
    ("rloo", "loss/policy", {"lr": 1e-3}),
    ("ppo", "loss/value", {}),
    ("tars", "loss/policy", {"tars": TarsSettings(behaviour=0.0, kl=0.01)}),
]


def trained(bench: Bench, method: str, settings: Any) -> list[dict[str, Any]]:
    """The records of a training on the bench's instructions."""
    steps = plan(bench.groups, settings.groups_per_step, settings.steps, 7)
    objective, place = load_objective(method, settings), bench.folder / "drawn"
    needs = {"typed": objective.needs_typed, "old": objective.needs_old}
    drawn = Rollouts(bench.speechlm, bench.bank, steps, settings, variety, place, seed=5, **needs)
    bench.trainer(method, settings, rollouts=drawn).run()
    return bench.records


@pytest.mark.parametrize(("method", "figure", "settings"), METHODS)
def test_the_loss_falls(benches, method: str, figure: str, settings: dict[str, Any]):
    records = trained(benches(2, 2), method, replace(FAST, **settings))
    assert records[-1][figure] < records[0][figure]
    assert records[0]["grad_norm"] > 0  # later, the clip may leave nothing to do
    assert all(value == value for record in records for value in record.values())


@pytest.mark.parametrize("method", ["kd", "gkd", "opd", "dpo", "grpo", "rloo", "ppo", "tars", "rba-opd"])
def test_neither_loss_nor_gradient_depends_on_the_micro_batches(benches, method: str):
    found = []
    for budget in (1, 100_000):
        settings = replace(FAST, steps=2, batch_tokens=budget, tars=TarsSettings(behaviour=0.0))
        records = trained(benches(2, 2), method, settings)
        found.append([(r["loss"], r["grad_norm"]) for r in records])
    assert found[0][0] == pytest.approx(found[1][0], rel=1e-3, abs=1e-5)
    assert found[0][1] == pytest.approx(found[1][1], rel=1e-2, abs=1e-4)


def test_fresh_answers_are_scored_as_they_were_drawn(benches):
    records = trained(benches(2, 2), "grpo", replace(FAST, steps=3, refresh="online", grpo=GrpoSettings(kl=0.0)))
    assert all(record["sampling/sampling_logp_difference/mean"] < 1e-4 for record in records)
    assert all(record["clip_ratio/region_mean"] == 0 for record in records)
    assert {"entropy", "completions/clipped_ratio", "frac_reward_zero_std"} <= records[0].keys()


@pytest.mark.parametrize("method", ["dpo", "rba-single", "rba-group", "grpo", "rloo", "ppo", "tars"])
def test_the_divergence_from_the_reference_is_logged_by_all_that_ask_it(benches, method: str):
    tars = TarsSettings(behaviour=0.0, kl=0.01)
    records = trained(benches(2, 2), method, replace(FAST, steps=2, use_reference=True, tars=tars))
    assert records[0]["kl/samples"] == pytest.approx(0, abs=1e-6)
    assert records[1]["kl/samples"] > 1e-6


def test_the_reward_for_hearing_as_one_reads_is_logged_as_others_are(benches):
    (record,) = trained(benches(2, 2), "tars", replace(FAST, steps=1, tars=TarsSettings(behaviour=0.0)))
    assert -1 <= record["rewards/representation/mean"] <= 1
    assert 0 <= record["rewards/representation/std"] <= 1


def test_the_value_head_is_trained_and_kept_but_no_part_of_the_model(benches):
    bench: Bench = benches(2, 2)
    settings = replace(FAST, steps=2, checkpoint_minutes=0.0)
    trained(bench, "ppo", settings)
    from safetensors.torch import load_file

    kept = load_file(bench.folder / "last" / "weights.safetensors")
    assert float(kept["own.out.weight"].abs().sum()) > 0
    bench.speechlm.save(bench.folder / "model")
    saved = load_file(bench.folder / "model" / "adapter" / "adapter_model.safetensors")
    assert all("lora_" in name for name in saved)
