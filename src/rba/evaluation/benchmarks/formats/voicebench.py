"""VoiceBench: rows {audio, prompt, ...} of one subset, as its hub dataset and its published files have them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from rba.evaluation.benchmarks.formats import ifeval, manifest
from rba.evaluation.benchmarks.item import Item
from rba.evaluation.benchmarks.settings import VOICEBENCH, BenchmarkSettings


def load(settings: BenchmarkSettings) -> Iterator[Item]:
    """One item a row."""
    scorer = VOICEBENCH[settings.subset]
    items = ifeval.load(settings) if scorer == "ifeval" else manifest.load(settings)
    for item in items:
        yield item if scorer in ("qa", "choice", "ifeval") else replace(item, references=())
