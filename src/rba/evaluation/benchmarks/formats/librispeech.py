"""Recognition: LibriSpeech's folders (`<speaker>-<chapter>.trans.txt` beside FLAC files), or a manifest."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from rba.evaluation.benchmarks import sources, tables
from rba.evaluation.benchmarks.formats import manifest
from rba.evaluation.benchmarks.item import Item
from rba.evaluation.benchmarks.settings import BenchmarkSettings


def load(settings: BenchmarkSettings) -> Iterator[Item]:
    """One item a clip; its reference is what was said. Rows of a manifest that name another split are left out."""
    folder = sources.folder_of(settings)
    listings = sorted((folder / settings.subset).rglob("*.trans.txt")) if folder.is_dir() else []
    for listing in listings:
        yield from _chapter(listing)
    if not listings:
        for item in manifest.load(settings):
            if item.audio and item.facts.get("split", settings.split) == settings.split:
                yield replace(item, references=(item.text,))


def _chapter(listing: Path) -> Iterator[Item]:
    for line in tables.lines(tables.text_of(listing)):
        name, _, text = line.partition(" ")
        if text:
            yield Item(name, text.lower(), (text.lower(),), sources.clip(f"{name}.flac", listing.parent, name))
