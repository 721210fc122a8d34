"""The formats, by name. Importing this loads nothing heavy."""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Callable
from typing import Any

from rba.errors import RecipeError

FORMATS = {
    "hf": "a folder for datasets.load_dataset",
    "nemo": "NeMo manifests and WAV files",
    "swift": "ms-swift JSON lines and WAV files",
    "verl": "verl parquet rows and WAV files",
    "webdataset": "tar shards of WAV and JSON",
    "lhotse": "lhotse recordings, supervisions and cuts, and WAV files",
}
"""What each makes; the module `rba.export.<name>` has `write(folder, split, examples)`."""

MODELS = {"transformers": "an aligned model: its LLM as a plain transformers folder, and the connector's weights"}
"""What models can be exported as; `rba.export.<name>` has `write(folder, checkpoint)` and returns its `Usage`."""


def load_format(name: str) -> Callable[..., Any]:
    """The `write` of a format, of data or of models. Raises RecipeError for an unknown name."""
    known = [*FORMATS, *MODELS]
    if name not in known:
        nearest = difflib.get_close_matches(name.lower(), known, n=1, cutoff=0.4)
        fix = f"did you mean {nearest[0]}?" if nearest else f"formats are: {', '.join(known)}"
        raise RecipeError("no such export format", f'--to "{name}"', fix)
    return importlib.import_module(f"rba.export.{name}").write
