"""`rba upload`: a run's finished stages on an object store, the manifest of each after its files.

An object's content is known by three things: its name, its size, and a mark that is written before the first object of
a group and names the hashes of all of them. A store shows whole objects only, so what bears the right size under the
right mark need not be sent again.
"""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from rba.errors import StoreError, WorkspaceError
from rba.files import file_hash, fingerprint
from rba.progress import progress
from rba.store.groups import Group, group_of, manifest_name, read_group, rest_of, stages
from rba.store.place import Place
from rba.workspace import Workspace

AT_ONCE = 8
"""Files that travel at the same time."""


@dataclass(frozen=True)
class Sent:
    """What became of one group: the files and bytes that travelled, and whether it was `finished` at all."""

    title: str
    files: int = 0
    size: int = 0
    finished: bool = True

    def __str__(self) -> str:
        if not self.finished:
            return f"{self.title}: not finished, left out"
        many = f"{self.files} file{'s' * (self.files != 1)}, {self.size / 1e6:.1f} MB"
        return f"{self.title}: {many}" if self.files else f"{self.title}: unchanged"


def upload(run: str | Path, url: str, replace: bool = False) -> list[Sent]:
    """Copy the finished stages of a run, its recipe, log, report and final models to `url`; what is there stays.

    Killed and called again it goes on with the files that are missing. Raises WorkspaceError for a folder without
    stages, one that a run holds, or a file that is not what its manifest says, StoreError where the store refuses, or
    holds another output of a stage and `replace` is false.
    """
    run, place = Path(run).expanduser(), Place(url)
    found = stages(run)
    with Workspace(run).lock():
        there = place.sizes()
        sent = []
        for stage in found:
            if stage.is_complete:
                sent.append(_send(group_of(run, stage), run, place, there, replace))
            else:
                sent.append(Sent(stage.path.relative_to(run).as_posix(), finished=False))
        return [*sent, _send(rest_of(run), run, place, there, replace=True)]


def _send(group: Group, run: Path, place: Place, there: Mapping[str, int], replace: bool) -> Sent:
    """Bring one group to the store: remove what is out of date, mark it, send what is missing, then its manifest."""
    manifest, mark = group.manifest_name, fingerprint(dict(group.files))
    sizes = {name: (run / name).stat().st_size for name in group.files}
    written = place.read(manifest) if manifest in there else None
    before = read_group(group.name, written, f"{place.url}/{manifest}").files if written else {}
    marked = (place.read(_mark_name(group)) or b"").decode() if _mark_name(group) in there else ""
    kept = {
        name
        for name, digest in group.files.items()
        if there.get(name) == sizes[name] and (before.get(name) == digest or marked == mark)
    }
    if written == group.manifest and len(kept) == len(group.files):
        return Sent(group.title)
    if written and before != group.files and not replace:
        fix = "choose another place, or add --replace"
        raise StoreError(f"the store holds another output of {group.title}", place.url, fix)
    stray = _strays(group, before, there) - kept
    if stray and not written and not marked:
        fix = "choose another place"
        raise StoreError(f"the place holds files that are not rba's: {min(stray)}", place.url, fix)
    place.delete([manifest] * (written is not None) + sorted(stray))
    place.write(_mark_name(group), mark.encode())
    missing = sorted(set(group.files) - kept)
    with progress(f"upload {group.title}", len(missing)) as bar, ThreadPoolExecutor(AT_ONCE) as pool:
        for _ in pool.map(lambda name: _put(run / name, group.files[name], name, place), missing):
            bar.advance(1)
    place.write(manifest, group.manifest)
    place.delete([_mark_name(group)])
    return Sent(group.title, len(missing), sum(sizes[name] for name in missing))


def _strays(group: Group, before: Mapping[str, str], there: Mapping[str, int]) -> set[str]:
    """Objects that may have to go: all of a stage's folder; of the rest, what an earlier index names."""
    own = {group.manifest_name, _mark_name(group)}
    if group.name:
        return {name for name in there if name.startswith(f"{group.name}/")} - own
    return (set(before) | set(group.files)) & set(there) - own


def _put(path: Path, digest: str, name: str, place: Place) -> None:
    if file_hash(path) != digest:
        fix = "run the recipe again: it makes damaged stages anew once their manifest is deleted"
        raise WorkspaceError("the file is not what its manifest says", str(path), fix)
    place.put(path, name)


def _mark_name(group: Group) -> str:
    return f"{manifest_name(group.name)}.uploading"
