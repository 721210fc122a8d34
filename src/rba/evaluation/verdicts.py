"""What a judge with an LLM said of pairs of answers: kept on disk as it comes, so that a stopped evaluation goes on."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from rba.document import parse_json
from rba.files import fingerprint, refusal, write_text

Pair = tuple[str, str, str]
"""A request and two answers to it."""
Verdict = float | None
"""None where what the judge said is no verdict."""


class Verdicts:
    """Verdicts by pair, in memory and, with a `place`, as JSON lines there.

    On disk are those that could be read: where there was none, the next run asks again. What a stop has left of half a
    line is taken away. Raises WorkspaceError where the disk refuses.
    """

    def __init__(self, place: Path | None = None):
        self._place = place
        self._said: dict[str, Verdict] = {}
        if place is None:
            return
        try:
            lines = place.read_text(encoding="utf-8", errors="replace").splitlines() if place.is_file() else []
            for line in lines:
                with contextlib.suppress(ValueError):
                    key, said = parse_json(line)
                    if said is not None:
                        self._said[key] = said
            place.parent.mkdir(parents=True, exist_ok=True)
            write_text(place, _lines(self._said))
        except OSError as error:
            raise refusal("cannot keep verdicts", place, error) from error

    def __contains__(self, pair: Pair) -> bool:
        return fingerprint(*pair) in self._said

    def __getitem__(self, pair: Pair) -> Verdict:
        return self._said[fingerprint(*pair)]

    def add(self, found: Iterable[tuple[Pair, Verdict]]) -> None:
        """Keep what was said of some pairs."""
        new = {fingerprint(*pair): said for pair, said in found}
        self._said |= new
        if self._place is None:
            return
        try:
            with self._place.open("a", encoding="utf-8") as stream:
                stream.write(_lines(new))
                stream.flush()
                os.fsync(stream.fileno())
        except OSError as error:
            raise refusal("cannot keep verdicts", self._place, error) from error


def _lines(said: Mapping[str, Verdict]) -> str:
    return "".join(json.dumps(item) + "\n" for item in said.items() if item[1] is not None)
