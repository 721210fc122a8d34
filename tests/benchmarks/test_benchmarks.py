"""The benchmarks run, on random models and the smallest sizes, and end with a ratio."""

from __future__ import annotations

import gzip
import importlib
import json
import math
import os
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]
SMALLEST = {
    "rollout": "--groups 2 --tokens 4 --utterances 4 --rounds 1",
    "scoring": "--answers 2 --tokens 4 --seconds 0.5 --rounds 1 --train-connector --encoder",
    "step": "--instructions 1 --voices 2 --tokens 4 --rounds 1 --memory-answers 2",
}


@pytest.fixture
def timing(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """What the benchmarks time with."""
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    return importlib.import_module("timing")


@pytest.mark.parametrize("name", SMALLEST)
def test_it_ends_with_a_finite_ratio(name: str):
    command = [sys.executable, str(ROOT / "benchmarks" / f"{name}.py"), "--tiny", *SMALLEST[name].split()]
    paths = os.pathsep.join([str(ROOT / "src"), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, "PYTHONPATH": paths})
    assert done.returncode == 0, done.stderr
    found = re.fullmatch(r"ratio: (\d+\.\d\d)", done.stdout.splitlines()[-1])
    assert found and math.isfinite(float(found[1])), done.stdout
    assert "floor" in done.stdout


def test_ways_take_turns(timing: ModuleType):
    seen: list[str] = []
    times = timing.interleaved({name: lambda name=name: seen.append(name) for name in "ab"}, 2)
    assert "".join(sorted(seen[:2])) == "ab"
    assert seen[2:] == ["a", "b", "b", "a"]
    assert all(len(row) == 2 for row in times.values())


def test_missed_words_are_counted_by_how_often_the_texts_hold_them(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    heard = importlib.import_module("heard")
    texts = ["Is it big?", *["Is it?"] * 300]
    lines = "\n".join(json.dumps({"text": text}) for text in texts)
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress(lines.encode()))
    seen = heard.counts(tmp_path)
    assert seen == {"is": 301, "it": 301, "big": 1}
    # "big" is left out, "is" taken for another word, "tea" is in no text; what is heard beside them counts nowhere
    found = heard.missed_by_count(["Is it big?", "What is tea?"], ["It is it", "what was tea"], seen)
    assert found == {0: (0, 2), 1: (1, 1), 4: (0, 0), 16: (0, 0), 64: (0, 0), 256: (1, 3)}
