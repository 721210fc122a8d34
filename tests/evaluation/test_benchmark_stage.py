"""The stage asks benchmarks and conditions, and resumes to the same result."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from evaluation.layouts import write_clip, write_rows
from evaluation.stand_ins import Log, WordEmbedder
from rba.data.instruction import Instruction
from rba.evaluation.answers import Answer
from rba.evaluation.benchmarks.settings import BenchmarkSettings
from rba.evaluation.relatives import Kinship
from rba.evaluation.results import load_results
from rba.evaluation.settings import ConditionSettings, EvaluateSettings
from rba.evaluation.stage import run
from rba.lm.sampling import Sampling
from rba.speech.speaker import SpeakerBank
from rba.testing.tiny_utterances import tiny_utterances
from rba.workspace import Workspace

MODELS = {"base": "m0", "sft": "m1"}
TEST = [replace(u, speaker=f"t{u.voice}") for u in tiny_utterances(3, 2, "test")]
WRITTEN = [Instruction(u.instruction_id, u.text, u.response, split=u.split) for u in TEST]


def evaluate(root: Path, log: Log, asked: EvaluateSettings, **also: Any):
    folder = Workspace(root).stage("evaluation")
    if not folder.open("mark"):
        run(
            asked,
            folder=folder,
            seed=7,
            models=MODELS,
            **{"utterances": TEST, "instructions": WRITTEN, "teacher": "echo", "loaders": log.loaders()} | also,
        )
    return folder


def test_the_stage_asks_benchmarks_and_resumes_to_the_same_result(tmp_path: Path):
    source = tmp_path / "data"
    clips = [{"id": i, "question": f"What is {i}?", "answer": str(i), "audio": f"{i}.flac"} for i in range(3)]
    for row in clips:
        write_clip(source / str(row["audio"]))
    write_rows(source / "manifest.jsonl", *clips)
    german = write_rows(tmp_path / "de.jsonl", *({"eng": f"Say {i}.", "deu": f"Sag {i}."} for i in range(2)))
    asked = EvaluateSettings(
        answer=Sampling(0.0, 1.0, 6),
        judges=("recall", "similarity"),
        teacher_again=0,
        resamples=100,
        shard_size=3,
        benchmarks=(
            BenchmarkSettings("facts", "manifest", str(source), max_new_tokens=4, system="Be brief."),
            BenchmarkSettings("german", "pairs", str(german), subset="eng_deu", max_new_tokens=4),
        ),
    )
    whole = evaluate(tmp_path / "whole", Log(), asked)
    found = load_results(whole.path)
    for name, main in (("facts", "contains"), ("german", "bleu")):
        models = {r.model for r in found if r.benchmark == name and r.metric == main}
        assert models == {"base", "sft", "text", "cascade", "teacher"}
        assert any(r.benchmark == name and r.metric == "no_answer" for r in found)
    assert "13a" in whole.notes["signatures"]["german"]["bleu"]
    assert all(len(a.text) == 0 or a.tokens <= 4 for a in whole.read(Answer) if a.instruction_id.startswith("facts/"))
    with pytest.raises(KeyboardInterrupt):
        evaluate(tmp_path / "cut", Log(fail_at="m1"), asked)
    assert load_results(evaluate(tmp_path / "cut", Log(), asked).path) == found


def test_open_answers_to_a_benchmark_have_win_rates(tmp_path: Path):
    """Judged by what the teacher answers to them; against the teacher, by the data's own answers where there are."""
    source = tmp_path / "data"
    rows = [{"id": i, "question": f"What is {i}?", "audio": f"{i}.flac"} for i in range(4)]
    for row in rows:
        write_clip(source / str(row["audio"]))
    write_rows(source / "manifest.jsonl", *(row | {"answer": f"It is {row['id']}."} for row in rows[:3]), rows[3])
    asked = EvaluateSettings(
        answer=Sampling(0.0, 1.0, 6),
        judges=("recall", "similarity", "likelihood"),
        teacher_again=0,
        resamples=100,
        benchmarks=(
            BenchmarkSettings("alpaca", "manifest", str(source), scorer="open", max_new_tokens=4),
            BenchmarkSettings("facts", "manifest", str(source), max_new_tokens=4),
        ),
    )
    found = load_results(evaluate(tmp_path / "run", Log(), asked).path)
    contests = [r for r in found if "win_rate" in r.metric and r.benchmark != "heldout"]
    kinds = {f"{kind}:{judge}" for kind in ("win_rate", "lc_win_rate") for judge in ("recall", "similarity")}
    assert {r.metric for r in contests} == kinds  # judges with an LLM read the run's own test alone
    assert {(r.benchmark, r.condition) for r in contests} == {("alpaca", "all")}
    pairs = {(r.model, r.against) for r in contests}
    assert pairs >= {("sft", "base"), ("text", "base"), ("base", "sft"), ("sft", "teacher"), ("cascade", "teacher")}
    assert {r.n for r in contests if r.against == "teacher"} == {3}
    assert {r.n for r in contests if r.against != "teacher"} == {4}


