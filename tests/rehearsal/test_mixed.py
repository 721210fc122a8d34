"""A run in the place of another one: some of its own training instructions, those that training would reach first."""

from __future__ import annotations

from pathlib import Path

import pytest

from rba.alignment.mix import check_task, speech_of
from rba.data import seeds
from rba.data.utterance import Utterance
from rba.errors import DataError, RecipeError
from rba.rehearsal.mixed import save_mixed

from .runs import spoken_run


def test_it_holds_training_instructions_of_the_run_in_two_voices(tmp_path: Path):
    run = spoken_run(tmp_path / "run")
    made = speech_of(str(save_mixed(str(run), tmp_path / "made", 0))).read(Utterance)
    theirs = speech_of(str(run)).read(Utterance)
    assert all(row in theirs for row in made) and {row.split for row in made} == {"train"}
    assert len({row.instruction_id for row in made}) == 2 and [row.voice for row in made] == [0, 1, 0, 1]


@pytest.mark.parametrize("seed", range(6))
def test_they_are_those_that_training_reaches_first(tmp_path: Path, seed: int):
    run = spoken_run(tmp_path / "run", 6)
    folder = speech_of(str(run))
    (shard,) = folder.path.glob("part-00001.parquet")
    made = speech_of(str(save_mixed(str(run), tmp_path / "made", seed))).read(Utterance)
    found = list(dict.fromkeys(row.instruction_id for row in made))
    assert found == sorted(found, key=lambda name: seeds.derive(seed, "train", name)) and shard.is_file()


def test_it_has_the_runs_own_task(tmp_path: Path):
    run = spoken_run(tmp_path / "run", task="Translate.")
    made = save_mixed(str(run), tmp_path / "made", 0)
    check_task(str(made), "Translate.")
    with pytest.raises(RecipeError, match="another task"):
        check_task(str(made), "")


def test_a_run_without_training_instructions_is_a_fault(tmp_path: Path):
    run = spoken_run(tmp_path / "run", split="validation")
    with pytest.raises(DataError, match=r"no training instruction to mix in \(align.mix .*run\)"):
        save_mixed(str(run), tmp_path / "made", 0)
