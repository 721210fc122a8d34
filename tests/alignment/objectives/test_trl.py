"""Losses equal TRL's on fixed tensors; skipped where TRL is not installed."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from rba.alignment.divergence import Divergence, generalised_jsd
from rba.alignment.objectives.advantages import group_advantages, leave_one_out
from rba.alignment.objectives.objective import Batch, load_objective
from rba.alignment.objectives.settings import GrpoSettings, RlooSettings

from ..conftest import SMALL, own, sample, scored, task

trl = pytest.importorskip("trl")

REWARDS = [0.1, 0.9, 0.4, 0.7]
LENGTHS = [3, 1, 4, 2]
LONGEST = SMALL.sample.max_new_tokens
torch.manual_seed(0)
NOW, DRAWN, REF = ([-torch.rand(n, dtype=torch.float64) * 2 for n in LENGTHS] for _ in range(3))


class Lone:
    """Stands in for an accelerator of one process."""

    num_processes, sync_gradients, device = 1, True, torch.device("cpu")

    def gather(self, value: torch.Tensor) -> torch.Tensor:
        return value

    gather_for_metrics = gather

    def reduce(self, value: torch.Tensor, reduction: str) -> torch.Tensor:
        return value


def padded(rows: list[torch.Tensor]) -> torch.Tensor:
    return torch.nn.utils.rnn.pad_sequence(rows, batch_first=True)


def bare(kind: Any, logp_BT: torch.Tensor, **facts: Any) -> Any:
    """A TRL trainer with no model: only what its loss reads."""
    made = kind.__new__(kind)
    made.__dict__ |= {
        "aux_loss_enabled": False,
        "top_entropy_quantile": 1.0,
        "off_policy_mask_threshold": None,
        "importance_sampling_level": "token",
        "use_vllm": False,
        "_entropy_bonus_enabled": False,
        "current_gradient_accumulation_steps": 1,
        "max_completion_length": LONGEST,
        "model": SimpleNamespace(training=True),
        "accelerator": Lone(),
        "_metrics": {"train": defaultdict(list)},
        "args": SimpleNamespace(use_bias_correction_kl=False, delta=None, steps_per_generation=1),
        "_get_per_token_logps_and_entropies": lambda *args, **kwargs: (logp_BT, torch.zeros_like(logp_BT), None),
        **facts,
    }
    return made


def inputs(advantages: list[float]) -> dict[str, torch.Tensor]:
    mask = (padded([torch.ones(n) for n in LENGTHS]) > 0).long()
    return {
        "prompt_ids": torch.zeros(4, 1).long(),
        "prompt_mask": torch.ones(4, 1).long(),
        "completion_ids": mask,
        "completion_mask": mask,
        "advantages": torch.tensor(advantages, dtype=torch.float64),
        "old_per_token_logps": padded(DRAWN),
        "old_logps": torch.stack([row.sum() for row in DRAWN]),
        "ref_per_token_logps": padded(REF),
        "num_items_in_batch": mask.sum(),
    }


def ours(method: str, **settings: Any) -> tuple[torch.Tensor, list[Any]]:
    samples = [
        replace(sample(v, "x" * n, r), old=tuple(d.tolist()))
        for v, (n, r, d) in enumerate(zip(LENGTHS, REWARDS, DRAWN))
    ]
    rows = [own(i, now.tolist(), logp_ref_R=ref.tolist()) for i, (now, ref) in enumerate(zip(NOW, REF))]
    return load_objective(method, replace(SMALL, **settings)).terms(Batch([task(samples)], [rows])).total, rows


def same(loss: torch.Tensor, rows: list[Any], theirs: torch.Tensor, logp_BT: torch.Tensor) -> None:
    """Equal losses and equal gradients on every token."""
    assert float(loss.detach()) == pytest.approx(float(theirs.detach()), rel=1e-6)
    loss.backward()
    theirs.backward()
    for i, row in enumerate(rows):
        torch.testing.assert_close(row.logp_R.grad, logp_BT.grad[i, : LENGTHS[i]], rtol=1e-6, atol=1e-9)


def plain_advantages(reward_GN: torch.Tensor, scale: Any) -> torch.Tensor:
    """TRL's formula, which stands amid its generation of answers: (r - mean of the group) / (std + 1e-4)."""
    centred_GN = reward_GN - reward_GN.mean(1, keepdim=True)
    spread_GN = reward_GN.std(1, keepdim=True) if scale == "group" else reward_GN.std()
    return centred_GN if scale == "none" else centred_GN / (spread_GN + 1e-4)


