"""Opening a model's files: whatever is wrong with them ends in one line."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from contextlib import contextmanager

from rba.errors import ModelError, RbaError

NAMES = "give a registry name (rba models list), a whole local folder or a hub id that you can reach"


@contextmanager
def opening(what: str, name: str, fix: str = NAMES) -> Iterator[None]:
    """Raise ModelError, with the reason, where `what` cannot be made of the files of the model `name`.

    They may be missing, cut short, of another layout than they say, or need a package that is not installed.
    """
    try:
        yield
    except RbaError:
        raise
    except Exception as error:
        if not isinstance(error, _faults()) or type(error).__name__ == "OutOfMemoryError":
            raise
        raise ModelError(f"cannot load {what}: {reason_of(error)}", name, fix) from error


def reason_of(error: Exception) -> str:
    """What an error of reading a model's files says, in one line."""
    lines = [line.strip() for line in (str(error).strip() or type(error).__name__).splitlines()]
    first = " ".join(lines[:2]) if lines[0].endswith(":") else lines[0]  # torch's first line names no weight
    return f"it lacks {first}" if isinstance(error, KeyError) else first


def _faults() -> tuple[type[Exception], ...]:
    from huggingface_hub.errors import StrictDataclassError
    from safetensors import SafetensorError

    known = (ImportError, LookupError, OSError, RuntimeError, TypeError, ValueError, pickle.UnpicklingError)
    return (*known, SafetensorError, StrictDataclassError)
