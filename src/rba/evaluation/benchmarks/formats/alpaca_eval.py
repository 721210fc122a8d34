"""AlpacaEval: open instructions; the outputs of reference models are not compared with."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from rba.evaluation.benchmarks.formats import manifest
from rba.evaluation.benchmarks.item import Item
from rba.evaluation.benchmarks.settings import BenchmarkSettings


def load(settings: BenchmarkSettings) -> Iterator[Item]:
    """One item an instruction."""
    for item in manifest.load(settings):
        yield replace(item, references=())
