"""The synthesis stage: full splits, every drop recorded, and the same files after any interruption."""

from __future__ import annotations

import pytest

from rba.data import shards
from rba.data.instruction import Instruction, instruction_id
from rba.errors import RecipeError, TeacherError
from rba.lm.sampling import Sampling
from rba.synthesis import stage
from rba.synthesis.candidate import Candidate
from rba.synthesis.duplicates import KeptTexts
from rba.synthesis.settings import SynthesisSettings
from rba.teachers.local import LocalTeacher
from rba.testing.tiny_lm import tiny_text_lm
from rba.workspace import StageFolder
from synthesis.stand_ins import BAD, ScriptedTeacher, SilentTeacher, WordEmbedder

SETTINGS = SynthesisSettings(train=40, validation=5, test=10, shard_size=24)


def opened(path) -> StageFolder:
    folder = StageFolder(path)
    folder.open("mark")
    return folder


def made(path, settings=SETTINGS, seed=1, teacher=None) -> StageFolder:
    folder = opened(path)
    stage.synthesise(settings, folder, seed, teacher or ScriptedTeacher(), WordEmbedder())
    return folder


@pytest.fixture(scope="module")
def done(tmp_path_factory) -> StageFolder:
    return made(tmp_path_factory.mktemp("synthesis") / "whole")


def test_every_split_is_full_and_every_instruction_answered(done):
    rows = done.read(Instruction)
    assert {s: sum(r.split == s for r in rows) for s in ("train", "validation", "test")} == {
        "train": 40,
        "validation": 5,
        "test": 10,
    }
    assert len({r.id for r in rows}) == 55
    assert all(r.id == instruction_id(r.text) and r.response and r.topic and r.difficulty for r in rows)
    assert {r.source for r in rows} == {"magpie"}
    assert done.is_complete


def test_what_was_dropped_is_counted_by_reason(done):
    notes = done.notes
    assert set(BAD.values()) <= set(notes["dropped"])
    assert notes["dropped"]["runaway answer"] > 0
    assert notes["kept"] + sum(notes["dropped"].values()) == notes["attempts"]
    assert notes["attempts"] % SETTINGS.shard_size == 0
    assert notes["dropped_examples"]["code"][0] == "Write a Python function that sorts numbers."


def test_shares_stand_beside_the_papers(done):
    notes = done.notes
    assert sum(t["count"] for t in notes["topics"].values()) == 55
    assert sum(t["share"] for t in notes["topics"].values()) == pytest.approx(1, abs=1e-3)
    assert notes["topics"]["Information Seeking"]["paper"] == 0.603
    assert notes["difficulties"]["easy"]["paper"] == 0.392
    assert notes["words"]["max"] >= notes["words"]["median"] >= 5


def test_no_two_instructions_are_near_duplicates_and_relatives_share_a_split(done):
    rows = done.read(Instruction)
    vectors_ND = WordEmbedder().encode([r.text for r in rows])
    for i, row in enumerate(rows):
        others = KeptTexts()
        for j, other in enumerate(rows):
            if j != i:
                others.add(other.text, vectors_ND[j], other.split)
        assert others.distances(vectors_ND[i]).min() >= SETTINGS.near_duplicate - 2e-3
        assert others.labels_within(vectors_ND[i], SETTINGS.split_distance - 2e-3) <= {row.split}


def test_every_request_of_a_round_is_kept_on_file_with_its_fate(done):
    files = sorted(done.path.glob("rounds/*.parquet"))
    rows = [row for path in files for row in shards.read(path, Candidate)]
    assert len(rows) == done.notes["attempts"]
    assert sum(not row.reason for row in rows) == 55


def test_the_same_seed_gives_the_same_files_and_another_seed_others(done, tmp_path):
    assert made(tmp_path / "again").output_hash() == done.output_hash()
    assert made(tmp_path / "other", seed=2).output_hash() != done.output_hash()


@pytest.mark.parametrize("left", [0, 1, 2])
def test_killed_after_any_round_it_goes_on_to_the_same_files(done, tmp_path, left):
    class KilledError(Exception):
        pass

    class Mortal(ScriptedTeacher):
        def replies(self, texts, sampling, seeds):
            if len(self.rounds) > left:
                raise KilledError
            return super().replies(texts, sampling, seeds)

    with pytest.raises(KilledError):
        made(tmp_path, teacher=Mortal())
    assert len(list(tmp_path.glob("rounds/*.parquet"))) == left
    (tmp_path / "rounds").mkdir(exist_ok=True)
    (tmp_path / "rounds" / ".round-00009.parquet.1.partial").write_bytes(b"half")
    again = ScriptedTeacher()
    assert made(tmp_path, teacher=again).output_hash() == done.output_hash()
    assert len(again.rounds) == done.notes["attempts"] // SETTINGS.shard_size - left


def test_lost_final_shards_and_rounds_are_made_again(done, tmp_path):
    folder = made(tmp_path)
    sorted(folder.path.glob("rounds/*.parquet"))[-1].unlink()
    folder.shard(0).unlink()
    assert made(tmp_path).output_hash() == done.output_hash()


def test_a_teacher_that_returns_nothing_ends_with_one_line(tmp_path):
    with pytest.raises(TeacherError) as caught:
        made(tmp_path, teacher=SilentTeacher())
    line = str(caught.value)
    assert line.startswith("the teacher gave nothing usable in 144 requests: 144 too short (teacher silent); ")
    assert "\n" not in line
    assert not list(tmp_path.glob("part-*"))


def test_a_teacher_of_noise_ends_with_one_line_too(tmp_path):
    settings = SynthesisSettings(train=4, validation=0, test=0, shard_size=8, query_tokens=12, answer=Sampling(1, 1, 8))
    with pytest.raises(TeacherError, match="nothing usable in 40 requests"):
        made(tmp_path, settings, teacher=LocalTeacher(tiny_text_lm()))


def test_too_few_instructions_for_the_attempts_say_how_many_there_were(tmp_path):
    settings = SynthesisSettings(train=500, validation=0, test=0, shard_size=50, attempts=1.0)
    with pytest.raises(TeacherError, match=r"only \d+ of 500 instructions in 500 requests: "):
        made(tmp_path, settings)


@pytest.mark.parametrize(
    ("key", "value"),
    [("train", -1), ("temperatures", ()), ("top_ps", (0.0,)), ("openers", 1.5), ("long_answers", "keep"),
     ("max_words", 2), ("near_duplicate", 0.5), ("attempts", 0.5), ("shard_size", 0)],
)  # fmt: skip
def test_impossible_settings_are_named(key, value):
    with pytest.raises(RecipeError, match=r"synthesis\."):
        SynthesisSettings(**{key: value})


def test_asking_for_nothing_is_an_error():
    with pytest.raises(RecipeError, match="at least one instruction"):
        SynthesisSettings(train=0, validation=0, test=0)


@pytest.mark.weights
def test_a_real_teacher_fills_the_splits(weights, tmp_path):
    weights("smollm2-135m-instruct"), weights("all-minilm-l6-v2")
    settings = SynthesisSettings(
        train=3, validation=1, test=1, temperatures=(0.8,), top_ps=(0.95,), openers=0.5, shard_size=12, query_tokens=24,
        answer=Sampling(0.6, 0.9, 24), long_answers="trim",
    )  # fmt: skip
    folder = opened(tmp_path)
    stage.run(settings, folder=folder, seed=3, teacher="smollm2-135m-instruct")
    rows = folder.read(Instruction)
    assert len(rows) == 5
    assert all(len(r.response.split()) >= 4 and r.text.isascii() for r in rows)
