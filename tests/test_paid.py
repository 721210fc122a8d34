"""Which judges a training was paid by: said before a run where there is no other, and below the win rates."""

from __future__ import annotations

import pytest

from rba.alignment.objectives.settings import TarsSettings
from rba.alignment.settings import AlignSettings
from rba.evaluation.results import Result
from rba.evaluation.settings import EvaluateSettings
from rba.paid import paid
from rba.pipeline import run
from rba.recipe import Recipe
from rba.report import breakdown

BOTH = "recall + similarity"


def judges_of(*judges: str, judge: str = "", scorer: str = "", **align) -> dict[str, tuple[str, ...]]:
    evaluate = EvaluateSettings(judges=judges or ("recall", "similarity"), judge=judge, reward_model=scorer)
    return paid(Recipe("r", teacher="t", align=AlignSettings(**align), evaluate=evaluate))


def test_a_judge_that_is_part_of_the_reward_paid_what_the_reward_trained():
    methods = {"methods": ("sft", "rba-group"), "variants": {"both": {"method": "grpo", "reward": BOTH}}}
    assert judges_of(**methods) == {"rba-group": ("recall",), "both": ("recall", "similarity")}
    assert judges_of("recall", "bleu", **methods) == {"rba-group": ("recall",), "both": ("recall",)}


def test_what_a_method_adds_to_the_reward_pays_and_what_is_taken_off_or_only_watched_does_not():
    assert judges_of(methods=("tars",)) == {"tars": ("recall", "similarity")}
    assert judges_of(methods=("tars",), tars=TarsSettings(behaviour=0)) == {"tars": ("recall",)}
    assert judges_of(methods=("grpo",), reward="recall - similarity") == {"grpo": ("recall",)}
    assert judges_of(methods=("grpo",), reward="recall + 0*similarity") == {"grpo": ("recall",)}


def test_a_judge_that_is_a_model_paid_where_the_reward_has_the_same_one():
    asked = {"methods": ("grpo",), "reward": "judge"}
    assert judges_of("recall", "pairwise", **asked) == {"grpo": ("pairwise",)}
    assert judges_of("letter", "pairwise", judge="m", **asked) == {}
    scored = {"methods": ("grpo",), "reward": "reward-model", "reward_model": "m"}
    assert judges_of("recall", "reward-model", scorer="m", **scored) == {"grpo": ("reward-model",)}
    assert judges_of("recall", "reward-model", scorer="another", **scored) == {}
    assert judges_of("likelihood", "recall", methods=("grpo",), reward="likelihood-sum") == {"grpo": ("likelihood",)}


@pytest.mark.parametrize(("reward", "warned"), [("recall", False), (BOTH, True)])
def test_a_run_says_before_it_starts_whom_nobody_else_judges(mine, capsys, reward, warned):
    run(mine(f"align.reward={reward}"))
    line = "rba: rba-group was trained for what all its judges like (recall, similarity); add one that its reward"
    err = capsys.readouterr().err
    assert (line in err) == warned and "sft was" not in err
    run(mine(f"align.reward={reward}"))
    assert "judges" not in capsys.readouterr().err


def test_the_report_names_the_paid_models_below_each_judges_win_rates():
    place = ("heldout", "all")
    rows = [
        Result(model, *place, f"win_rate:{judge}", "base", 0.5, None, None, 9, 0)
        for model in ("sft", "rba-group")
        for judge in ("recall", "similarity")
    ]
    found = breakdown.matrices(rows, paid={"rba-group": ("recall",)})
    assert {matrix.judge: matrix.paid for matrix in found} == {"recall": ["RBA-Group"], "similarity": []}