@pytest.mark.parametrize(("embedder", "others"), [(EvaluateSettings().embedder, 0), ("another", 1)])
def test_near_duplicates_and_similarity_share_an_embedder_where_it_is_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, embedder: str, others: int
):
    source, other, log = tmp_path / "data", list[str](), Log()
    write_clip(source / "0.flac")
    write_rows(source / "manifest.jsonl", {"id": 0, "question": "What is 0?", "answer": "0", "audio": "0.flac"})
    asked = EvaluateSettings(
        answer=Sampling(0.0, 1.0, 6),
        teacher_again=0,
        resamples=100,
        benchmarks=(BenchmarkSettings("facts", "manifest", str(source), max_new_tokens=4),),
    )
    trained = [*WRITTEN, Instruction("t", "What is zero?", "0", split="train")]
    monkeypatch.setattr("rba.lm.embedder.SentenceEmbedder", lambda name: other.append(name) or WordEmbedder())
    evaluate(tmp_path / "run", log, asked, instructions=trained, kinship=Kinship(embedder, 0.01))
    assert log.loaded.count("embedder") == 1 and other == ["another"] * others


@pytest.mark.parametrize("names", [("typed", "clean"), ("typed",)])
def test_a_typed_request_tells_what_alignment_did_to_text_input(tmp_path: Path, names: tuple[str, ...]):
    speakers = SpeakerBank().speakers("test")
    said = [replace(u, engine="hibari", speaker=speakers[u.voice].id) for u in TEST]
    asked = EvaluateSettings(
        answer=Sampling(0.0, 1.0, 6),
        teacher_again=0,
        resamples=100,
        conditions=ConditionSettings(names=names, instructions=0, voices=2),
    )
    folder = Workspace(tmp_path).stage("evaluation")
    folder.open("mark")
    run(asked, folder=folder, seed=7, models=MODELS, utterances=said, instructions=WRITTEN, teacher="echo",
        loaders=Log().loaders())  # fmt: skip
    found = [r for r in load_results(folder.path) if r.benchmark == "robustness" and r.condition == "typed"]
    assert {r.model for r in found if r.metric == "f1"} >= {"base", "sft", "cascade", "text"}
    assert {r.metric for r in found}.isdisjoint({"gap_closed", "transcript_wer"})
    answers = folder.read(Answer)
    typed = [a for a in answers if a.utterance_id.endswith("@typed")]
    assert len(typed) == len({(a.model, a.instruction_id) for a in typed}) and {a.heard for a in typed} == {None}
    texts = {name: {a.instruction_id: a.text for a in typed if a.model == name} for name in ("base", "sft", "cascade")}
    read = {a.instruction_id: a.text for a in answers if a.model == "text"}
    assert texts["base"] == texts["cascade"] == read and texts["sft"] != read


def test_the_stage_says_test_requests_again_under_conditions(tmp_path: Path):
    speakers = SpeakerBank().speakers("test")
    said = [replace(u, engine="hibari", speaker=speakers[u.voice].id) for u in TEST]
    asked = EvaluateSettings(
        answer=Sampling(0.0, 1.0, 6),
        judges=("recall", "similarity"),
        teacher_again=0,
        resamples=100,
        conditions=ConditionSettings(names=("clean", "noise-0"), instructions=2),
    )
    folder = Workspace(tmp_path).stage("evaluation")
    folder.open("mark")
    run(asked, folder=folder, seed=7, models=MODELS, utterances=said, instructions=WRITTEN, teacher="echo",
        loaders=Log().loaders())  # fmt: skip
    found = [r for r in load_results(folder.path) if r.benchmark == "robustness"]
    assert {r.condition for r in found} == {"clean", "noise-0"}
    assert {r.model for r in found if r.metric == "recall"} >= {"base", "sft", "cascade", "text"}
    assert {r.condition for r in found if r.metric == "clean_share"} <= {"noise-0"}
    assert {r.n for r in found if r.metric == "recall" and r.model == "base"} == {2}
    won = {(r.condition, r.model, r.against) for r in found if r.metric == "win_rate:recall"}
    assert won >= {(name, "sft", "base") for name in asked.conditions.names}
    assert {r.metric for r in found if r.metric.startswith("lc_")} == {"lc_win_rate:recall", "lc_win_rate:similarity"}
