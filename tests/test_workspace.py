"""The run folder: stages resume, skip and begin anew; nothing is ever half-written; one run at a time."""

from __future__ import annotations

import errno
import json
import os
import pathlib
import signal
import subprocess
import sys
import time

import pytest

import rba
from rba import workspace as workspace_module
from rba.data.instruction import Instruction
from rba.errors import WorkspaceError
from rba.workspace import StageFolder, Workspace, fingerprint, write_json, write_text

ENVIRONMENT = {**os.environ, "PYTHONPATH": str(pathlib.Path(rba.__file__).parents[1])}


@pytest.fixture
def stage(tmp_workspace: Workspace) -> StageFolder:
    """A stage folder opened for fingerprint "one"."""
    folder = tmp_workspace.stage("synthesis")
    assert folder.open("one") is False
    return folder


def again(folder: StageFolder) -> StageFolder:
    """The folder as the next process finds it."""
    return StageFolder(folder.path)


def fill(folder: StageFolder, *indices: int) -> None:
    """Write the shards `indices`, each of one row."""
    for index in indices:
        folder.write_shard(index, [Instruction(str(index), f"text {index}")], Instruction)


def full(*_args: object, **_kwargs: object) -> None:
    """What a full disk answers."""
    raise OSError(errno.ENOSPC, "No space left on device")


def test_a_fingerprint_is_stable_and_sees_every_change():
    assert fingerprint({"a": 1, "b": [2]}, "x") == fingerprint({"b": [2], "a": 1}, "x")
    assert len({fingerprint({"a": 1}), fingerprint({"a": 2}), fingerprint({"a": "1"}), fingerprint([{"a": 1}])}) == 4


def test_shards_are_read_in_order(stage):
    fill(stage, 2, 0, 1)
    assert [row.id for row in stage.read(Instruction)] == ["0", "1", "2"]


def test_an_interrupted_stage_keeps_its_shards_and_notes(stage):
    fill(stage, 0)
    stage.note("dropped", {"too long": 3})
    next_time = again(stage)
    assert next_time.open("one") is False
    assert next_time.has_shard(0) and not next_time.has_shard(1)
    assert next_time.notes == {"dropped": {"too long": 3}}


def test_the_time_worked_adds_up_over_interruptions_and_leaves_out_the_pauses(stage, monkeypatch):
    clock = [time.monotonic()]
    monkeypatch.setattr(workspace_module.time, "monotonic", lambda: clock[0])
    first = again(stage)
    first.open("one")
    clock[0] += 5
    first.note("killed", "after this")
    clock[0] += 1000
    second = again(stage)
    second.open("one")
    clock[0] += 7
    second.complete()
    assert again(stage).manifest["seconds"] == pytest.approx(12, abs=0.5)


def test_a_complete_stage_needs_no_work(stage):
    fill(stage, 0)
    stage.complete()
    assert again(stage).open("one") is True
    assert again(stage).is_current("one") and not again(stage).is_current("two")


def test_another_fingerprint_begins_anew(stage):
    fill(stage, 0)
    stage.note("kept", 1)
    stage.complete()
    anew = again(stage)
    assert anew.open("two") is False
    assert not anew.has_shard(0) and anew.notes == {} and not anew.is_complete
    fill(anew, 0)
    assert [p.name for p in stage.path.parent.iterdir()] == ["synthesis"]


def test_shards_stay_where_only_what_is_made_of_them_has_changed(tmp_workspace):
    folder = tmp_workspace.stage("evaluation")
    folder.open("one", shards="answers")
    fill(folder, 0)
    folder.complete()
    changed = again(folder)
    assert changed.open("two", shards="answers") is False
    assert changed.has_shard(0) and not changed.is_current("one")
    changed.complete()
    assert again(folder).is_current("two")
    assert again(folder).open("three", shards="other answers") is False
    assert not again(folder).has_shard(0)


def test_half_written_files_of_a_killed_run_are_removed(stage):
    (stage.path / "model").mkdir()
    for name in (".part-00000.parquet.123.partial", "model/.weights.123.partial"):
        (stage.path / name).write_text("half")
    again(stage).open("one")
    assert list(stage.path.rglob("*.partial")) == []


