"""A run on an object store and back: only what is missing travels, and nothing half-sent ever looks whole."""

from __future__ import annotations

import errno
import os
import shutil
import uuid
from contextlib import contextmanager

import fsspec
import pytest

from rba.cli import main
from rba.errors import RecipeError, StoreError, WorkspaceError
from rba.store.download import download
from rba.store.place import Place
from rba.store.upload import upload
from rba.workspace import StageFolder, Workspace

FILES = {
    "synthesis": {"part-00000.parquet": "requests", "rounds/round-00000.parquet": "fates"},
    "speech": {"part-00000.parquet": "sound", "facts-00000.json": "{}"},
    "align/sft": {"model/weights.safetensors": "weights", "model/speechlm.json": "{}"},
}


def write(stage: StageFolder, files: dict[str, str], mark: str = "mark") -> None:
    """A finished stage of these files."""
    stage.open(mark)
    for name, text in files.items():
        (stage.path / name).parent.mkdir(parents=True, exist_ok=True)
        (stage.path / name).write_text(text)
    stage.complete()


@pytest.fixture
def run(tmp_path):
    """A run folder: three finished stages, one at work, what stands beside them, and what nobody keeps."""
    root = tmp_path / "run"
    for name, files in FILES.items():
        write(Workspace(root).stage(name), files)
    Workspace(root).stage("evaluation").open("mark")
    for name in ("config.yaml", "metrics.jsonl", "final/sft/weights.safetensors", "final/.sft.partial/half"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(f"this is {name}\n")
    for name in ("align/.shared/speech-1/heard.bin", "checkpoints/sft-1/last/state.json"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("not to be kept")
    return root


@pytest.fixture(params=["memory", "file"])
def url(request, tmp_path):
    """An empty place on a store."""
    return f"memory://{uuid.uuid4().hex}/run" if request.param == "memory" else f"file://{tmp_path}/store/run"


def objects(url):
    return set(Place(url).sizes())


def content(root):
    return {
        p.relative_to(root).as_posix(): p.read_bytes() for p in root.rglob("*") if p.is_file() and p.name != ".lock"
    }


def moved(sent):
    return {one.title: one.files for one in sent}


def test_a_run_comes_back_as_it_was(run, url, tmp_path):
    sent = upload(run, url)
    assert moved(sent) == {"align/sft": 2, "evaluation": 0, "speech": 2, "synthesis": 2, "rest": 3}
    assert [str(one) for one in sent if not one.finished] == ["evaluation: not finished, left out"]
    download(url, tmp_path / "back")
    back, there = content(tmp_path / "back"), content(run)
    gone = {"evaluation/manifest.json"} | {n for n in there if ".shared" in n or ".partial" in n or "checkpoints" in n}
    assert back == {name: data for name, data in there.items() if name not in gone}
    assert all(Workspace(tmp_path / "back").stage(name).is_current("mark") for name in FILES)
    assert objects(url) == set(back) | {"files.json"}


def test_what_is_there_already_does_not_travel_again(run, url, tmp_path):
    upload(run, url), download(url, tmp_path / "back")
    assert not any(moved(upload(run, url)).values())
    assert not any(moved(download(url, tmp_path / "back")).values())
    write(Workspace(run).stage("evaluation"), {"results.json": "[]"})
    (run / "metrics.jsonl").write_text("more\n")
    assert {k: n for k, n in moved(upload(run, url)).items() if n} == {"evaluation": 1, "rest": 1}
    assert {k: n for k, n in moved(download(url, tmp_path / "back")).items() if n} == {"evaluation": 1}


@contextmanager
def stopped_after(left, method, last=lambda *arguments: None):
    """Inside, a place is interrupted at its call of `method` after `left` whole ones, once `last` is done."""
    whole, calls = getattr(Place, method), []

    def stops(self, *arguments):
        if len(calls) == left:
            last(*arguments)
            raise KeyboardInterrupt
        calls.append(arguments)
        whole(self, *arguments)

    with pytest.MonkeyPatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(Place, method, stops)
        yield


@pytest.mark.parametrize("left", range(5))
def test_an_upload_that_was_stopped_goes_on(run, url, tmp_path, monkeypatch, left):
    monkeypatch.setattr("rba.store.upload.AT_ONCE", 1)
    with stopped_after(left, "put"):
        upload(run, url)
    whole = {name.removesuffix("/manifest.json") for name in objects(url) if name.endswith("/manifest.json")}
    assert len(whole) == left // 2  # two files to a stage
    assert sum(moved(upload(run, url)).values()) == 9 - left
    download(url, tmp_path / "back")
    assert all(Workspace(tmp_path / "back").stage(name).is_current("mark") for name in FILES)
    assert not [name for name in objects(url) if name.endswith(".uploading")]


def test_an_object_that_was_cut_short_is_sent_again(run, url):
    upload(run, url)
    Place(url).write("speech/part-00000.parquet", b"sou")
    assert moved(upload(run, url))["speech"] == 1
    assert Place(url).read("speech/part-00000.parquet") == b"sound"


@pytest.mark.parametrize("left", range(5))
def test_a_download_that_was_stopped_goes_on(run, url, tmp_path, monkeypatch, left):
    upload(run, url)
    monkeypatch.setattr("rba.store.download.AT_ONCE", 1)
    with stopped_after(left, "get", lambda name, path: path.write_bytes(b"half")):
        download(url, tmp_path / "back")
    assert sum(Workspace(tmp_path / "back").stage(name).is_complete for name in FILES) == left // 2
    assert sum(moved(download(url, tmp_path / "back")).values()) == 9 - left
    assert all(Workspace(tmp_path / "back").stage(name).is_current("mark") for name in FILES)
    assert not list((tmp_path / "back").rglob("*.partial"))


def test_another_output_replaces_nothing_unless_it_is_told_to(run, url, tmp_path):
    upload(run, url), download(url, tmp_path / "back")
    write(Workspace(run).stage("speech"), {"part-00000.parquet": "other sound"}, "other mark")
    with pytest.raises(StoreError, match="the store holds another output of speech"):
        upload(run, url)
    assert moved(upload(run, url, replace=True))["speech"] == 1
    assert "speech/facts-00000.json" not in objects(url)
    with pytest.raises(WorkspaceError, match="the folder holds another output of speech"):
        download(url, tmp_path / "back")
    assert Workspace(tmp_path / "back").stage("speech").is_current("mark")
    download(url, tmp_path / "back", replace=True)
    assert content(tmp_path / "back" / "speech") == content(run / "speech")


@contextmanager
def stopped_at(place, left):
    """Inside, whatever would change the store is interrupted after `left` whole changes; gives what they were."""
    kind, changes = type(place._fs), []
    with pytest.MonkeyPatch.context() as patched:
        for method in ("pipe_file", "put_file", "rm_file"):
            patched.setattr(kind, method, _stopping(getattr(kind, method), changes, left))
        yield changes


def _stopping(whole, changes, left):
    def stops(self, *arguments, **options):
        if len(changes) == left:
            raise KeyboardInterrupt
        changes.append(arguments)
        return whole(self, *arguments, **options)

    return stops


def other_output(run):
    """Replace the speech by files of which one bears a name and a size that were there before; a method is gone."""
    write(Workspace(run).stage("speech"), {"part-00000.parquet": "SOUND", "part-00001.parquet": "more"}, "other mark")
    shutil.rmtree(run / "final" / "sft")
    (run / "metrics.jsonl").write_text("another line\n")


def test_a_replacing_upload_that_was_stopped_anywhere_ends_clean(run, tmp_path, monkeypatch):
    monkeypatch.setattr("rba.store.upload.AT_ONCE", 1)
    before, changes = tmp_path / "before", ()
    shutil.copytree(run, before)
    other_output(run)
    upload(run, f"memory://{uuid.uuid4().hex}", replace=True)
    foreign = {"speech/notes.txt", "final/theirs/model"}
    for left in range(100):
        place = Place(f"memory://{uuid.uuid4().hex}")
        upload(before, place.url)
        for name in foreign:
            place.write(name, b"somebody's")
        try:
            with stopped_at(place, left) as changes:
                upload(run, place.url, replace=True)
        except KeyboardInterrupt:
            whole = [name for name in ("speech", "align/sft") if f"{name}/manifest.json" in objects(place.url)]
            download(place.url, tmp_path / f"half-{left}")
            assert all(Workspace(tmp_path / f"half-{left}").stage(name).is_complete for name in whole)
            upload(run, place.url, replace=True)
        download(place.url, tmp_path / f"back-{left}")
        assert content(tmp_path / f"back-{left}" / "speech") == content(run / "speech")
        assert objects(place.url) == {*content(tmp_path / f"back-{left}"), "files.json", *foreign}
        if len(changes) < left:
            break
    assert left > 10


def test_what_the_run_no_longer_has_is_counted(run, url, tmp_path):
    upload(run, url), download(url, tmp_path / "back")
    shutil.rmtree(run / "final" / "sft")
    assert [str(one) for one in upload(run, url)][-1] == "rest: 1 file removed"
    assert "final/sft/weights.safetensors" not in objects(url)
    assert [str(one) for one in download(url, tmp_path / "back")][-1] == "rest: unchanged"
    assert (tmp_path / "back" / "final" / "sft").is_dir()
    assert [str(one) for one in download(url, tmp_path / "back", replace=True)][-1] == "rest: 1 file removed"
    assert not (tmp_path / "back" / "final" / "sft").exists()


def test_objects_of_others_are_never_touched(run, url):
    upload(run, url)
    for name in ("speech/notes.txt", "speech/part-00001.parquet", "final/theirs/model"):
        Place(url).write(name, b"somebody's")
    (run / "speech" / "facts-00000.json").write_text("{ }")
    Workspace(run).stage("speech").complete()
    upload(run, url, replace=True)
    other_output(run)
    with pytest.raises(StoreError, match=r"files that are not rba's: speech/part-00001\.parquet"):
        upload(run, url, replace=True)
    for name in ("speech/notes.txt", "speech/part-00001.parquet", "final/theirs/model"):
        assert Place(url).read(name) == b"somebody's"


@pytest.mark.parametrize("damage", [b"", b"{", b"[]", b'{"files": {}}', b'{"fingerprint": 1, "files": {}}'])
def test_a_damaged_manifest_is_mended_by_replacing_it(run, url, tmp_path, damage):
    upload(run, url)
    Place(url).write("speech/manifest.json", damage)
    Place(url).write("speech/part-00009.parquet", b"of an older output")
    for call in (lambda: upload(run, url), lambda: download(url, tmp_path / "back")):
        with pytest.raises(StoreError, match=r"manifest cannot be read .*upload the run again with --replace"):
            call()
    upload(run, url, replace=True)
    assert "speech/part-00009.parquet" not in objects(url)
    download(url, tmp_path / "back")
    assert content(tmp_path / "back" / "speech") == content(run / "speech")


def test_a_mark_of_another_form_is_no_hindrance(run, url):
    with stopped_after(3, "put"):
        upload(run, url)
    Place(url).write("speech/manifest.json.uploading", b"0123456789abcdef01234567")
    upload(run, url)
    assert {name for name in objects(url) if name.startswith("speech/")} == {
        f"speech/{name}" for name in (*FILES["speech"], "manifest.json")
    }


def test_a_stage_at_work_here_is_finished_from_the_store(run, url, tmp_path):
    upload(run, url)
    folder = Workspace(tmp_path / "back").stage("speech")
    folder.open("mark")
    (folder.path / "part-00000.parquet").write_text("sound")
    (folder.path / "part-00007.parquet").write_text("of no use")
    assert moved(download(url, tmp_path / "back"))["speech"] == 1
    assert content(tmp_path / "back" / "speech") == content(run / "speech")


def test_what_stands_beside_the_stages_here_is_kept(run, url, tmp_path):
    upload(run, url)
    (tmp_path / "back").mkdir()
    (tmp_path / "back" / "metrics.jsonl").write_text("mine\n")
    download(url, tmp_path / "back")
    assert (tmp_path / "back" / "metrics.jsonl").read_text() == "mine\n"
    download(url, tmp_path / "back", replace=True)
    assert (tmp_path / "back" / "metrics.jsonl").read_bytes() == (run / "metrics.jsonl").read_bytes()


def test_damage_is_seen_on_both_ways(run, url, tmp_path):
    upload(run, url)
    Place(url).write("speech/part-00000.parquet", b"noise")
    with pytest.raises(StoreError, match=r"not what its manifest says .*speech/part-00000\.parquet"):
        download(url, tmp_path / "back")
    assert not Workspace(tmp_path / "back").stage("speech").is_complete
    (run / "synthesis" / "part-00000.parquet").write_text("rewritten")
    with pytest.raises(WorkspaceError, match=r"not what its manifest says .*part-00000\.parquet"):
        upload(run, f"{url}-other")


def test_a_place_with_other_files_is_left_alone(run, url):
    Place(url).write("speech/talk.mp3", b"somebody's")
    with pytest.raises(StoreError, match=r"files that are not rba's: speech/talk\.mp3"):
        upload(run, url)
    assert Place(url).read("speech/talk.mp3") == b"somebody's"


@pytest.mark.parametrize("name", ["../escape", "/etc/escape", "a/../../../escape"])
def test_a_manifest_cannot_point_out_of_the_run(url, tmp_path, name):
    Place(url).write(
        "speech/manifest.json", b'{"fingerprint": "m", "complete": true, "files": {"%s": "0"}}' % name.encode()
    )
    with pytest.raises(StoreError, match="outside of the run"):
        download(url, tmp_path / "back")


def test_faults_are_one_line_and_exit_code_2(run, url, tmp_path, capsys):
    def said(*words):
        assert main([str(word) for word in words]) == 2
        line = capsys.readouterr().err
        assert line.count("\n") == 1
        return line

    assert "there is no run here" in said("download", url, tmp_path / "back")
    assert "there is no stage of a run here" in said("upload", tmp_path / "nothing", url)
    assert "this URL cannot be opened" in said("upload", run, "nosuch://bucket/run")
    with Workspace(run).lock():
        assert "another run holds this folder" in said("upload", run, url)


def test_the_command_says_what_travelled(run, url, tmp_path, capsys):
    assert main(["upload", str(run), url]) == 0
    assert "speech: 2 files, 0.0 MB\n" in capsys.readouterr().out
    assert main(["download", url, str(tmp_path / "back")]) == 0
    assert main(["download", url, str(tmp_path / "back")]) == 0
    assert "speech: unchanged\n" in capsys.readouterr().out


def test_a_store_whose_package_is_missing_says_which(monkeypatch):
    def missing(url):
        raise ImportError("Install s3fs to access S3")

    monkeypatch.setattr(fsspec.core, "url_to_fs", missing)
    with pytest.raises(RecipeError, match="pip install s3fs"):
        Place("s3://bucket/run")


@pytest.mark.parametrize("error", [ConnectionRefusedError(111, "Connection refused"), TypeError("org is missing")])
def test_a_store_that_cannot_be_opened_is_one_line(monkeypatch, error):
    monkeypatch.setattr(fsspec.core, "url_to_fs", lambda url: (_ for _ in ()).throw(error))
    with pytest.raises(StoreError, match=r"the store refuses: .*(Connection refused|org is missing)"):
        Place("ftp://nowhere/run")


@pytest.mark.parametrize("wrapped", [False, True])
def test_a_full_disk_is_no_fault_of_the_store(run, url, tmp_path, monkeypatch, capsys, wrapped):
    upload(run, url)

    def full(self, name, path, *arguments, **options):
        try:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)
        except OSError as error:
            if wrapped:
                raise RuntimeError("transfer failed") from error
            raise

    monkeypatch.setattr(type(Place(url)._fs), "get_file", full)
    assert main(["download", url, str(tmp_path / "back")]) == 2
    assert "the disk is full" in capsys.readouterr().err


def test_a_full_store_on_a_disk_is_told_with_its_own_place(run, tmp_path, monkeypatch, capsys):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "sendfile", full)  # what a copy is made by
    store = tmp_path / "mounted" / "store"
    assert main(["upload", str(run), str(store)]) == 2
    said = capsys.readouterr().err
    assert f"the disk is full ({store}/" in said and str(run) not in said


def test_what_the_store_refuses_is_said_in_its_words(url, monkeypatch):
    place = Place(url)
    monkeypatch.setattr(
        type(place._fs), "pipe_file", lambda *a, **k: (_ for _ in ()).throw(PermissionError("no\nentry"))
    )
    with pytest.raises(StoreError, match="the store refuses: no entry"):
        place.write("x", b"")


def test_a_folder_is_a_place_too(run, tmp_path):
    upload(run, str(tmp_path / "disk"))
    shutil.rmtree(run)
    download(str(tmp_path / "disk"), run)
    assert Workspace(run).stage("speech").is_complete
