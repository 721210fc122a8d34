"""What the benchmarks that read others' data make of it."""

from __future__ import annotations

import gzip
import importlib
from pathlib import Path
from types import ModuleType

import pytest

from rba.lm.preamble import asked
from rba.lm.sampling import Sampling
from rba.teachers.teacher import Reply

LISTING = """; a comment: it is no sentence that anyone says
vm-enter: Please enter the number that you wish to call.
again: please enter the number that you wish to call
short: Goodbye now.
hash: Please press the pound key (#) when you are done here.
followme/sorry: ...I am afraid that they are not at their desk...
"""


@pytest.fixture
def benchmark(monkeypatch: pytest.MonkeyPatch):
    """A benchmark's module by its name."""
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "benchmarks"))

    def load(name: str) -> ModuleType:
        return importlib.import_module(name)

    return load


def test_recorded_sentences_are_whole_said_as_written_and_each_once(benchmark, tmp_path: Path):
    listing = tmp_path / "words.txt.gz"
    listing.write_bytes(gzip.compress(LISTING.encode()))
    assert list(benchmark("recorded").sentences(listing)) == [
        ("vm-enter", "Please enter the number that you wish to call"),
        ("followme/sorry", "I am afraid that they are not at their desk"),
    ]


def test_a_teacher_is_told_the_language_that_a_file_of_pairs_names(benchmark, tmp_path: Path):
    place = tmp_path / "eng-spa.jsonl"
    place.write_text('{"eng": "Yes.", "spa": "Sí."}\n{"eng": "No.", "spa": "No."}\n', encoding="utf-8")
    seen: list[str] = []

    class Told:
        def told(self, system: object) -> Told:
            self.system = system
            return self

        def replies(self, texts: list[str], sampling: Sampling, seeds: range) -> list[Reply]:
            seen.extend(asked(self.system, text)["content"] for text in texts)  # type: ignore[arg-type]
            return [Reply(text=text.upper(), finished=True) for text in texts]

    languages = benchmark("languages")
    language, found = languages.pairs(place, 1)
    assert (language, found) == ("spa", [("Yes.", "Sí.")])
    assert languages.translations(Told(), language, ["Yes."], 8) == ["YES."]
    assert seen == ["Translate into Spanish: Yes."]
