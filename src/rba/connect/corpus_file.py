"""Corpus files: JSON lines, plain or gzipped, with a `text` each and optionally a `source`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rba.data.text_lines import text_lines, text_row


def read_rows(path: Path) -> list[dict[str, Any]]:
    """The rows of a file in their order, blank lines left out.

    Raises DataError for a file that cannot be read and, with its number, for a line that is no object with a text.
    """
    return [text_row(line, where) for where, line in text_lines(path, "the corpus file")]
