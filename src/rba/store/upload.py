"""`rba upload`: a run's finished stages on an object store, the manifest of each after its files.

An object's content is known by three things: its name, its size, and a mark that is written before the first object of
a group is removed or sent, and lists the hashes of all of them. A store shows whole objects only, so what bears the
right size under the right hash need not be sent again.
"""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from rba.errors import StoreError, WorkspaceError
from rba.files import file_hash, local
from rba.progress import progress
from rba.store.groups import REST, Group, group_of, index, manifest_name, read_group, rest_of, stages
from rba.store.place import AT_ONCE, Place
from rba.workspace import Workspace


@dataclass(frozen=True)
class Sent:
    """What became of one group: files and bytes that travelled, files `removed`, whether it was `finished` at all."""

    title: str
    files: int = 0
    size: int = 0
    finished: bool = True
    removed: int = 0

    def __str__(self) -> str:
        if not self.finished:
            return f"{self.title}: not finished, left out"
        done = [f"{_many(self.files)}, {self.size / 1e6:.1f} MB"] * bool(self.files)
        done += [f"{_many(self.removed)} removed"] * bool(self.removed)
        return f"{self.title}: {', '.join(done) or 'unchanged'}"


def _many(files: int) -> str:
    return f"{files} file{'s' * (files != 1)}"


def upload(run: str | Path, url: str, replace: bool = False) -> list[Sent]:
    """Copy the finished stages of a run, its recipe, log, report and final models to `url`; what is there stays.

    Killed and called again it goes on with the files that are missing. Raises WorkspaceError for a folder without
    stages, one that a run holds, or a file that is not what its manifest says, StoreError where the store refuses, or
    holds another output of a stage and `replace` is false.
    """
    run, place = local(run), Place(url)
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
    manifest, mark = group.manifest_name, _mark_name(group)
    sizes = {name: (run / name).stat().st_size for name in group.files}
    written, marked = (place.read(name) if name in there else None for name in (manifest, mark))
    before = _listed(group.name, written, f"{place.url}/{manifest}", replace)
    under_way = _listed(REST, marked, f"{place.url}/{mark}", unread=True)
    known = None if before is None and under_way is None else {**(under_way or {}), **(before or {})}
    kept = {n for n, digest in group.files.items() if (known or {}).get(n) == digest and there.get(n) == sizes[n]}
    if written == group.manifest and len(kept) == len(group.files):
        place.delete([mark] * (marked is not None))
        return Sent(group.title)
    if written is not None and before != group.files and not replace:
        fix = "choose another place, or add --replace"
        raise StoreError(f"the store holds another output of {group.title}", place.url, fix)
    begun = written is not None or marked is not None
    out = _own(group, known, there, begun, place.url) - kept
    if written is not None or out:
        # a kill while they go leaves the names of all that is rba's, and vouches for none that has to go
        place.write(mark, index({**dict.fromkeys(out, ""), **{name: group.files[name] for name in kept}}))
        place.delete([manifest] * (written is not None) + sorted(out))
    place.write(mark, index(group.files))
    missing = sorted(set(group.files) - kept)
    with progress(f"upload {group.title}", len(missing)) as bar, ThreadPoolExecutor(AT_ONCE) as pool:
        for _ in pool.map(lambda name: _put(run / name, group.files[name], name, place), missing):
            bar.advance(1)
    place.write(manifest, group.manifest)
    place.delete([mark])
    sent = sum(sizes[name] for name in missing)
    return Sent(group.title, len(missing), sent, removed=len(out - set(group.files)))


def _listed(name: str, manifest: bytes | None, where: str, unread: bool) -> Mapping[str, str] | None:
    """What a manifest or a mark on the store lists; None where there is none, or where `unread` is no error."""
    if manifest is None:
        return None
    try:
        return read_group(name, manifest, where).files
    except StoreError:
        if unread:
            return None
        raise


def _own(group: Group, known: Mapping[str, str] | None, there: Mapping[str, int], begun: bool, url: str) -> set[str]:
    """The objects of the group that rba has put there: those that a manifest or a mark lists.

    Where neither can be read they are all of the stage's folder, and of the rest what bears a name of the run's.
    Raises StoreError where others are in the way; in a place that rba has not `begun`, all of them are.
    """
    own = {group.manifest_name, _mark_name(group)}
    room = {name for name in there if (name.startswith(f"{group.name}/") if group.name else name in group.files)} - own
    if begun and known is None:
        return room
    listed = set(known or {})
    foreign = (room & set(group.files) if begun else room) - listed
    if foreign:
        fix = "move them away or choose another place"
        raise StoreError(f"the place holds files that are not rba's: {min(foreign)}", url, fix)
    return (listed & set(there)) - own


def _put(path: Path, digest: str, name: str, place: Place) -> None:
    if file_hash(path) != digest:
        fix = "run the recipe again: it makes damaged stages anew once their manifest is deleted"
        raise WorkspaceError("the file is not what its manifest says", str(path), fix)
    place.put(path, name)


def _mark_name(group: Group) -> str:
    return f"{manifest_name(group.name)}.uploading"
