"""GRPO over the answers to all voices, or to one."""

from __future__ import annotations

from dataclasses import replace
from math import exp

import pytest
import torch

from rba.alignment.objectives.objective import Batch, load_objective
from rba.alignment.objectives.settings import GrpoSettings, PpoSettings, RlooSettings, TarsSettings

from ..conftest import SMALL, own, sample, task

DRAWN = [sample(v, t, r) for v, t, r in ((0, "a", 0.0), (0, "bb", 1.0), (1, "c", 0.5), (1, "dd", None))]
TASK = task([replace(s, old=(-1.0,) * len(s.ids)) for s in DRAWN], voices=2)
PLAIN = GrpoSettings(loss="grpo", scale="none", kl=0.0)


def rows(**parts):
    return [own(0, [-1.0], voice=0, **parts), own(1, [-1.0, -1.0], voice=0, **parts), own(2, [-1.0], voice=1, **parts)]


def test_answers_without_a_reward_are_not_asked():
    asked = load_objective("grpo", SMALL).requests(TASK)
    assert [(r.voice, r.sample) for r in asked] == [(0, 0), (0, 1), (1, 2)]


def test_the_gradient_follows_the_advantage_and_so_does_the_group():
    for group, wanted in (("instruction", [0.5, -0.5, 0.0]), ("voice", [0.5, -0.5, 0.0])):
        made = rows()
        objective = load_objective("grpo", replace(SMALL, grpo=replace(PLAIN, group=group)))
        objective.terms(Batch([TASK], [made])).total.backward()
        assert [float(s.logp_R.grad.sum()) for s in made] == pytest.approx([w / 3 for w in wanted])
    split = task(
        [replace(s, utterance=f"u{i // 2}", reward=r) for i, (s, r) in enumerate(zip(TASK.samples, (0, 1, 5, 9)))]
    )
    made = [own(i, [-1.0], voice=i // 2) for i in range(4)]
    load_objective("grpo", replace(SMALL, grpo=replace(PLAIN, group="voice"))).terms(
        Batch([split], [made])
    ).total.backward()
    assert [float(s.logp_R.grad) for s in made] == pytest.approx([0.5 / 4, -0.5 / 4, 2 / 4, -2 / 4])


def test_a_policy_that_has_drawn_its_answers_itself_is_never_clipped():
    """However far what they were drawn with is from what scoring says; that weighs the tokens, up to a bound."""
    fresh = task(
        [replace(s, old=(), logp=(drawn,) * len(s.ids)) for s, drawn in zip(TASK.samples, (-1.3, -3, -1, -1))], 2
    )
    made = rows()
    terms = load_objective("grpo", replace(SMALL, grpo=PLAIN)).terms(Batch([fresh], [made]))
    terms.total.backward()
    assert terms.metrics["clip_ratio/region_mean"] == [0.0, 0.0, 0.0]
    assert [float(s.logp_R.grad.sum()) for s in made] == pytest.approx([0.5 * exp(0.3) / 3, -0.5 * 2 / 3, 0.0])


@pytest.mark.parametrize(("method", "per_answer"), [("grpo", False), ("tars", False), ("ppo", False), ("rloo", True)])
def test_what_an_engine_draws_too_often_counts_for_less(method: str, per_answer: bool):
    """Every policy gradient; of whole answers where they are one action."""
    plain = replace(SMALL, grpo=PLAIN, tars=TarsSettings(kl=0, behaviour=0, representation=0, text=False))
    plain = replace(plain, ppo=PpoSettings(kl=0), rloo=RlooSettings(kl=0))

    def gradients(logp: float | None) -> list[list[float]]:
        samples = [replace(s, old=(), logp=() if logp is None else (logp,) * len(s.ids)) for s in TASK.samples[:3]]
        made = [replace(s, states_RD=torch.zeros(len(s.logp_R), 4), layers_LD=torch.ones(2, 4)) for s in rows()]
        objective = load_objective(method, plain)
        objective.own_parameters(4, torch.device("cpu"))
        objective.terms(Batch([task(samples, voices=2)], [made])).losses["policy"].backward()
        return [s.logp_R.grad.tolist() for s in made]

    for ours, whole in zip(gradients(-0.8), gradients(None)):
        weight = exp(-0.2 * (len(whole) if per_answer else 1))
        assert ours == pytest.approx([weight * g for g in whole])
    assert any(any(row) for row in gradients(None))


def test_parts_of_an_update_add_up_to_the_whole():
    for loss in ("grpo", "dapo", "dr_grpo"):
        objective = load_objective("grpo", replace(SMALL, grpo=GrpoSettings(loss=loss, scale="batch", kl=0.1)))
        other = task([replace(TASK.samples[1], utterance="u0", reward=r) for r in (3.0, 1.0)], voices=1)
        update = [TASK, other]
        ref = [own(i, [-1.0, -2.0], voice=0, logp_ref_R=[-1.5, -1.0]) for i in range(2)]
        first = [replace(s, logp_ref_R=s.logp_R.detach() - 0.3) for s in rows()]
        whole = objective.terms(Batch(update, [first, ref])).total
        parts = [objective.terms(Batch([t], [s], update)).total / 2 for t, s in zip(update, (first, ref))]
        assert float(sum(parts).detach()) == pytest.approx(float(whole.detach()))


def test_the_kl_term_has_its_weight():
    made = [replace(s, logp_ref_R=s.logp_R.detach() - 1.0) for s in rows()]
    terms = load_objective("grpo", replace(SMALL, grpo=replace(PLAIN, kl=0.5))).terms(Batch([TASK], [made]))
    assert float(terms.losses["kl"].detach()) == pytest.approx(0.5 * (2.718281828**-1 + 1 - 1))
    assert not load_objective("grpo", replace(SMALL, grpo=PLAIN)).needs_reference
