"""Recognition: LibriSpeech's folders (`<speaker>-<chapter>.trans.txt` beside FLAC files), or a manifest."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from rba.evaluation.benchmarks import sources, tables
from rba.evaluation.benchmarks.formats import manifest
from rba.evaluation.benchmarks.item import Item
from rba.evaluation.benchmarks.settings import BenchmarkSettings
from rba.inputs import given

ENDING = ".trans.txt"


def load(settings: BenchmarkSettings) -> Iterator[Item]:
    """One item a clip; its reference is what was said. Rows of a manifest that name another split are left out."""
    listings = _listings(settings)
    for listing in listings:
        yield from _chapter(listing)
    if not listings:
        for item in manifest.load(settings):
            if item.audio and item.facts.get("split", settings.split) == settings.split:
                yield replace(item, references=(item.text,))


def _listings(settings: BenchmarkSettings) -> list[Path]:
    """The chapters below a folder, or the one that is named; none where the source is a manifest."""
    path = given(settings.source)
    if path.is_file():
        return [path] if path.name.endswith(ENDING) else []
    return sorted((path / settings.subset).rglob(f"*{ENDING}"))


def _chapter(listing: Path) -> Iterator[Item]:
    for where, line in tables.placed(tables.lines(tables.text_of(listing)), listing):
        name, _, text = line.partition(" ")
        if text:
            clip = sources.clip(f"{name}.flac", listing.parent, where)
            yield Item(name, text.lower(), (text.lower(),), clip, where=where)
