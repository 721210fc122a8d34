"""What an update needs, in FLOPs, is a little less than what it spends."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from rba.alignment.objectives.objective import load_objective
from rba.alignment.work import WorkMeter

from .conftest import SMALL, Bench


@pytest.mark.parametrize("method", ["sft", "rba-single"])
def test_needed_flops_are_those_that_torch_counts_less_padding(bench: Bench, method: str):
    trainer = bench.trainer(method, replace(SMALL, use_reference=True, groups_per_step=2))
    tasks = [group.task() for group in trainer.plan[0]]
    if trainer.rollouts:
        tasks, _ = trainer.rollouts.tasks(0)
    wanted = [trainer.objective.requests(task) for task in tasks]
    needed = trainer.work.flops(tasks, wanted, drawn=False)
    with FlopCounterMode(display=False) as counter:
        trainer._terms(tasks, wanted, tasks).total.backward()
    assert 0.7 * counter.get_total_flops() < needed < 1.02 * counter.get_total_flops()


def test_drawing_and_references_are_work_too(bench: Bench):
    trainer = bench.trainer("rba-single")
    tasks, _ = trainer.rollouts.tasks(0)
    wanted = [trainer.objective.requests(task) for task in tasks]
    assert trainer.work.flops(tasks, wanted, drawn=True) > trainer.work.flops(tasks, wanted, drawn=False)
    plain = trainer.work.flops(tasks, wanted, drawn=False)
    with_reference = load_objective("rba-single", replace(SMALL, use_reference=True))
    meter = WorkMeter(trainer.engine, with_reference, "float32", bench.groups[0].utterances)
    assert meter.flops(tasks, wanted, drawn=False) > 1.2 * plain


def test_a_teacher_reads_each_answer_once(bench: Bench):
    trainer = bench.trainer("kd")
    task = trainer.plan[0][0].task()
    requests = trainer.objective.requests(task)
    untaught = [replace(request, divergence=None) for request in requests]

    def teaching(count: int) -> int:
        asked = requests[:count], untaught[:count]
        taught, plain = (trainer.work.flops([task], [part], drawn=False) for part in asked)
        return taught - plain

    decoder = trainer.work.decoder
    heads = 3 * 2 * len(task.reference) * decoder.width * decoder.vocabulary
    assert teaching(1) > heads
    assert teaching(3) - teaching(1) == 2 * heads


def test_of_a_model_of_unknown_shape_nothing_is_said(bench: Bench):
    bench.speechlm.lm.model.get_decoder().layers[0].mlp.extra = torch.nn.Linear(32, 64)
    bench.trainer("sft", replace(SMALL, steps=1)).run()
    assert "matmul_utilisation" not in bench.records[0]
    assert "tokens_per_second" in bench.records[0]
