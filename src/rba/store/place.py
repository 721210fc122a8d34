"""A place on an object store, by its URL; what goes wrong there is one clear line."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from pathlib import Path

from rba.errors import RecipeError, StoreError
from rba.files import disk_full, fingerprint

PACKAGES = {
    **{"s3": "s3fs", "s3a": "s3fs", "gs": "gcsfs", "gcs": "gcsfs", "abfs": "adlfs", "az": "adlfs"},
    **{"http": "aiohttp requests", "https": "aiohttp requests"},
}
"""What opens the URLs of the most used stores for fsspec."""


AT_ONCE = 8
"""Files that travel at the same time."""


class Place:
    """Everything below `url`, as fsspec opens it: "s3://bucket/runs/mine", "gs://...", a folder of this machine.

    An object appears whole or not at all. Raises RecipeError for a URL that nothing can open, StoreError where the
    store refuses, and OSError where a disk of this machine is full.
    """

    def __init__(self, url: str):
        import fsspec
        from fsspec.implementations.local import LocalFileSystem

        self.url = url.rstrip("/")
        protocol = url.partition("://")[0]
        try:
            self._fs, root = fsspec.core.url_to_fs(self.url)
        except ImportError as error:
            fix = f"pip install {PACKAGES.get(protocol, 'what fsspec names')}"
            raise RecipeError(f"{protocol}:// needs another package: {error}", url, fix) from error
        except ValueError as error:
            fix = "give a URL that fsspec knows, such as s3://bucket/folder, or a folder"
            raise RecipeError(f"this URL cannot be opened: {error}", url, fix) from error
        except Exception as error:
            raise _refused(self.url, error) from error
        self._root = root.rstrip("/")
        if isinstance(self._fs, LocalFileSystem):
            self._fs = LocalFileSystem(auto_mkdir=True)  # as object stores know no folders

    def sizes(self) -> dict[str, int]:
        """Every object's size in bytes, by its name below the URL."""
        with self._asked():
            self._fs.invalidate_cache()
            found = self._fs.find(self._root, detail=True)
        return {path[len(self._root) + 1 :]: facts["size"] for path, facts in found.items()}

    def states(self) -> dict[str, str]:
        """What tells whether an object was changed, by its name below the URL; "" where the URL is one object's own.

        Empty where nothing is there.
        """
        with self._asked():
            self._fs.invalidate_cache()
            try:
                own = self._fs.info(self._root)
            except FileNotFoundError:
                return {}
            if own["type"] == "file":
                return {"": fingerprint(own)}
            found = self._fs.find(self._root, detail=True)
        return {path[len(self._root) + 1 :]: fingerprint(facts) for path, facts in sorted(found.items())}

    def read(self, name: str) -> bytes | None:
        """An object's content; None where there is none."""
        with self._asked():
            try:
                return self._fs.cat_file(self._at(name))
            except FileNotFoundError:
                return None

    def write(self, name: str, data: bytes) -> None:
        """Make or replace an object."""
        with self._asked():
            self._fs.pipe_file(self._at(name), data)

    def put(self, path: Path, name: str) -> None:
        """Make or replace an object with a file's content."""
        with self._asked():
            self._fs.put_file(str(path), self._at(name))

    def get(self, name: str, path: Path) -> None:
        """Write an object's content into a file."""
        with self._asked():
            self._fs.get_file(self._at(name), str(path))

    def delete(self, names: Iterable[str]) -> None:
        """Remove objects, in this order."""
        with self._asked():
            for name in names:
                self._fs.rm_file(self._at(name))

    def _at(self, name: str) -> str:
        return f"{self._root}/{name}" if name else self._root

    @contextlib.contextmanager
    def _asked(self) -> Iterator[None]:
        """Around every call of the store: each has exceptions of its own kinds. A full disk is not its fault."""
        try:
            yield
        except Exception as error:
            if full := _disk_full(error):
                raise full from None
            raise _refused(self.url, error) from error


def _refused(url: str, error: Exception) -> StoreError:
    reason = " ".join(str(error).split())[:300] or type(error).__name__
    fix = "check the URL, your credentials and the network, then give the same command again"
    return StoreError(f"the store refuses: {reason}", url, fix)


def _disk_full(error: BaseException | None) -> OSError | None:
    """The error of a full disk or a used-up quota that `error` is, or was raised from."""
    seen: list[BaseException] = []
    while error and error not in seen:
        if isinstance(error, OSError) and disk_full(error):
            return error
        seen.append(error)
        error = error.__cause__ or error.__context__
    return None