def test_a_complete_stage_that_lost_a_file_is_resumed(stage):
    fill(stage, 0, 1)
    stage.complete()
    stage.shard(1).unlink()
    resumed = again(stage)
    assert not resumed.is_current("one")
    assert resumed.open("one") is False
    assert resumed.has_shard(0) and not resumed.has_shard(1)


def test_the_output_hash_is_that_of_the_files(tmp_workspace):
    hashes = []
    for name, order in (("a", (0, 1)), ("b", (1, 0)), ("c", (0, 2))):
        folder = tmp_workspace.stage(name)
        folder.open("any")
        fill(folder, *order)
        folder.complete()
        hashes.append(again(folder).output_hash())
    assert hashes[0] == hashes[1] != hashes[2]


def test_folders_that_are_not_ours_are_left_alone(tmp_workspace):
    (tmp_workspace.root / "speech").mkdir(parents=True)
    (tmp_workspace.root / "speech" / "my-recordings.wav").write_text("precious")
    with pytest.raises(WorkspaceError, match=r"holds files that are not rba's: my-recordings\.wav"):
        tmp_workspace.stage("speech").open("one")
    assert (tmp_workspace.root / "speech" / "my-recordings.wav").read_text() == "precious"


@pytest.mark.parametrize("text", ["{", "[]", "{}", "\x00"])
def test_a_damaged_manifest_is_named(stage, text):
    stage.manifest_path.write_text(text)
    with pytest.raises(WorkspaceError, match=r"manifest.*synthesis"):
        again(stage)


def test_what_was_there_stays_until_something_is_made_in_its_place(stage):
    """A kill or a fault in between loses nothing, and never leaves half a folder that looks whole."""
    fill(stage, 0, 1)
    stage.complete()
    assert again(stage).open("two") is False
    assert not again(stage).is_complete
    assert again(stage).open("one") is True
    assert sorted(p.name for p in stage.path.parent.iterdir()) == ["synthesis"]
    stage.path.replace(stage.path.with_name(".synthesis.stale"))  # as a kill leaves it, between two steps of `open`
    assert again(stage).open("one") is True
    other = again(stage)
    other.open("two")
    assert other.put_back()
    assert other.is_current("one") and other.has_shard(1)
    other.open("two")
    fill(other, 0)
    assert not other.put_back()
    assert again(stage).open("one") is False


@pytest.mark.parametrize("refused", ["replace", "open"])
def test_a_full_disk_is_one_line_and_leaves_the_old_file(tmp_path, monkeypatch, refused):
    path = tmp_path / "config.yaml"
    write_text(path, "old")
    monkeypatch.setattr(pathlib.Path, refused, full)
    with pytest.raises(WorkspaceError, match=r"No space left on device \(.*config\.yaml\); free some space") as caught:
        write_text(path, "new")
    monkeypatch.undo()
    assert "\n" not in str(caught.value)
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["config.yaml"]


def test_json_is_written_sorted_and_readable(tmp_path):
    write_json(tmp_path / "a.json", {"b": "ü", "a": 1})
    assert (tmp_path / "a.json").read_text(encoding="utf-8") == '{\n "a": 1,\n "b": "ü"\n}\n'


def test_records_are_appended_and_read_by_stage(tmp_workspace):
    tmp_workspace.log("align/sft", {"step": 1})
    tmp_workspace.log("align/rba-single", {"step": 1})
    tmp_workspace.log("align/sft", {"step": 2})
    assert [r["step"] for r in tmp_workspace.records("align/sft")] == [1, 2]
    assert len(tmp_workspace.records()) == 3
    tmp_workspace.forget("align/sft")
    assert [r["stage"] for r in tmp_workspace.records()] == ["align/rba-single"]


def test_a_half_written_record_spoils_no_other(tmp_workspace):
    tmp_workspace.log("a", {"step": 1})
    with tmp_workspace.metrics_path.open("a") as stream:
        stream.write('{"stage": "a", "st')
    tmp_workspace.log("a", {"step": 2})
    assert [r["step"] for r in tmp_workspace.records("a")] == [1, 2]


