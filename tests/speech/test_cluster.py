"""Speech on a Ray cluster: the bytes of the pool of processes, whoever says them and whoever is lost over it."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from rba.errors import ModelError
from rba.speech import stage
from rba.speech.settings import SpeechSettings
from rba.workspace import StageFolder
from speech.examples import TEXTS, Beeper, instructions

pytestmark = pytest.mark.slow

ITEMS = instructions(*TEXTS, "你好", *(f"Say {word}." for word in ("tea", "milk", "rain", "snow")))
SETTINGS = SpeechSettings(voices=2, acoustics="hard", workers=1, shard_size=2)
BEEPS = SpeechSettings(engine="speech.test_cluster:MortalBeeper", voices=2, acoustics="clean", workers=1, shard_size=2)
MARK = "RBA_TEST_MARK"


class MortalBeeper(Beeper):
    """Beeps; a process that has been told of a mark is killed in the middle of its work, once for each mark."""

    def say(self, text, speaker, seed):
        """Beeps at the speaker's pitch."""
        marks = Path(os.environ.get(MARK, "/nowhere"))
        if "rain" in text and (left := sorted(marks.glob("*"))):
            left[0].unlink()
            os.kill(os.getpid(), signal.SIGKILL)
        return super().say(text, speaker, seed)


class Nowhere(Beeper):
    """An engine that a node cannot load."""

    def __init__(self, threads: int = 1):
        raise ModelError("no such voice here", "voice.onnx", "copy it to every node")


def spoken(path, settings, cluster=None, items=ITEMS) -> StageFolder:
    folder = StageFolder(path)
    folder.open("mark")
    stage.run(settings, folder=folder, seed=0, instructions=items, cluster=cluster)
    return folder


def test_two_workers_write_the_bytes_of_one_process(tmp_path, ray_cluster):
    alone = spoken(tmp_path / "alone", SETTINGS, items=ITEMS[:5])
    shared = spoken(tmp_path / "cluster", SETTINGS, ray_cluster, items=ITEMS[:5])
    assert shared.output_hash() == alone.output_hash()
    assert shared.notes == alone.notes and shared.notes["dropped"]


def test_a_worker_killed_midway_changes_nothing(tmp_path, ray_cluster, monkeypatch):
    alone = spoken(tmp_path / "alone", BEEPS)
    (tmp_path / "marks").mkdir()
    for name in "ab":
        (tmp_path / "marks" / name).touch()
    monkeypatch.setattr("rba.cluster.pool.environment", lambda: {MARK: str(tmp_path / "marks")})
    assert spoken(tmp_path / "cluster", BEEPS, ray_cluster).output_hash() == alone.output_hash()
    assert not list((tmp_path / "marks").iterdir())


def test_a_run_begun_by_one_executor_is_finished_by_the_other(tmp_path, ray_cluster):
    alone = spoken(tmp_path / "alone", BEEPS)
    for name, executor in (("cluster", ray_cluster), ("here", None)):
        folder = spoken(tmp_path / name, BEEPS, None if executor else ray_cluster)
        kept = folder.shard(0).stat().st_mtime_ns
        for lost in (1, 3):
            folder.shard(lost).unlink()
        assert spoken(tmp_path / name, BEEPS, executor).output_hash() == alone.output_hash()
        assert folder.shard(0).stat().st_mtime_ns == kept


def test_what_a_node_lacks_is_said_as_if_it_lacked_here(tmp_path, ray_cluster):
    with pytest.raises(ModelError, match=r"no such voice here \(voice\.onnx\); copy it to every node"):
        spoken(tmp_path, SpeechSettings(engine="speech.test_cluster:Nowhere", voices=1), ray_cluster)


def test_nothing_to_say_asks_no_cluster(tmp_path):
    from rba.cluster.settings import RaySettings

    assert spoken(tmp_path, SETTINGS, RaySettings(address="127.0.0.1:1"), items=[]).is_complete
