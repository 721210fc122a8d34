"""Errors that a user can mend: each says what, where and how in one line, and ends the command with exit code 2."""

from __future__ import annotations


class RbaError(Exception):
    """A fault in what was given to rba (recipe, data, model, folder), not in rba itself.

    `what` names the fault, `where` the key, file or item, `fix` what the user can do. `str()` is always one line.
    """

    def __init__(self, what: str, where: str = "", fix: str = ""):
        super().__init__(what, where, fix)
        self.what, self.where, self.fix = what, where, fix

    def __str__(self) -> str:
        line = self.what + (f" ({self.where})" if self.where else "") + (f"; {self.fix}" if self.fix else "")
        return " ".join(line.split())


class RecipeError(RbaError, ValueError):
    """A recipe holds an unknown key or a value that cannot work."""


class DataError(RbaError, ValueError):
    """A shard or data file is missing, truncated or of another form."""


class AudioError(RbaError, ValueError):
    """An audio clip is empty, not finite, too long or cannot be decoded."""


class ModelError(RbaError, RuntimeError):
    """A model is missing, fails its check, or cannot do what the recipe asks."""


class RefusalError(ModelError):
    """A served model refuses one request, which may be the request's fault: it answers others."""


class TeacherError(RbaError, RuntimeError):
    """The teacher gave nothing usable."""


class WorkspaceError(RbaError, RuntimeError):
    """The run folder is in use, full or not writable."""


class ProcessError(RbaError, RuntimeError):
    """Another process of the same run has ended."""


class ClusterError(RbaError, RuntimeError):
    """The cluster is missing or cannot be reached, has no room, or loses its workers."""


class StoreError(RbaError, RuntimeError):
    """An object store refuses, or holds something else than was expected."""
