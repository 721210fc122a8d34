"""The benchmarks run, on random models and the smallest sizes, and end with a ratio."""

from __future__ import annotations

import gzip
import importlib
import json
import math
import re
import runpy
import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch
from forked import ended, fork

from rba.lm.number_format import number_format
from rba.plan.published import PUBLISHED
from rba.testing.tiny_utterances import tiny_wave

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


def script(path: str, *words: str) -> None:
    """Run a file as `python path words` does."""
    sys.argv = [path, *words]
    sys.path.insert(0, str(Path(path).parent))
    runpy.run_path(path, run_name="__main__")


@pytest.mark.parametrize("name", SMALLEST)
def test_it_ends_with_a_finite_ratio(name: str, tmp_path: Path):
    path, said, errors = str(ROOT / "benchmarks" / f"{name}.py"), tmp_path / "said", tmp_path / "errors"
    assert ended([fork(script, path, "--tiny", *SMALLEST[name].split(), said=said, errors=errors)]) == [0], (
        errors.read_text()
    )
    found = re.fullmatch(r"ratio: (\d+\.\d\d)", said.read_text().splitlines()[-1])
    assert found and math.isfinite(float(found[1])), said.read_text()
    assert "floor" in said.read_text()


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


def annotated(root: Path, model: str, *answers: tuple[str, float]) -> None:
    """A model's folder as AlpacaEval keeps it: answers to numbered questions, and how GPT-4 liked them (1 to 2)."""
    folder = root / "results" / model / "weighted_alpaca_eval_gpt4_turbo"
    folder.mkdir(parents=True)
    rows = [
        {"instruction": f"question {i}", "output_1": "red apples grow there", "output_2": text, "preference": liked}
        for i, (text, liked) in enumerate(answers)
    ]
    (folder / "annotations.json").write_text(json.dumps(rows))


def test_judges_are_compared_with_annotations_pair_by_pair(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    judges = importlib.import_module("judges")
    annotated(tmp_path, "a", ("red apples grow there", 1.9), ("red", 1.5))
    annotated(tmp_path, "b", ("red pears grow there", 1.4), ("apples", 1.52))
    annotated(tmp_path, "c", ("nothing at all grows", 1.6), ("red apples", 1.1))
    data = judges.read(tmp_path, 9, 9)
    assert (data.models, data.instructions) == (["a", "b", "c"], ["question 0", "question 1"])
    counts = judges.agreement(judges.scores(data, "recall"), data.liked_KN)
    # first question: a > c > b wanted, a > b > c found; second: a and b are liked alike, both wanted above c
    assert counts.tolist() == [[2, 0], [3, 2]]
    assert judges.agreement(judges.lengths(data), data.liked_KN, judges.lengths(data)).tolist()[1] == [3, 0]
    out = tmp_path / "out.json"
    judges.main([str(tmp_path), "--json", str(out)])
    found = json.loads(out.read_text())["results"]["recall"]
    assert (found["agreement"], found["pairs"]) == (0.4, 5)


def test_a_folder_without_annotations_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    with pytest.raises(SystemExit, match="fewer than three models"):
        importlib.import_module("judges").main([str(tmp_path)])


def test_a_random_model_has_the_published_shape_and_hears(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    random_model = importlib.import_module("random_model").random_model
    name = "Qwen/Qwen2-Audio-7B-Instruct"
    small = {"num_hidden_layers": 1, "hidden_size": 32, "intermediate_size": 64}
    small |= {"num_attention_heads": 2, "num_key_value_heads": 2}
    tower = {"encoder_layers": 1, "d_model": 16, "encoder_attention_heads": 2, "encoder_ffn_dim": 32}
    sizes = {"text_config": PUBLISHED[name]["text_config"] | small}
    sizes |= {"audio_config": PUBLISHED[name]["audio_config"] | tower}
    monkeypatch.setitem(PUBLISHED, name, PUBLISHED[name] | sizes)
    model = random_model(name)
    assert model.core.config.get_text_config().vocab_size == 156_032 and model.core.dtype == number_format("auto")
    first, second = model.prompts(model.encode([tiny_wave(0), tiny_wave(1)]))
    assert first.shape[1] == 32 and not torch.equal(first[-20:], second[-20:])
    with pytest.raises(SystemExit, match=r"random:nobody: no published sizes; choose Qwen/Qwen2-Audio"):
        random_model("nobody")
