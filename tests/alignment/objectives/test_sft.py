"""SFT: Eq. 1 is a mean over voices and a sum over tokens."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rba.alignment.objectives.objective import Batch, load_objective
from rba.alignment.objectives.sft import cross_entropy

from ..conftest import SMALL, Bench, scored, task

ROWS = [scored(0, "reference", [-1.0, -2.0]), scored(1, "reference", [-3.0, -4.0])]


def test_the_loss_is_summed_over_tokens_and_averaged_over_voices():
    terms = load_objective("sft", SMALL).terms(Batch([task(voices=2)], [ROWS]))
    assert float(terms.total.detach()) == (3 + 7) / 2


def test_instructions_are_averaged():
    one = [scored(0, "reference", [-1.0])]
    terms = load_objective("sft", SMALL).terms(Batch([task(voices=2), task(voices=1)], [ROWS, one]))
    assert float(terms.total.detach()) == (5 + 1) / 2


def test_the_mean_reduction_divides_by_the_tokens():
    terms = load_objective("sft", replace(SMALL, ce_reduction="mean")).terms(Batch([task(voices=2)], [ROWS]))
    assert float(terms.total.detach()) == 5 / 2


def test_the_log_holds_nats_a_token_whatever_the_reduction():
    for reduction in ("sum", "mean"):
        terms = load_objective("sft", replace(SMALL, ce_reduction=reduction)).terms(Batch([task(voices=2)], [ROWS]))
        assert list(terms.metrics["ce"]) == [1.5, 3.5]


@given(st.permutations([-1.0, -5.5, -9.25, -2.0]))
def test_the_order_of_the_voices_changes_nothing(logp: list[float]):
    assert float(cross_entropy(torch.tensor(logp), 3, "sum")) == pytest.approx(4.4375)


def test_every_voice_answers_as_the_teacher():
    asked = load_objective("sft", SMALL).requests(task(voices=3))
    assert [(r.voice, r.ids, r.role) for r in asked] == [(v, tuple(b"yes"), "reference") for v in range(3)]


def test_with_one_voice_it_is_the_models_own_loss_times_the_tokens(benches):
    bench: Bench = benches(1, 1)
    (group,) = bench.groups
    (prompt,) = bench.bank.initial(group.utterances)
    answer = torch.tensor([group.reference])
    inputs = torch.cat([prompt[None], bench.speechlm.lm.model.get_input_embeddings()(answer)], 1)
    labels = torch.cat([torch.full((1, len(prompt)), -100), answer], 1)
    own = float(bench.speechlm.lm.model(inputs_embeds=inputs, labels=labels).loss)
    trainer = bench.trainer("sft", replace(SMALL, steps=1, groups_per_step=1))
    trainer.run()
    assert bench.records[0]["loss"] == pytest.approx(own * len(group.reference), rel=1e-5)
