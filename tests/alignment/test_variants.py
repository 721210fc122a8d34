"""Variants: a method under other settings, by a name of its own, in the same run."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from rba import config
from rba.alignment.bank import typed_bank
from rba.alignment.prepare import prepare
from rba.alignment.settings import AlignSettings
from rba.alignment.variants import resolve, trained
from rba.errors import RecipeError
from rba.testing.tiny_speechlm import tiny_speechlm
from rba.testing.tiny_utterances import tiny_utterances

from .conftest import SMALL


def settings(**variants: dict[str, Any]) -> AlignSettings:
    tree = {"methods": ["sft", "rba-group"], "lr": 2e-4, "variants": variants}
    return config.build(AlignSettings, tree, "align")


def test_a_run_trains_its_methods_and_then_its_variants():
    assert trained(settings(sharp={"method": "rba-group"}, fixed={"method": "sft"})) == (
        *("sft", "rba-group"),
        *("sharp", "fixed"),
    )


def test_a_variant_changes_what_it_names_and_nothing_else():
    run = settings(fixed={"method": "rba-group", "beta": 0.5, "adaptive": {"enabled": False}})
    method, own = resolve(run, "fixed")
    assert (method, own.beta, own.lr, own.adaptive.enabled) == ("rba-group", 0.5, 2e-4, False)
    plain = resolve(run, "rba-group")[1]
    assert replace(own, beta=plain.beta, adaptive=plain.adaptive) == plain
    assert own.adaptive.backoff == plain.adaptive.backoff


def test_a_variant_may_bring_what_its_method_needs():
    assert resolve(settings(within={"method": "dpo", "answers": 2}), "within")[1].answers == 2


def test_a_method_can_be_trained_under_settings_of_its_own_alone():
    settings = AlignSettings(methods=("sft",), variants={"rba-group": {"method": "rba-group", "beta": 0.3}})
    method, own = resolve(settings, "rba-group")
    assert (method, own.methods, own.beta, settings.beta) == ("rba-group", ("rba-group",), 0.3, 0.1)
    assert trained(settings) == ("sft", "rba-group")


def test_a_name_that_is_not_trained_has_no_settings():
    with pytest.raises(KeyError):
        resolve(settings(), "sharp")


@pytest.mark.parametrize(
    ("variants", "line"),
    [
        ({"x": {"beta": 0.5}}, "has no method at align.variants.x"),
        ({"x": {"method": "rba"}}, "has the method 'rba'"),
        ({"x": {"method": "sft", "bta": 1}}, "align.variants.x.bta"),
        ({"x": {"method": "sft", "beta": 0.0}}, "align.variants.x"),
        ({"x": {"method": "sft", "methods": ["kd"]}}, "cannot change this at align.variants.x.methods"),
        ({"x": {"method": "sft", "variants": {}}}, "cannot change this"),
        ({"x": {"method": "dpo"}}, "align.variants.x: align.answers; dpo compares answers to one voice"),
        ({"sft": {"method": "sft"}}, "cannot have this name"),  # it is among the methods
        ({"dpo": {"method": "sft"}}, "cannot have this name"),
        ({"base": {"method": "sft"}}, "cannot have this name"),
        ({"teacher-again": {"method": "sft"}}, "cannot have this name"),
        ({"A b": {"method": "sft"}}, "cannot have this name"),
    ],
)
def test_a_variant_that_cannot_be_trained_is_refused(variants: dict[str, Any], line: str):
    with pytest.raises(RecipeError) as caught:
        settings(**variants)
    assert line in f"{caught.value.what} at {caught.value.where}; {caught.value.fix}"


def test_training_on_fewer_voices_and_instructions_learns_the_first_of_each(tmp_path):
    rows = tiny_utterances(5, 3)
    model = tiny_speechlm()

    def learnt(**changes: int):
        chosen = replace(SMALL, **changes)
        data = prepare(model, rows, chosen, 1, mark="m", shared=tmp_path)
        return {group.id: group.utterances for step in data.plan for group in step}, data.counts

    whole, _ = learnt()
    fewer, counts = learnt(voices=2, instructions=3)
    assert len(whole) == 5 and len(fewer) == counts["instructions_reached"] == 3
    assert all(whole[key][:2] == names for key, names in fewer.items())


def test_a_text_control_reads_the_words_that_the_others_hear(tmp_path):
    rows, model = tiny_utterances(3, 2), tiny_speechlm()
    data = prepare(model, rows, replace(SMALL, prompt="text"), 1, mark="m", shared=tmp_path)
    row = rows[0]
    [read] = data.learnt.initial([row.id])
    assert torch.equal(read, model.text_prompts([row.text])[0])
    assert read.shape != data.bank.initial([row.id])[0].shape or not torch.equal(read, data.bank.initial([row.id])[0])
    heard = prepare(model, rows, SMALL, 1, mark="m", shared=tmp_path)
    assert heard.learnt is heard.bank
    group = next(group for step in data.plan for group in step)
    assert typed_bank(model, [group]).current(list(group.utterances))[0].requires_grad is False


def test_a_connector_is_not_trained_on_typed_words():
    with pytest.raises(RecipeError, match="cannot work"):
        replace(SMALL, prompt="text", train_connector=True)
