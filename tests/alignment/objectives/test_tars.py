"""TARS: the reward for hearing as one reads."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from rba.alignment.objectives.objective import TYPED, Batch, load_objective
from rba.alignment.objectives.settings import GrpoSettings, TarsSettings
from rba.alignment.objectives.tars import layer_cosine

from ..conftest import SMALL, own, sample, scored, task

SETTINGS = replace(SMALL, tars=TarsSettings(representation=2.0), grpo=GrpoSettings(loss="grpo"))
TASK = replace(
    task([sample(0, "a", 0.0), sample(1, "b", 1.0)], voices=2), typed=(sample(8, "c", 3.0), sample(9, "d", 5.0))
)


def test_the_input_embeddings_do_not_count():
    one = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 2.0]])
    other = torch.tensor([[0.0, 9.0], [1.0, 0.0], [3.0, 0.0]])
    assert layer_cosine(one, other) == pytest.approx(0.5)


def test_spoken_answers_are_read_once_more_without_a_gradient():
    asked = load_objective("tars", SETTINGS).requests(TASK)
    assert [(r.voice, bytes(r.ids), r.role, r.layers, r.train) for r in asked] == [
        (0, b"a", "own", True, True),
        (1, b"b", "own", True, True),
        (TYPED, b"c", "own", False, True),
        (TYPED, b"d", "own", False, True),
        (TYPED, b"a", "reference", True, False),
        (TYPED, b"b", "reference", True, False),
    ]


def test_each_modality_has_its_own_mean_and_speech_its_alignment():
    east, north = torch.tensor([[1.0, 1.0], [1.0, 0.0]]), torch.tensor([[1.0, 1.0], [0.0, 1.0]])
    rows = [own(0, [-1.0], layers_LD=east), own(1, [-1.0], layers_LD=east)]
    rows += [own(i, [-1.0], voice=TYPED) for i in range(2)]
    read = [replace(scored(TYPED, "reference", [-1.0]), layers_LD=layers) for layers in (east, north)]
    terms = load_objective("tars", SETTINGS).terms(Batch([TASK], [rows + read]))
    terms.total.backward()  # speech: 0 + 2 * 1 against 1 + 2 * 0; text: 3 against 5
    assert [float(s.logp_R.grad) for s in rows] == pytest.approx([-0.5 / 4, 0.5 / 4, 1 / 4, -1 / 4])
    assert terms.rewards["representation"] == [(pytest.approx(1.0), 1), (pytest.approx(0.0), 1)]


def test_the_behaviour_reward_is_added_where_answers_are_ranked():
    assert load_objective("tars", SETTINGS).reward_terms == {"similarity": 1.0}
    bare = replace(SMALL, tars=TarsSettings(behaviour=0.0, representation=0.0, text=False))
    objective = load_objective("tars", bare)
    assert (dict(objective.reward_terms), objective.needs_typed) == ({}, False)
    assert [r.layers for r in objective.requests(task(TASK.samples, voices=2))] == [False, False]