def test_a_full_disk_stops_the_log_in_one_line(tmp_workspace, monkeypatch):
    monkeypatch.setattr(pathlib.Path, "open", full)
    with pytest.raises(WorkspaceError, match=r"No space left.*metrics\.jsonl"):
        tmp_workspace.log("a", {"step": 1})


HOLD = """
import sys, time
from rba.workspace import Workspace
with Workspace(sys.argv[1]).lock():
    {inside}
    print("held", flush=True)
    time.sleep(60)
"""


def hold(root: pathlib.Path, inside: str = "pass") -> subprocess.Popen[str]:
    """Another process that holds the lock of a run folder."""
    command = [sys.executable, "-c", HOLD.format(inside=inside), str(root)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=ENVIRONMENT)
    assert process.stdout is not None and process.stdout.readline() == "held\n"
    return process


def test_two_runs_exclude_each_other_and_a_killed_one_lets_go(tmp_workspace):
    other = hold(tmp_workspace.root)
    try:
        with pytest.raises(WorkspaceError, match=r"another run holds this folder \(.*run\); wait"):
            tmp_workspace.lock().__enter__()
    finally:
        other.send_signal(signal.SIGKILL)
        other.wait()
    with tmp_workspace.lock():
        pass


def test_workers_that_outlive_a_killed_run_do_not_keep_its_lock(tmp_workspace):
    # both sides of the fork write a line, each in one piece; the child's says that what it does after a fork is done
    orphan = "import os; child = os.fork(); os.write(1, f'{child}\\n'.encode()); child or time.sleep(30)"
    code = HOLD.format(inside=orphan).replace('print("held", flush=True)', "")
    command = [sys.executable, "-c", code, str(tmp_workspace.root)]
    parent = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=ENVIRONMENT)
    assert parent.stdout is not None
    child = max(int(parent.stdout.readline()) for _ in range(2))
    try:
        parent.kill()
        parent.wait()
        with tmp_workspace.lock():
            os.kill(child, 0)
    finally:
        os.kill(child, signal.SIGKILL)


def test_what_a_killed_run_left_half_written_beside_the_stages_is_removed(tmp_workspace):
    tmp_workspace.root.mkdir()
    (tmp_workspace.root / ".report.html.123.partial").write_text("half")
    (tmp_workspace.root / ".hf.partial" / "data").mkdir(parents=True)
    with tmp_workspace.lock():
        assert [p.name for p in tmp_workspace.root.iterdir()] == [".lock"]


def test_the_lock_is_let_go_after_an_error(tmp_workspace):
    with pytest.raises(RuntimeError), tmp_workspace.lock():
        raise RuntimeError
    with tmp_workspace.lock():
        pass


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(WorkspaceError, match=r"cannot use the run folder: .*file"):
        Workspace(tmp_path / "file" / "x").lock().__enter__()


RENDER = """
import sys, time
from rba.data.instruction import Instruction
from rba.workspace import StageFolder
folder = StageFolder(__import__("pathlib").Path(sys.argv[1]))
folder.open("same")
for index in range(4):
    if not folder.has_shard(index):
        folder.write_shard(index, [Instruction(str(index), "text")], Instruction)
        print(index, flush=True)
        time.sleep(float(sys.argv[2]))
folder.complete()
print(folder.output_hash())
"""


def test_a_stage_killed_between_shards_ends_with_the_hash_of_an_undisturbed_one(tmp_path):
    def start(name: str, pause: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", RENDER, str(tmp_path / name), pause]
        return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=ENVIRONMENT)

    undisturbed, _ = start("a", "0").communicate()
    victim = start("b", "60")
    assert victim.stdout is not None and victim.stdout.readline() == "0\n"
    victim.kill()
    victim.wait()
    written = (tmp_path / "b" / "part-00000.parquet").stat().st_mtime_ns
    time.sleep(0.01)
    resumed, _ = start("b", "0").communicate()
    assert resumed.splitlines()[:-1] == ["1", "2", "3"]
    assert resumed.splitlines()[-1] == undisturbed.splitlines()[-1]
    assert (tmp_path / "b" / "part-00000.parquet").stat().st_mtime_ns == written
    assert json.loads((tmp_path / "b" / "manifest.json").read_text())["complete"]
