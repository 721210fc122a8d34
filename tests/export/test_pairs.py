"""Preference pairs from kept self-samples: RBA-Group's and RBA-Single's."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from export.runs import add_samples, make_run
from rba import document
from rba.alignment.rollout import Valued
from rba.data import shards
from rba.errors import DataError
from rba.export.example import Pair
from rba.export.export import export
from rba.export.pairs import load_pairs
from rba.testing.tiny_utterances import tiny_utterances
from rba.workspace import Workspace

TRAIN = tiny_utterances(3, 2)
RESPONSES = {row.id: row.response for row in TRAIN}


def test_group_pairs_are_the_best_and_the_worst_answer_over_voices(tmp_path):
    add_samples(tmp_path)
    found = load_pairs(tmp_path, "group", RESPONSES)
    # the second instruction's rewards are tied, the third's answers too
    assert found == {TRAIN[0].id: [Pair("an apple!", "pear", 0.9, 0.1, "shared", 0)]}


def test_single_pairs_set_the_teacher_against_every_own_answer_that_differs(tmp_path):
    add_samples(tmp_path, rewarded=False)
    found = load_pairs(tmp_path, "single", RESPONSES)
    assert list(found) == [row.id for row in TRAIN[:4]]
    assert found[TRAIN[2].id] == [Pair("hello there", "hi", None, None, "shared", 0)]


def test_a_method_keeps_pairs_of_its_own(tmp_path):
    add_samples(tmp_path)
    own = tmp_path / "align" / "rba-group"
    own.mkdir()
    (tmp_path / "align" / ".shared" / "answers-abc").rename(own / "rollouts")
    assert load_pairs(tmp_path, "group", RESPONSES)[TRAIN[0].id][0].source == "rba-group"


def move_samples(root: Path, name: str, finished: bool = True) -> None:
    """Make the answers that methods share those of one method's own."""
    folder = Workspace(root).stage(f"align/{name}")
    folder.open("by hand")
    add_samples(root)
    (root / "align" / ".shared" / "answers-abc").rename(folder.path / "rollouts")
    if finished:
        folder.complete()


def configure(root: Path, **align: object) -> None:
    (root / "config.yaml").write_text(document.dump({"name": "run", "align": align}))


def sources(root: Path) -> list[str]:
    return [pair.source for pairs in load_pairs(root, "group", RESPONSES).values() for pair in pairs]


def test_only_answers_of_what_the_recipe_trains_and_has_finished_are_paired(tmp_path):
    names = ("rba-group", "rba-single", "dpo", ".grpo.stale", "mine")
    for name in names:
        move_samples(tmp_path, name, finished=name != "rba-single")
    add_samples(tmp_path)
    variants = {"mine": {"method": "rba-group"}}
    configure(tmp_path, methods=["rba-group", "rba-single"], variants=variants, refresh="per_round")
    assert sources(tmp_path) == ["mine", "rba-group"]
    (tmp_path / "config.yaml").unlink()
    assert sources(tmp_path) == ["shared", "dpo", "mine", "rba-group", "rba-single"]


def test_of_the_answers_that_methods_share_the_newest_are_paired(tmp_path):
    add_samples(tmp_path)
    newest = (tmp_path / "align" / ".shared" / "answers-abc").rename(tmp_path / "align" / ".shared" / "answers-aaa")
    add_samples(tmp_path)
    os.utime(newest, (2e9, 2e9))
    configure(tmp_path, methods=["rba-group"])
    assert sources(tmp_path) == ["shared"]
    configure(tmp_path, methods=["sft"], variants={"mine": {"method": "rba-group"}}, refresh="online")
    assert sources(tmp_path) == []
    alone = {"rba-group": {"method": "rba-group", "refresh": "once"}}
    configure(tmp_path, methods=["sft"], variants=alone, refresh="online")
    assert sources(tmp_path) == ["shared"]


def test_a_variant_pairs_its_own_answers_by_its_own_settings(tmp_path):
    move_samples(tmp_path, "strict")
    move_samples(tmp_path, "every")
    variants = {
        "strict": {"method": "rba-group", "tie_eps": 0.9},
        "every": {"method": "rba-group", "tie_eps": 0.7, "pairing": "all"},
    }
    configure(tmp_path, methods=["sft"], variants=variants, refresh="per_round")
    assert sources(tmp_path) == ["every"]


def test_shared_answers_are_paired_as_rba_group_pairs_them(tmp_path):
    add_samples(tmp_path)
    configure(tmp_path, methods=["sft", "rba-group"])
    assert sources(tmp_path) == ["shared"]
    strict = {"rba-group": {"method": "rba-group", "tie_eps": 0.9}}
    configure(tmp_path, methods=["sft"], variants=strict)
    assert sources(tmp_path) == []


def test_answers_to_speech_that_is_gone_are_left_out(tmp_path):
    add_samples(tmp_path)
    assert load_pairs(tmp_path, "group", {TRAIN[0].id: "an apple"}) == {}


def test_a_run_without_ranked_answers_is_told_so(tmp_path):
    root = make_run(tmp_path / "run")
    add_samples(root, rewarded=False)
    with pytest.raises(DataError, match="no preference pairs"):
        export(root, "hf", tmp_path / "out", pairs="group")
    assert export(root, "hf", tmp_path / "out", pairs="single").examples == {"train": 4}


def test_shared_answers_are_paired_by_the_rewards_of_the_methods_and_not_by_a_variants(tmp_path):
    add_samples(tmp_path)
    folder = tmp_path / "align" / ".shared" / "answers-abc"
    (kept,) = folder.glob("rewards-*")
    valued = [replace(row, reward=-row.reward) for row in shards.read(kept, Valued)]
    shards.write(folder / kept.name.replace("a" * 16, "0" * 16), valued, Valued)
    for name, mark in (("rba-group", "a" * 16), ("mine", "0" * 16)):
        stage = Workspace(tmp_path).stage(f"align/{name}")
        stage.open("by hand")
        stage.note("reward_mark", mark)
    configure(tmp_path, methods=["sft", "rba-group"], variants={"mine": {"method": "rba-group", "reward": "length"}})
    assert load_pairs(tmp_path, "group", RESPONSES)[TRAIN[0].id][0].chosen == "an apple!"
