"""Opening a recogniser's model and the reader that goes with it."""

from __future__ import annotations

from typing import Any

from rba.errors import ModelError


def open_pretrained(name: str, title: str, model: Any, reader: Any, dtype: Any, threads: int | None) -> tuple[Any, Any]:
    """A model of class `model` in evaluation mode, and its `reader`: registry name, local folder or hub id.

    `threads` limits torch within this process (None: as it is). Raises ModelError for one that is not a `title` model.
    """
    import torch

    from rba.weights.resolve import resolve

    if threads:
        torch.set_num_threads(threads)
    folder = resolve(name)
    try:
        return model.from_pretrained(folder, dtype=dtype).eval(), reader.from_pretrained(folder)
    except (OSError, ValueError, KeyError) as error:
        raise ModelError(f"cannot load a {title} model: {error}", name, "name another recogniser") from error
