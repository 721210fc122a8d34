"""A reward model judges: by its score for the typed request and the task, without a reference."""

from __future__ import annotations

from dataclasses import replace

import pytest

from evaluation.stand_ins import Log
from evaluation.test_stage import SETTINGS, evaluate
from rba.evaluation.judge import load_judge
from rba.evaluation.judge_accuracy import main
from rba.evaluation.results import load_results
from rba.evaluation.stage import standard_loaders
from rba.lm.reward_model import load_reward_model
from rba.lm.task import TaskSettings
from rba.testing.tiny_reward_model import save_tiny_reward_model

ANSWERS = ("Hi!", "No, never.")


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return load_reward_model(str(save_tiny_reward_model(tmp_path_factory.mktemp("scorer"))), "float32")


def test_the_answer_with_the_higher_score_wins_whatever_the_reference(model):
    judge = load_judge("reward-model", reward_model=lambda: model)
    scores = model.score(["Say hi."] * 2, ANSWERS)
    better, worse = sorted(ANSWERS, key=lambda answer: -scores[ANSWERS.index(answer)])
    assert not judge.needs_reference
    for reference in ("", better, worse):
        assert judge.prefer("Say hi.", better, worse, reference) == 1
        assert judge.prefer("Say hi.", worse, better, reference) == 0
    assert judge.prefer("Say hi.", better, better, "") == 0.5


def test_it_reads_the_task_above_the_request():
    read = []

    class Reader:
        def score(self, texts, responses):
            read.extend(texts)
            return [0.0] * len(texts)

    task = TaskSettings("Translate into Spanish: {}", "es")
    load_judge("reward-model", reward_model=Reader(), task=task).prefer("A cat.", *ANSWERS, "")
    assert all("Translate into Spanish: A cat." in text for text in read) and read


def test_the_stage_loads_the_model_that_the_recipe_names_and_has_its_win_rates(tmp_path, tmp_workspace):
    name = str(save_tiny_reward_model(tmp_path / "scorer"))
    settings = replace(SETTINGS, judges=("recall", "reward-model"), reward_model=name)
    own = standard_loaders(settings, "echo").reward_model
    folder = evaluate(tmp_workspace, Log(reward_model=own), settings=settings)
    found = {(r.model, r.against): r.n for r in load_results(folder.path) if r.metric == "win_rate:reward-model"}
    assert found["sft", "base"] == settings.slow_judge_instructions
    assert ("sft", "teacher") in found


def test_how_often_it_is_right_can_be_measured(tmp_path, capsys):
    main(["reward-model", "--reward-model", str(save_tiny_reward_model(tmp_path / "scorer"))])
    assert capsys.readouterr().out.startswith("reward-model")
