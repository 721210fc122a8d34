"""Training curves: a panel for each logged value, whatever was logged."""

from __future__ import annotations

import math

from rba.report.curves import groups


def test_methods_share_the_panel_of_a_value_in_a_fixed_order() -> None:
    records = [{"stage": f"align/{m}", "step": s, "loss": s + 1.0} for m in ("rba-group", "sft") for s in range(3)]
    (group,) = groups(records)
    (panel,) = group.panels
    assert panel.title == "Loss"
    assert panel.svg.index(">SFT<") < panel.svg.index(">RBA-Group<")


def test_known_values_come_first_and_unknown_ones_are_kept_apart() -> None:
    records = [{"stage": "align/sft", "step": s, "zeal": 2.0 * s, "kl": 0.1 * s, "loss": 1.0 - s} for s in range(3)]
    (group,) = groups(records)
    assert [p.title for p in group.panels] == ["Loss", "Drift"]
    assert [p.title for p in group.more] == ["Zeal"]


def test_what_is_no_number_or_no_curve_is_left_out() -> None:
    odd = {"loss": math.nan, "kl": None, "reward": "high", "flag": True, "time": 5.0, "margin": 1.0}
    (group,) = groups([{"stage": "align/sft", "step": s, **odd} for s in range(3)])
    assert group.panels == [] and [p.title for p in group.more] == ["Margin"]
    assert groups([]) == [] and groups([{"stage": "run", "what": "speech", "seconds": 3.0}]) == []


def test_a_step_logged_again_after_a_restart_counts_once() -> None:
    records = [{"stage": "connect", "step": s, "loss": v} for s, v in ((0, 9.0), (1, 8.0), (1, 4.0), (2, 3.0))]
    (group,) = groups(records)
    assert group.title == "Connector"
    assert "4 at 1" in group.panels[0].svg and "8 at 1" not in group.panels[0].svg


def test_records_of_another_kind_have_panels_of_their_own() -> None:
    records = [{"stage": "align/sft", "step": s, "loss": 2.0 - s} for s in range(2)]
    records += [{"stage": "align/sft", "step": s, "event": "validation", "score": 0.1 * s} for s in range(2)]
    (group,) = groups(records)
    assert [p.title for p in group.panels] == ["Loss", "Validation score"]


def test_the_health_of_a_training_stands_apart_and_what_never_moves_under_more() -> None:
    logged = {"loss": 1.0, "grad_norm": 2.0, "entropy": 3.0, "matmul_utilisation": 0.1}
    steady = {"completions/clipped_ratio": 0.0}
    records = [{"stage": "align/sft", "step": s, **{k: v * s for k, v in logged.items()}, **steady} for s in range(3)]
    alignment, health = groups(records)
    assert [p.title for p in alignment.panels] == ["Loss"] and not alignment.more
    assert [p.title for p in health.panels] == ["Gradient norm", "Entropy", "Matmul utilisation"]
    assert [p.title for p in health.more] == ["Answers cut off"]