@pytest.mark.parametrize("scale", ["group", "batch", "none"])
def test_advantages(scale: Any):
    reward_GN = torch.tensor([REWARDS, [0.5] * 4, [1.0, 0.0, 0.0, 3.0]], dtype=torch.float64)
    ours = group_advantages(reward_GN.flatten().tolist(), "aaaabbbbcccc", scale)
    theirs = plain_advantages(reward_GN, scale).flatten().tolist()
    assert ours == pytest.approx(theirs, rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("loss", ["grpo", "dr_grpo", "dapo"])
@pytest.mark.parametrize("kl", [0.0, 0.3])
def test_grpo(loss: Any, kl: float):
    logp_BT = padded(NOW).requires_grad_()
    facts = {"loss_type": loss, "beta": kl, "epsilon_low": 0.2, "epsilon_high": 0.28}
    advantages = plain_advantages(torch.tensor([REWARDS], dtype=torch.float64), "group")[0].tolist()
    theirs = bare(trl.GRPOTrainer, logp_BT, **facts)._compute_loss(None, inputs(advantages))  # type: ignore[arg-type]
    same(*ours("grpo", grpo=GrpoSettings(loss=loss, kl=kl, clip_high=0.28)), theirs, logp_BT)


def test_rloo():
    logp_BT = padded(NOW).requires_grad_()
    worth = [r - 0.1 * float((now - ref).sum()) for r, now, ref in zip(REWARDS, NOW, REF)]
    whole = torch.tensor(worth, dtype=torch.float64)
    advantages = whole - (whole.sum() - whole) / 3
    assert leave_one_out(worth, "aaaa") == pytest.approx(advantages.tolist())
    trainer = bare(trl.RLOOTrainer, logp_BT, epsilon_low=0.2, epsilon_high=0.2)
    theirs = trainer._compute_loss(None, inputs(advantages.tolist()))
    same(*ours("rloo", rloo=RlooSettings(kl=0.1)), theirs, logp_BT)


def test_dpo():
    logp_BT = padded(NOW[:2]).requires_grad_()

    def model(**kwargs: Any) -> Any:
        seen = torch.zeros_like(logp_BT)
        return SimpleNamespace(log_probs=logp_BT, entropy=seen, mean_logits=seen, is_top1=seen > 0)

    model.training = True  # type: ignore[attr-defined]
    facts = {
        "model": model,
        "beta": 0.1,
        "ld_alpha": None,
        "precompute_ref_logps": True,
        "f_divergence_type": "reverse_kl",
        "loss_types": ["sigmoid"],
        "loss_weights": [1.0],
        "label_smoothing": 0.0,
        "use_weighting": False,
        "_total_train_tokens": 0,
        "_tp_size": 1,
    }
    mask = torch.cat([torch.zeros(2, 1), (padded([torch.ones(n) for n in LENGTHS[:2]]) > 0).float()], 1).long()
    fields = {
        "input_ids": torch.ones_like(mask),
        "completion_mask": mask,
        "attention_mask": mask,
        "ref_chosen_logps": REF[0].sum()[None],
        "ref_rejected_logps": REF[1].sum()[None],
    }
    theirs = bare(trl.DPOTrainer, logp_BT, **facts)._compute_loss(model, fields, False)
    pair = [scored(0, role, now.tolist(), ref.tolist()) for role, now, ref in zip(("chosen", "rejected"), NOW, REF)]  # type: ignore[arg-type]
    asked = task([sample(0, "abc", 1.0), sample(0, "d", 0.0)], voices=1)
    same(load_objective("dpo", SMALL).terms(Batch([asked], [pair])).total, pair, theirs, logp_BT)


@pytest.mark.parametrize("beta", [0.0, 0.1, 0.5, 0.9, 1.0])
@pytest.mark.parametrize("temperature", [1.0, 2.0])
def test_generalised_jsd(beta: float, temperature: float):
    from trl.experimental.gkd.gkd_trainer import GKDTrainer

    student, teacher = torch.randn(2, 3, 11), torch.randn(2, 3, 11)
    theirs = GKDTrainer.generalized_jsd_loss(student, teacher, beta=beta, temperature=temperature, reduction="sum")
    ours = generalised_jsd(student.flatten(0, 1), teacher.flatten(0, 1), Divergence(beta, temperature)).sum()
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-6)
