"""`rba download`: a run from an object store, every file checked by its hash, the manifest of each stage at last."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from rba.errors import StoreError, WorkspaceError
from rba.files import file_hash, local, settle, write_bytes
from rba.progress import progress
from rba.store.groups import INDEX, MANIFEST, REST, Group, final_files, is_stage, manifest_name, read_group
from rba.store.place import AT_ONCE, Place
from rba.store.upload import Sent
from rba.workspace import StageFolder, Workspace


def download(url: str, run: str | Path, replace: bool = False) -> list[Sent]:
    """Copy what `rba upload` put at `url` into the run folder `run`; files that are here already stay.

    Killed and called again it goes on with the files that are missing. Stages whose upload has not ended are left out.
    Raises StoreError where there is no run at `url`, it is damaged or the store refuses, and WorkspaceError where the
    folder is in use, or holds another output of a stage and `replace` is false.
    """
    run, place = local(run), Place(url)
    there = place.sizes()
    names = sorted({name.removesuffix(f"/{MANIFEST}") for name in there if name.endswith(f"/{MANIFEST}")})
    found = [name for name in names if is_stage(name)]
    if not found:
        raise StoreError("there is no run here", place.url, "upload one first: rba upload RUN URL")
    with Workspace(run).lock():
        got = [_fetch_stage(_group(name, place), run, place, replace) for name in found]
        if INDEX in there:
            got.append(_fetch_rest(_group(REST, place), run, place, replace))
    return got


def _group(name: str, place: Place) -> Group:
    manifest = place.read(manifest_name(name))
    where = f"{place.url}/{manifest_name(name)}"
    if manifest is None:
        raise StoreError("the upload of this run has begun anew", where, "wait for it to end")
    return read_group(name, manifest, where)


def _fetch_stage(group: Group, run: Path, place: Place, replace: bool) -> Sent:
    """One stage: under its fingerprint it is at work here until every file is whole."""
    folder, manifest = StageFolder(run / group.name), json.loads(group.manifest)
    if folder.is_complete and folder.manifest.get("files") == manifest["files"]:
        return Sent(group.title)
    other = folder.is_complete or folder.manifest.get("fingerprint") != manifest.get("fingerprint")
    if folder.manifest and other and not replace:
        fix = "choose another run folder, or add --replace"
        raise WorkspaceError(f"the folder holds another output of {group.title}", str(run), fix)
    if folder.open(manifest["fingerprint"]):
        folder.manifest["complete"] = False
        write_bytes(folder.manifest_path, json.dumps(folder.manifest).encode())
    files = [path for path in folder.path.rglob("*") if path.is_file() and path != folder.manifest_path]
    sent = _fetch(group, group.files, run, place, removed=_keep_only(group, files, run))
    write_bytes(folder.manifest_path, group.manifest)
    return sent


def _fetch_rest(group: Group, run: Path, place: Place, replace: bool) -> Sent:
    """What stands beside the stages; what is here already is this folder's own, and stays unless it is replaced.

    Final models are replaced as a whole: what the store's run does not have goes.
    """
    removed = _keep_only(group, final_files(run), run) if replace else 0
    wanted = {n: d for n, d in group.files.items() if replace or not (run / n).exists()}
    return _fetch(group, wanted, run, place, removed)


def _keep_only(group: Group, paths: Iterable[Path], run: Path) -> int:
    """Remove those of `paths` that are not in the group, and the folders that they leave empty; returns how many."""
    strays = [path for path in paths if path.relative_to(run).as_posix() not in group.files]
    for path in strays:
        path.unlink()
        with contextlib.suppress(OSError):  # the first that is not empty
            for above in path.relative_to(run).parents[:-2]:
                (run / above).rmdir()
    return len(strays)


def _fetch(group: Group, files: Mapping[str, str], run: Path, place: Place, removed: int) -> Sent:
    """Bring the files that are not here with the right content."""
    missing = [name for name, digest in files.items() if not _is(run / name, digest)]
    with progress(f"download {group.title}", len(missing)) as bar, ThreadPoolExecutor(AT_ONCE) as pool:
        for _ in pool.map(lambda name: _get(run / name, files[name], name, place), missing):
            bar.advance(1)
    return Sent(group.title, len(missing), sum((run / name).stat().st_size for name in missing), removed=removed)


def _is(path: Path, digest: str) -> bool:
    return path.is_file() and file_hash(path) == digest


def _get(path: Path, digest: str, name: str, place: Place) -> None:
    """One file, under another name until it is whole and what it should be."""
    partial = path.with_name(f".{path.name}.partial")
    path.parent.mkdir(parents=True, exist_ok=True)
    place.get(name, partial)
    if file_hash(partial) != digest:
        partial.unlink()
        fix = "delete it there and upload the run again"  # an object of the right size is not sent again
        raise StoreError("the object is not what its manifest says", f"{place.url}/{name}", fix)
    settle(partial, path)
