"""The formats, by name. Importing this loads nothing heavy."""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Callable

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


def load_format(name: str) -> Callable[..., None]:
    """The writer of a format: `write(folder, split, examples)`. Raises RecipeError for an unknown name."""
    if name not in FORMATS:
        nearest = difflib.get_close_matches(name.lower(), FORMATS, n=1, cutoff=0.4)
        fix = f"did you mean {nearest[0]}?" if nearest else f"formats are: {', '.join(FORMATS)}"
        raise RecipeError("no such export format", f'--to "{name}"', fix)
    return importlib.import_module(f"rba.export.{name}").write
