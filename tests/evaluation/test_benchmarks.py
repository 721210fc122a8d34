"""Spoken benchmarks: every layout, and the stage that asks them."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from evaluation.stand_ins import Log
from rba.data import audio
from rba.data.instruction import Instruction
from rba.errors import DataError, RbaError, RecipeError
from rba.evaluation.answers import Answer
from rba.evaluation.benchmarks.load import chosen_items, load, loader, scorer_name
from rba.evaluation.benchmarks.needs import check
from rba.evaluation.benchmarks.rows import rows
from rba.evaluation.benchmarks.scorers import SCORERS
from rba.evaluation.benchmarks.settings import FORMATS, BenchmarkSettings
from rba.evaluation.results import load_results
from rba.evaluation.settings import ConditionSettings, EvaluateSettings
from rba.evaluation.stage import run
from rba.lm.sampling import Sampling
from rba.speech.references import ReferenceBank
from rba.speech.settings import SpeechSettings
from rba.speech.speaker import SpeakerBank, home_split
from rba.testing.tiny_utterances import tiny_utterances, tiny_wave
from rba.workspace import Workspace

CLIP = audio.encode(tiny_wave(1))


def settings(layout: str, source: Path, **values: object) -> BenchmarkSettings:
    return replace(BenchmarkSettings("b", layout, str(source)), **values)  # type: ignore[arg-type]


def write_rows(path: Path, *records: dict[str, object]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in records))
    return path


def write_table(path: Path, *records: dict[str, str]) -> None:
    lines = ["\t".join(row) for row in (records[0].keys(), *(record.values() for record in records))]
    path.write_text("\n".join(lines) + "\n")


def write_clip(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(CLIP)


# Layouts: each writes a tiny set as it is published and says how it is named.


def questions(folder: Path) -> BenchmarkSettings:
    write_clip(folder / "q1.wav")
    write_rows(folder / "manifest.jsonl", {"id": "1", "question": "Who?", "answer": "Ann", "audio": "q1.wav"})
    return settings("llama-questions", folder)


def aliases(folder: Path) -> BenchmarkSettings:
    row = {"QuestionId": "1", "Question": "Who?", "Answer": {"Value": "Ann", "Aliases": ["Ann", "Anna"]}}
    (folder / "wiki.json").write_text(json.dumps({"Data": [row]}))
    return settings("trivia-qa", folder / "wiki.json")


def several(folder: Path) -> BenchmarkSettings:
    write_rows(folder / "test.jsonl", {"id": 1, "question": "Who?", "answers": ["Ann", "Anna"]})
    return settings("web-questions", folder)


def reading(folder: Path) -> BenchmarkSettings:
    question = {"id": "1", "question": "Who?", "answers": [{"text": "Ann"}]}
    paragraphs = [{"context": "Ann was there.", "qas": [question]}]
    (folder / "test.json").write_text(json.dumps({"data": [{"paragraphs": paragraphs}]}))
    write_clip(folder / "wav" / "1.wav")
    return settings("squad", folder)


def flat_reading(folder: Path) -> BenchmarkSettings:
    row = {"id": "1", "question": "Who?", "context": "Ann was there.", "answers": {"text": ["Ann"]}}
    return settings("squad", write_rows(folder / "flat.jsonl", row))


def instructions(folder: Path) -> BenchmarkSettings:
    return settings("alpaca-eval", write_rows(folder / "a.jsonl", {"instruction": "Who?", "output": "Ann"}))


def voices(folder: Path) -> BenchmarkSettings:
    write_rows(folder / "sd-qa" / "test.jsonl", {"prompt": "Who?", "reference": "Ann"})
    return settings("voicebench", folder, subset="sd-qa")


def parquet(folder: Path) -> BenchmarkSettings:
    import pyarrow as pa
    import pyarrow.parquet as pq

    row = {"prompt": "Who?", "reference": "Ann", "audio": {"bytes": CLIP, "path": None}}
    (folder / "sd-qa").mkdir()
    pq.write_table(pa.Table.from_pylist([row]), folder / "sd-qa" / "test-00000-of-00001.parquet")
    return settings("voicebench", folder, subset="sd-qa")


def chapters(folder: Path) -> BenchmarkSettings:
    write_clip(folder / "84" / "121" / "84-121-0000.flac")
    (folder / "84" / "121" / "84-121.trans.txt").write_text("84-121-0000 WHO\n")
    return settings("librispeech", folder)


def covost(folder: Path) -> BenchmarkSettings:
    write_clip(folder / "clips" / "1.mp3")
    row = {"path": "1.mp3", "sentence": 'Who "is"?', "translation": "Wer?"}
    write_table(folder / "covost_v2.en_de.test.tsv", row)
    return settings("covost2", folder, subset="en_de")


def regional_covost(folder: Path) -> BenchmarkSettings:
    write_clip(folder / "clips" / "1.mp3")
    write_table(folder / "covost_v2.en_zh-CN.test.tsv", {"path": "1.mp3", "sentence": "Who?", "translation": "谁？"})
    return settings("covost2", folder, subset="en_zh-CN")


def fleurs(folder: Path) -> BenchmarkSettings:
    for config, text in (("en_us", "Who?"), ("de_de", "Wer?")):
        write_clip(folder / config / "audio" / "test" / "9.wav")
        (folder / config / "test.tsv").write_text(f"7\t9.wav\t{text}\tx\ty\n")
    return settings("fleurs", folder, subset="en_us-de_de")


def must_c(folder: Path) -> BenchmarkSettings:
    place = folder / "en-de" / "data" / "test"
    (place / "txt").mkdir(parents=True)
    write_clip(place / "wav" / "talk.wav")
    (place / "txt" / "test.yaml").write_text("- {duration: 0.2, offset: 0.1, wav: talk.wav}\n")
    (place / "txt" / "test.en").write_text("Who?\n")
    (place / "txt" / "test.de").write_text("Wer?\n")
    return settings("must-c", folder, subset="en_de")


def pairs(folder: Path) -> BenchmarkSettings:
    return settings("pairs", write_rows(folder / "p.jsonl", {"eng": "Who?", "deu": "Wer?"}), subset="eng_deu")


LAYOUTS: dict[Callable[[Path], BenchmarkSettings], tuple[tuple[str, ...], bool]] = {
    questions: (("Ann",), True),
    aliases: (("Ann", "Anna"), False),
    several: (("Ann", "Anna"), False),
    reading: (("Ann",), True),
    flat_reading: (("Ann",), False),
    instructions: ((), False),
    voices: (("Ann",), False),
    parquet: (("Ann",), True),
    chapters: (("who",), True),
    covost: (("Wer?",), True),
    regional_covost: (("谁？",), True),
    fleurs: (("Wer?",), True),
    must_c: (("Wer?",), True),
    pairs: (("Wer?",), False),
}


@pytest.mark.parametrize("write", LAYOUTS, ids=lambda write: write.__name__)
def test_every_layout_is_read(write: Callable[[Path], BenchmarkSettings], tmp_path: Path):
    asked, (references, spoken) = write(tmp_path), LAYOUTS[write]
    (item,) = loader(asked.format)(asked)
    assert item.text.lower().startswith("who") and item.references == references
    assert (item.audio is not None) == spoken
    if item.audio:
        assert 0 < audio.decode(item.audio, "clip").size <= tiny_wave(1).size
    assert ("Ann was there." in item.system) == ("reading" in write.__name__)


def test_a_segment_of_a_talk_is_cut_where_the_listing_says(tmp_path: Path):
    asked = must_c(tmp_path)
    (item,) = loader("must-c")(asked)
    cut = audio.decode(item.audio or b"", "clip")
    np.testing.assert_allclose(cut, audio.decode(CLIP, "talk")[1600:4800], atol=1e-4)


def test_every_format_has_a_scorer():
    scored = {scorer_name(settings(name, Path("x"), subset="sd-qa")) for name in FORMATS}
    assert scored - {"translation"} <= set(SCORERS)


@pytest.mark.parametrize(
    ("write", "change", "says"),
    [
        (several, {"source": "nowhere.jsonl"}, "cannot load benchmark b"),
        (voices, {"subset": "songs"}, "no such subset"),
        (fleurs, {"subset": "en_us"}, "two configs"),
        (pairs, {"subset": "eng"}, "no pair of languages"),
        (covost, {"subset": "en-de"}, "no pair of languages"),
        (pairs, {"subset": "eng_fra"}, "lacks eng or fra"),
        (must_c, {"split": "dev"}, "MuST-C cannot be read"),
    ],
)
def test_wrong_data_are_told_in_one_line(write, change, says, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    asked = replace(write(tmp_path), **change)
    with pytest.raises(RbaError, match=says) as refused:
        list(loader(asked.format)(asked))
    assert refused.value.fix


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ('{"id": 1}\n', "no question"),
        ("{broken\n", "cannot be read"),
        ('{"question": "Who?", "audio": "gone.wav"}\n', "clip is missing"),
    ],
)
def test_broken_rows_are_told(content: str, says: str, tmp_path: Path):
    (tmp_path / "rows.jsonl").write_text(content)
    with pytest.raises(DataError, match=says):
        list(loader("manifest")(settings("manifest", tmp_path / "rows.jsonl")))


SQUAD = '{"paragraphs": [%s]}'


@pytest.mark.parametrize(
    ("layout", "content", "says"),
    [
        ("manifest", '{"question": "Who?"}\n\n["Who?"]\n', "no object"),
        ("manifest", '{"question": "Who?"}\n{broken\n', "cannot be read"),
        ("covost2", '{"sentence": "Who?", "translation": "Wer?"}\n{"sentence": "What?"}\n', "lacks 'translation'"),
        ("covost2", '{"sentence": "Who?", "translation": "Wer?"}\n{"sentence": 1, "translation": "1"}\n', "no text"),
        ("pairs", '{"en": "Who?", "de": "Wer?"}\n{"en": 1, "de": 2}\n', "no text"),
        ("pairs", '{"en": "Who?", "de": "Wer?"}\n{"en": "What?"}\n', "lacks en or de"),
        ("squad", SQUAD % "" + "\n" + SQUAD % '{"qas": [{"id": 1, "question": "Who?"}]}', "lacks 'context'"),
        ("squad", SQUAD % "" + "\n" + SQUAD % '{"context": "Ann.", "qas": ["Who?"]}', "of another form"),
        ("squad", SQUAD % "" + '\n{"question": "Who?"}', "lacks 'paragraphs'"),
    ],
)
def test_rows_of_another_form_are_told_with_file_and_row(layout: str, content: str, says: str, tmp_path: Path):
    (tmp_path / "rows.jsonl").write_text(content)
    with pytest.raises(DataError, match=says) as refused:
        list(loader(layout)(settings(layout, tmp_path / "rows.jsonl", subset="en_de")))
    assert refused.value.where == f"{tmp_path / 'rows.jsonl'}, row 2" and refused.value.fix


def test_a_short_row_of_a_table_is_told_with_file_and_row(tmp_path: Path):
    covost(tmp_path)
    table = tmp_path / "covost_v2.en_de.test.tsv"
    table.write_text(table.read_text() + "1.mp3\tWhat?\n")
    with pytest.raises(DataError, match="lacks 'translation'") as refused:
        list(loader("covost2")(settings("covost2", tmp_path, subset="en_de")))
    assert refused.value.where == f"{table}, row 2"


def test_a_short_line_of_fleurs_is_told_with_file_and_row(tmp_path: Path):
    asked, table = fleurs(tmp_path), tmp_path / "de_de" / "test.tsv"
    table.write_text(table.read_text() + "8\t10.wav\n")
    with pytest.raises(DataError, match="no id, file and transcription") as refused:
        list(loader("fleurs")(asked))
    assert refused.value.where == f"{table}, row 2"


def test_a_short_segment_of_a_talk_is_told_with_file_and_row(tmp_path: Path):
    asked, listing = must_c(tmp_path), tmp_path / "en-de" / "data" / "test" / "txt" / "test.yaml"
    listing.write_text("- {duration: 0.2, wav: talk.wav}\n")
    with pytest.raises(DataError, match=r"lacks 'offset' .*test\.yaml, row 1"):
        list(loader("must-c")(asked))


@pytest.mark.parametrize("ending", ["csv", "tsv"])
def test_a_field_beyond_the_limit_is_told_with_file_and_row(ending: str, tmp_path: Path):
    path = tmp_path / f"rows.{ending}"
    path.write_text(f"question\nWho?\n{'o' * 140_000}\n")
    with pytest.raises(DataError, match="field larger than") as refused:
        list(loader("manifest")(settings("manifest", path)))
    assert refused.value.where == f"{path}, row 2"


def test_json_without_rows_and_text_of_another_encoding_are_told(tmp_path: Path):
    path = tmp_path / "rows.json"
    for content, says in ((b'"Who?"', "no list of rows"), (b'{"rows": []}', "no list of rows"), (b"\xff", "be read")):
        path.write_bytes(content)
        with pytest.raises(DataError, match=says):
            list(loader("manifest")(settings("manifest", path)))


@pytest.mark.parametrize(
    ("name", "content", "texts"),
    [
        ("rows.csv", 'question,answer\n"What is\nthis?",Ann\n', ["What is\nthis?"]),
        ("rows.csv", "question,answer\r\nWho?,Ann\r\n", ["Who?"]),
        ("rows.csv", "\ufeffquestion,answer\nWho?,Ann\n", ["Who?"]),
        ("rows.json", '\ufeff[{"question": "Who?"}]', ["Who?"]),
        ("rows.jsonl", '{"question": "Who\u2028is?"}\r\n\r\n{"question": "Who?"}', ["Who\u2028is?", "Who?"]),
        ("rows.tsv", 'question\tanswer\nWho\u2028"is?\tAnn\n', ['Who\u2028"is?']),
    ],
)
def test_line_breaks_and_byte_order_marks_are_read_as_they_are_meant(
    name: str, content: str, texts: list[str], tmp_path: Path
):
    (tmp_path / name).write_bytes(content.encode())
    assert [item.text for item in loader("manifest")(settings("manifest", tmp_path / name))] == texts


def test_lines_of_talks_end_at_newlines_alone(tmp_path: Path):
    asked = must_c(tmp_path)
    (tmp_path / "en-de" / "data" / "test" / "txt" / "test.en").write_text("Who\u2028is?\n")
    assert [item.text for item in loader("must-c")(asked)] == ["Who\u2028is?"]


@pytest.mark.parametrize(
    ("layout", "scorer", "found", "says"),
    [
        ("manifest", "qa", [{"question": "Who?"}], "qa needs answers"),
        ("alpaca-eval", "qa", [{"question": "Who?", "output": "Ann"}], "qa needs answers"),
        ("manifest", "asr", [{"question": "Who?", "answer": "who"}, {"question": "What?"}], "1 of 2 items lack"),
        ("manifest", "translation", [{"question": "Who?"}], "needs a translation"),
        ("manifest", "ifeval", [{"question": "Who?", "answer": "Ann"}], "needs checks of IFEval"),
        ("manifest", "choice", [{"question": "A or B?", "answer": "Berlin"}], "needs a letter"),
    ],
)
def test_what_the_scorer_lacks_is_told_before_anything_is_said(
    layout, scorer, found, says, tmp_path: Path, monkeypatch
):
    monkeypatch.setattr("rba.evaluation.benchmarks.load.prepare", lambda *a: pytest.fail("said something"))
    source = write_rows(tmp_path / "rows.jsonl", *found)
    with pytest.raises(DataError, match=says) as refused:
        load(settings(layout, source, scorer=scorer), SpeechSettings(), tmp_path / "speech", 1)
    assert "benchmark b" in refused.value.where and refused.value.fix


@pytest.mark.parametrize(
    ("scorer", "found"),
    [
        ("qa", [{"question": "Who?", "answer": "Ann"}, {"question": "Why?"}]),
        ("choice", [{"question": "A or B?", "answer": "(a)"}, {"question": "Is it?", "answer": "no"}]),
        ("open", [{"question": "Who?"}]),
        ("refusal", [{"question": "Who?"}]),
    ],
)
def test_what_a_scorer_can_do_without_is_not_asked_for(scorer: str, found, tmp_path: Path):
    source = write_rows(tmp_path / "rows.jsonl", *found)
    check("b", scorer, chosen_items(settings("manifest", source), 0))


@pytest.mark.parametrize(
    "change",
    [{"format": "x"}, {"scorer": "x"}, {"name": "heldout"}, {"name": "a/b"}, {"source": ""}, {"max_new_tokens": 0}],
)
def test_settings_that_cannot_work_are_refused(change):
    with pytest.raises(RecipeError, match="benchmarks: "):
        replace(BenchmarkSettings("b", "manifest", "x"), **change)


def numbered(folder: Path, count: int) -> Path:
    return write_rows(
        folder / "n.jsonl", *({"id": i, "question": f"What is {i}?", "answer": str(i)} for i in range(count))
    )


def test_more_items_keep_those_that_fewer_chose(tmp_path: Path):
    source = numbered(tmp_path, 40)
    few, many, every = (chosen_items(settings("manifest", source, items=n), seed=3) for n in (5, 20, 0))
    assert [len(found) for found in (few, many, every)] == [5, 20, 40]
    assert {i.id for i in few} < {i.id for i in many}
    assert {i.id for i in chosen_items(settings("manifest", source, items=5), seed=4)} != {i.id for i in few}


def test_two_items_with_one_id_are_refused(tmp_path: Path):
    source = write_rows(tmp_path / "twice.jsonl", {"id": 1, "question": "a"}, {"id": 1, "question": "b"})
    with pytest.raises(DataError, match="two items with the id 1"):
        chosen_items(settings("manifest", source), 0)


def test_what_has_no_clip_is_spoken_by_test_speakers_and_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    asked = settings("manifest", numbered(tmp_path, 3))
    first = load(asked, SpeechSettings(), tmp_path / "speech", 5, trained={"What is 1?"})
    assert set(first.items) == {"b/0", "b/2"} == {u.instruction_id for u in first.utterances}
    assert first.refused == {"b/1": "its words occur in training"}
    assert {home_split(u.speaker) for u in first.utterances} == {"test"}
    monkeypatch.setattr("rba.evaluation.benchmarks.load.render", lambda *a: pytest.fail("said again"))
    assert load(asked, SpeechSettings(), tmp_path / "speech", 5, {"What is 1?"}).utterances == first.utterances


def test_cloned_voices_say_them_where_the_run_clones(tmp_path: Path):
    for person in range(40):
        clip = tmp_path / "people" / f"{person:02d}" / "clip.wav"
        clip.parent.mkdir(parents=True)
        soundfile.write(clip, np.tile(tiny_wave(person), 8), audio.SAMPLE_RATE)
    speech = SpeechSettings(engine="speech.examples:Mimic", references=str(tmp_path / "people"))
    found = load(settings("manifest", numbered(tmp_path, 3)), speech, tmp_path / "speech", 5)
    people = {who.id for who in ReferenceBank(speech.references).speakers("test")}
    assert len(found.utterances) == 3 and {u.speaker for u in found.utterances} <= people and not found.refused


# Rows and the stage.


def test_rows_compare_the_same_items_and_say_what_of_the_gap_is_closed(tmp_path: Path):
    benchmark = load(settings("manifest", numbered(tmp_path, 4)), SpeechSettings(), tmp_path / "speech", 1)
    right = {"base": 1, "sft": 2, "text": 3, "teacher": 4}
    answers = [
        Answer(model, "", f"b/{i}", 0, str(i) if i < n else "no", 3, True, None)
        for model, n in right.items()
        for i in range(4)
    ]
    found = {(r.model, r.metric, r.against): r.value for r in rows(benchmark, answers, 200, 1)}
    assert {m: found[m, "contains", ""] for m in right} == {m: n / 4 for m, n in right.items()}
    assert found["sft", "delta_contains", "base"] == pytest.approx(0.25)
    assert found["sft", "gap_closed", "base"] == pytest.approx(0.5)
    lost = [a for a in answers if (a.model, a.instruction_id) != ("sft", "b/0")]
    short = {(r.model, r.metric): r for r in rows(benchmark, lost, 200, 1) if not r.against}
    assert {short[m, "contains"].n for m in right} == {3} and short["base", "contains"].value == 0


MODELS = {"base": "m0", "sft": "m1"}
TEST = [replace(u, speaker=f"t{u.voice}") for u in tiny_utterances(3, 2, "test")]
WRITTEN = [Instruction(u.instruction_id, u.text, u.response, split=u.split) for u in TEST]


def evaluate(root: Path, log: Log, asked: EvaluateSettings):
    folder = Workspace(root).stage("evaluation")
    if not folder.open("mark"):
        run(
            asked,
            folder=folder,
            seed=7,
            models=MODELS,
            utterances=TEST,
            instructions=WRITTEN,
            teacher="echo",
            loaders=log.loaders(),
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
