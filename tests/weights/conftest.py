"""Tiny wheels in a local index, so that fetching is tested through pip but without a network."""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from rba.weights import registry
from rba.weights.source import Member, Origin, Source


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache that RBA_CACHE points to."""
    monkeypatch.setenv("RBA_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of wheels that is all pip knows."""
    folder = tmp_path / "index"
    folder.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


@pytest.fixture
def publish(index: Path) -> Callable[..., None]:
    """`publish(package, {member: bytes})` puts a wheel in the index. Importing its code would raise."""

    def put(package: str, members: dict[str, bytes]) -> None:
        stem = f"{package.replace('-', '_')}-1.0"
        info = f"{stem}.dist-info"
        metadata = f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n"
        with zipfile.ZipFile(index / f"{stem}-py3-none-any.whl", "w") as wheel:
            wheel.writestr(f"{package.replace('-', '_')}/__init__.py", "raise RuntimeError('imported')")
            for name, data in members.items():
                wheel.writestr(name, data)
            wheel.writestr(f"{info}/METADATA", metadata)
            wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
            wheel.writestr(f"{info}/RECORD", "")

    return put


@pytest.fixture
def register(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Source]:
    """`register("toy", [packages], content)` adds a model whose one file `weights.bin` must hold `content`."""

    def add(name: str, *origins: list[str], content: bytes) -> Source:
        member = Member("weights.bin", "*.bin", hashlib.sha256(content).hexdigest())
        source = Source(
            name=name,
            kind="toy",
            form="folder",
            licence="MIT",
            size=len(content),
            summary="a toy",
            upstream="https://example.org/toy",
            origins=tuple(Origin(tuple((p, "1.0") for p in packages), (member,)) for packages in origins),
        )
        monkeypatch.setitem(registry.SOURCES, name, source)
        return source

    return add
