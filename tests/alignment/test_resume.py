"""A run that is killed and resumed ends with the same bits as one that is not."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Literal
from unittest.mock import patch

import pytest
from forked import ended, fork

from rba.alignment.groups import plan
from rba.alignment.rollout import Rollouts
from rba.alignment.schedule import AdaptiveRate
from rba.alignment.settings import AdaptiveSettings, ValidationSettings
from rba.alignment.stage import align
from rba.rewards.weighted import WeightedReward
from rba.testing.tiny_speechlm import tiny_speechlm
from rba.testing.tiny_utterances import tiny_utterances
from rba.workspace import StageFolder

from .conftest import SMALL, Bench, variety

Refresh = Literal["once", "per_round", "online"]

# everything that has a state: new rounds, several answers, rewards, an adaptive rate, drift, validation, the connector,
# dropout
SETTINGS = replace(
    SMALL,
    steps=6,
    refresh="per_round",
    round_steps=2,
    train_connector=True,
    lora=replace(SMALL.lora, dropout=0.1),
    answers=2,
    validation=ValidationSettings(every=2, groups=2, patience=0),
    adaptive=AdaptiveSettings(drift_every=1, drift_answers=2, drift_target=0.05),
    checkpoint_minutes=0.0,
)


def go(
    path: Path, kill_at: int | None = None, method: str = "rba-group", refresh: Refresh = "per_round", **changed: Any
) -> dict[str, str]:
    """Align into `path`, killing this process after update `kill_at`; returns the hashes of all files."""
    settings = replace(SETTINGS, refresh=refresh, **changed)

    def log(record: dict) -> None:
        if record["step"] == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)

    folder = StageFolder(path)
    if not folder.open("mark"):
        rows = tiny_utterances(3, 2) + tiny_utterances(2, 2, "validation")
        align(
            tiny_speechlm(),
            settings,
            method=method,
            folder=folder,
            seed=3,
            utterances=rows,
            reward=lambda: variety,
            log=log,
        )
    return folder.manifest["files"]


def cut_and_whole(
    tmp_path: Path, method: str, refresh: Refresh = "per_round", **changed: Any
) -> tuple[dict[str, str], dict[str, str]]:
    """The files of a run that was killed after its fourth update and resumed, and of one that was not."""
    whole = go(tmp_path / "whole" / "align" / method, method=method, refresh=refresh, **changed)
    cut = tmp_path / "cut" / "align" / method
    killed = fork(partial(go, **changed), cut, 4, method, refresh, said=tmp_path / "said.txt")
    assert ended([killed]) == [-signal.SIGKILL], (tmp_path / "said.txt").read_text()
    assert len(list((tmp_path / "cut" / "checkpoints").glob(f"{method}-*/last"))) == 1
    assert not (cut / "model").exists()
    return go(cut, method=method, refresh=refresh, **changed), whole


@pytest.fixture(scope="module")
def in_rounds(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, str], dict[str, str], list[str]]:
    """The files of such two runs that draw answers in rounds, and the scores that were observed in this process."""
    seen, observe = [], AdaptiveRate.observe_score

    def counted(self: AdaptiveRate, name: str, value: float) -> None:
        seen.append(name)
        observe(self, name, value)

    with patch.object(AdaptiveRate, "observe_score", counted):
        return *cut_and_whole(tmp_path_factory.mktemp("rounds"), "rba-group"), seen


def test_kill_9_and_resume_give_the_same_files(in_rounds):
    cut, whole, _ = in_rounds
    assert cut == whole
    assert {"model/adapter/adapter_model.safetensors", "model/connector.safetensors"} <= whole.keys()


def test_a_round_that_was_begun_before_the_kill_is_not_counted_again(in_rounds):
    *_, seen = in_rounds
    assert seen.count("reward") == 3 + 1  # all rounds of the whole run; of the one resumed within its second, the third


def test_so_they_do_where_every_update_draws_its_answers(tmp_path: Path):
    cut, whole = cut_and_whole(tmp_path, "rba-group", "online")
    assert cut == whole


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_so_they_do_where_all_weights_are_trained(tmp_path: Path, dtype: str):
    cut, whole = cut_and_whole(tmp_path, "rba-group", tuning="full", dtype=dtype, lr=1e-3)
    assert cut == whole


def test_so_they_do_with_a_value_head(tmp_path: Path):
    cut, whole = cut_and_whole(tmp_path, "ppo")
    assert cut == whole


@pytest.mark.parametrize("refresh", ["once", "per_round", "online"])
def test_answers_without_a_reward_are_counted_once_however_often_a_run_is_stopped(benches, refresh: Refresh):
    def moody(completions: list[str], **columns: Any) -> list[float | None]:
        return [None if i % 2 else float(len(text)) for i, text in enumerate(completions)]

    class Stop(Exception):
        pass

    def stopping(record: dict) -> None:
        if record["step"] == 3:
            raise Stop

    def count(bench: Bench, log: Callable[[dict], None]) -> dict[str, int]:
        steps = plan(bench.groups, settings.groups_per_step, settings.steps, 7)
        own = (bench.speechlm, bench.bank, steps, settings, WeightedReward([(moody, 1)]), bench.folder / "own", 5)
        rollouts = Rollouts(*own)
        bench.trainer("rba-group", settings, rollouts=rollouts, log=log).run()
        return rollouts.all_dropped()

    settings = replace(SMALL, refresh=refresh, round_steps=2, checkpoint_minutes=0.0)
    cut = benches(2, 3)
    with pytest.raises(Stop):
        count(cut, stopping)
    whole = {"moody: no value": {"once": 3, "per_round": 6, "online": 12}[refresh]}
    assert count(Bench(cut.folder, 2, 3), print) == count(benches(2, 3), print) == whole
