"""Settings that cannot work are refused by name."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from rba import config
from rba.alignment.settings import AlignSettings
from rba.errors import RecipeError


def test_the_defaults_are_the_papers():
    settings = AlignSettings()
    assert (settings.beta, settings.lam, settings.lr, settings.ce_reduction, settings.use_reference) == (
        0.1,
        0.2,
        1e-4,
        "sum",
        False,
    )
    assert settings.methods == ("sft", "rba-single", "rba-group")


@pytest.mark.parametrize(
    ("tree", "key"),
    [
        ({"methods": ["orpo"]}, "align.methods"),
        ({"methods": ["dpo"]}, "align.answers"),
        ({"methods": ["grpo"], "grpo": {"group": "voice"}}, "align.answers"),
        ({"answers": 0}, "align.answers"),
        ({"pairing": "some"}, "align.pairing"),
        ({"kd": {"temperature": 0.0}}, "align.kd.temperature"),
        ({"gkd": {"teacher_temperature": 0.0}}, "align.gkd.teacher_temperature"),
        ({"opd": {"teacher_temperature": 0.0}}, "align.opd.teacher_temperature"),
        ({"opd": {"teacher_temperature": 0.5, "form": "sampled"}}, "align.opd.teacher_temperature"),
        ({"rba_opd": {"teacher_temperature": 0.0}}, "align.rba_opd.teacher_temperature"),
        ({"rba_opd": {"dense_beta": 1.5}}, "align.rba_opd.dense_beta"),
        ({"kd": {"end_weight": -1.0}}, "align.kd.end_weight"),
        ({"gkd": {"beta": 1.5}}, "align.gkd.beta"),
        ({"gkd": {"own": -0.1}}, "align.gkd.own"),
        ({"opd": {"text_weight": 1.0}}, "align.opd.text_weight"),
        ({"opd": {"form": "half"}}, "align.opd.form"),
        ({"rba_opd": {"preference": 0.0, "dense": 0.0}}, "align.rba_opd"),
        ({"grpo": {"clip_low": 1.0}}, "align.grpo.clip_low"),
        ({"grpo": {"loss": "gspo"}}, "align.grpo.loss"),
        ({"rloo": {"kl": -1.0}}, "align.rloo.kl"),
        ({"ppo": {"trace": 1.1}}, "align.ppo.trace"),
        ({"tars": {"behaviour": -1.0}}, "align.tars.behaviour"),
        ({"methods": ["sft", "sft"]}, "align.methods"),
        ({"steps": 0}, "align.steps"),
        ({"lr": 0.0}, "align.lr"),
        ({"lam": -0.1}, "align.lam"),
        ({"warmup": 1.0}, "align.warmup"),
        ({"lora": {"rank": 0}}, "align.lora"),
        ({"tuning": "full", "quantize": "nf4"}, "align.tuning"),
        ({"checkpoint": "sharded"}, "align.checkpoint"),
        ({"tuning": "full", "rollout_server": "openai:http://localhost:8000/v1#m"}, "align.tuning"),
        ({"adaptive": {"backoff": 1.5}}, "align.adaptive"),
        ({"validation": {"groups": 0}}, "align.validation"),
        ({"sample": {"temperature": 0.0}}, "align.sample"),
        ({"refresh": "never"}, "align.refresh"),
        ({"ce_reduction": "max"}, "align.ce_reduction"),
        ({"reward": "recal"}, "align.reward"),
        ({"reward": {"recall": 1, "def": -1}}, "align.reward: def"),
        ({"reward": "recall + reward-model"}, "align.reward_model"),
        ({"reward_scaling": "rows"}, "align.reward_scaling"),
        ({"reward_scaling": "group"}, "align.validation.by=likelihood"),
    ],
)
def test_an_impossible_value_is_refused_with_its_key(tree: dict[str, Any], key: str):
    with pytest.raises(RecipeError) as refusal:
        config.build(AlignSettings, tree, "align")
    assert key in str(refusal.value)


def test_a_reward_may_be_a_mapping_and_scaled_where_no_validation_compares_it():
    tree = {"reward": {"recall": 1, "deaf": -1}, "reward_scaling": "group", "validation": {"by": "likelihood"}}
    assert config.build(AlignSettings, tree, "align").reward == {"recall": 1.0, "deaf": -1.0}
    config.build(AlignSettings, {"reward_scaling": "batch", "validation": {"every": 0}}, "align")
    config.build(AlignSettings, {"reward": "reward-model", "reward_model": "org/model"}, "align")


def test_they_load_without_torch():
    check = "import sys, rba.alignment.settings; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", check], env={"PYTHONPATH": "src"}, check=False).returncode == 0
