"""Synthesis on a Ray cluster: the files of one process, whoever does the work and whoever is lost over it."""

from __future__ import annotations

from itertools import product

import pytest

from rba.lm.sampling import Sampling
from rba.synthesis import stage
from rba.synthesis.settings import SynthesisSettings
from rba.teachers.spread import SpreadTeacher
from rba.testing.tiny_lm import save_tiny_lm
from rba.workspace import StageFolder
from synthesis.stand_ins import THINGS, VERBS, WordEmbedder

pytestmark = pytest.mark.slow


class BrokenError(Exception):
    """The leader is killed."""


@pytest.fixture
def synthesise(tmp_path, monkeypatch):
    """The stage with a teacher of noise that answers the requests of a file, in batches of 5 to a round of 30."""
    monkeypatch.setattr("rba.lm.embedder.SentenceEmbedder", lambda name: WordEmbedder())
    texts = tmp_path / "texts.txt"
    texts.write_text("".join(f"How do I {verb} a {thing}?\n" for verb, thing in product(VERBS, THINGS)))
    teacher = str(save_tiny_lm(tmp_path / "teacher"))
    settings = SynthesisSettings(
        train=2, validation=1, test=1, texts=str(texts), answer=Sampling(1.0, 1.0, 32), long_answers="trim",
        max_answer_words=50, batch=5, shard_size=30, attempts=30,
    )  # fmt: skip

    def run(name: str, cluster=None) -> StageFolder:
        folder = StageFolder(tmp_path / name)
        folder.open("mark")
        stage.run(settings, folder=folder, seed=1, teacher=teacher, cluster=cluster)
        return folder

    return run


@pytest.fixture
def alone(synthesise) -> StageFolder:
    return synthesise("alone")


def test_two_workers_one_of_them_lost_write_the_files_of_one_process(synthesise, alone, ray_cluster, monkeypatch):
    import ray

    replies, lost = SpreadTeacher.replies, []

    def losing(self, *given):
        if self.pool.ready and not lost:
            lost.append(self.pool.ready[0])
            ray.kill(lost[0])
        return replies(self, *given)

    monkeypatch.setattr(SpreadTeacher, "replies", losing)
    assert synthesise("cluster", ray_cluster).output_hash() == alone.output_hash()
    assert alone.notes["kept"] == 4 and len(lost) == 1


def test_killed_with_one_executor_it_goes_on_with_the_other(synthesise, alone, ray_cluster, tmp_path, monkeypatch):
    made = stage.Synthesiser.make
    with monkeypatch.context() as broken:
        broken.setattr(stage.Synthesiser, "make", lambda self, index: _fails() if index else made(self, index))
        for name, executor in (("first", None), ("second", ray_cluster)):
            with pytest.raises(BrokenError):
                synthesise(name, executor)
            assert len(list(tmp_path.glob(f"{name}/rounds/*.parquet"))) == 1
    assert synthesise("first", ray_cluster).output_hash() == alone.output_hash()
    assert synthesise("second").output_hash() == alone.output_hash()


def _fails():
    raise BrokenError
