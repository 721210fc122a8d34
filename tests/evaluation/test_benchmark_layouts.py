"""Every published layout of benchmark data is read, and what is wrong in it is told with file and row."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from evaluation.layouts import (
    CLIP,
    LAYOUTS,
    chapters,
    covost,
    fleurs,
    must_c,
    pairs,
    settings,
    several,
    write_rows,
)
from rba.data import audio
from rba.errors import DataError, RbaError
from rba.evaluation.benchmarks.load import loader, scorer_name
from rba.evaluation.benchmarks.scorers import SCORERS
from rba.evaluation.benchmarks.settings import FORMATS, BenchmarkSettings
from rba.evaluation.benchmarks.sources import records
from rba.evaluation.benchmarks.translation import target_of
from rba.testing.tiny_utterances import tiny_wave


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
        (
            several,
            {"source": "nowhere.jsonl"},
            "cannot load benchmark b: no such file or folder is here, and the hub says: ",
        ),
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
        ('{"question": "a\0b"}\n', "cannot be read: Invalid control character"),
        ('{"question": "Who?", "audio": "a\\u0000b.wav"}\n', "clip is missing"),
        (r'{"question": "\ud800"}', r"cannot be read: a text holds half a character .*rows\.jsonl, row 1"),
        ('{"question": ' + "[" * 100_000, r"cannot be read: it is nested too deeply .*rows\.jsonl, row 1"),
        ('{"question": "Who?", "audio": "gone.wav"}\n', "clip is missing"),
    ],
)
def test_broken_rows_are_told(content: str, says: str, tmp_path: Path):
    (tmp_path / "rows.jsonl").write_text(content)
    with pytest.raises(DataError, match=says):
        list(loader("manifest")(settings("manifest", tmp_path / "rows.jsonl")))


IFEVAL = '{"prompt": "Who?", "instruction_id_list": ["punctuation:no_comma"], "kwargs": [{}]}\n'
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
        ("squad", '{"question": "Who?", "context": "Ann."}\n{"question": "Why?"}', "no passage"),
        ("ifeval", IFEVAL + '{"prompt": "Who?", "instruction_id_list": ["no:such"], "kwargs": [{}]}', "no:such"),
        ("ifeval", IFEVAL + '{"prompt": "Who?"}', "no instruction_id_list"),
        ("manifest", '{"question": "Who?"}\n{"question": "Why?", "audio": "gone.wav"}', r"missing: .*gone\.wav"),
        ("manifest", '{"question": "Who?"}\n{"question": "Why?", "audio": {"sound": "a.wav"}}', "clip is of no form"),
        ("manifest", '{"question": "Who?"}\n{"question": "Why?", "audio": {"array": [0.1]}}', "are no sound"),
        ("manifest", '{"question": "Who?"}\n{"question": "Why?", "audio": [0.1, 0.2]}', "clip is of no form"),
        ("pairs", '{"en": "Who?", "de": "Wer?"}\n{"en": "So", "de": "So", "audio": "gone.wav"}', "clip is missing"),
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


def test_a_manifest_that_is_named_is_read_whatever_chapters_lie_beside_it(tmp_path: Path):
    chapters(tmp_path / "deep")
    (tmp_path / "a.wav").write_bytes(CLIP)
    source = write_rows(tmp_path / "mine.jsonl", {"text": "mine", "audio": "a.wav"})
    assert [item.text for item in loader("librispeech")(settings("librispeech", source))] == ["mine"]


def test_one_chapter_can_be_named(tmp_path: Path):
    chapters(tmp_path)
    (tmp_path / "84" / "121" / "84-122.trans.txt").write_text("84-122-0000 NOT THIS\n")
    asked = settings("librispeech", tmp_path / "84" / "121" / "84-121.trans.txt")
    assert [item.text for item in loader("librispeech")(asked)] == ["who"]


@pytest.mark.parametrize("rate", [16_000, 8_000, 48_000.0])
@pytest.mark.parametrize("channels", [1, 2])
def test_a_decoded_clip_is_heard_at_its_own_rate(rate: float, channels: int, tmp_path: Path):
    wave = (0.3 * np.sin(np.arange(int(rate) // 2) * 600 / rate)).tolist()
    heard = {"array": [wave] * 2 if channels == 2 else wave, "sampling_rate": rate, "path": None}
    asked = settings("manifest", write_rows(tmp_path / "rows.jsonl", {"question": "Who?", "audio": heard}))
    (item,) = loader("manifest")(asked)
    found = audio.decode(item.audio or b"", "clip")
    assert found.size == 8_000 and np.abs(found[4_000:5_000]).max() == pytest.approx(0.3, abs=0.01)


def test_a_clip_that_a_set_holds_nothing_of_is_none(tmp_path: Path):
    rows = [{"question": "Who?", "audio": None}, {"question": "Why?", "audio": {"bytes": None, "path": None}}]
    asked = settings("manifest", write_rows(tmp_path / "rows.jsonl", *rows))
    assert [item.audio for item in loader("manifest")(asked)] == [None, None]


@pytest.mark.parametrize(
    ("cell", "answers"),
    [
        ('["Rome", "Roma"]', ("Rome", "Roma")),
        ('{"text": ["Rome"], "answer_start": [3]}', ("Rome",)),
        ("Rome | Roma", ("Rome | Roma",)),
        ("[laughs]", ("[laughs]",)),
        ("Rome", ("Rome",)),
    ],
)
@pytest.mark.parametrize("ending", ["csv", "tsv", "jsonl"])
def test_a_cell_may_hold_several_answers(ending: str, cell: str, answers: tuple[str, ...], tmp_path: Path):
    path = tmp_path / f"rows.{ending}"
    quoted = '"' + cell.replace('"', '""') + '"'
    tables = {"csv": f"question,answers\nWho?,{quoted}\n", "tsv": f"question\tanswers\nWho?\t{cell}\n"}
    path.write_text(tables.get(ending) or json.dumps({"question": "Who?", "answers": cell}))
    (item,) = loader("manifest")(settings("manifest", path))
    assert item.references == answers


@pytest.mark.parametrize(
    ("layout", "ids", "names"),
    [
        ("pairs", [None, None, "x"], ["0", "1", "x"]),
        ("pairs", [5, 1, 0, 2], ["5", "1", "0", "2"]),
        ("covost2", [5, 1, 0, 2], ["5", "1", "0", "2"]),
        ("covost2", [None, ""], ["0", "1"]),
        ("manifest", [5, 1, 0, None], ["5", "1", "0", "3"]),
    ],
)
def test_rows_are_called_by_their_id_or_numbered(layout: str, ids: list, names: list[str], tmp_path: Path):
    words = {"en": "Who?", "de": "Wer?", "sentence": "Who?", "translation": "Wer?", "question": "Who?"}
    source = write_rows(tmp_path / "rows.jsonl", *({"id": one, **words} for one in ids))
    asked = settings(layout, source, subset="en_de")
    assert [item.id for item in loader(layout)(asked)] == names


@pytest.mark.parametrize(
    ("subset", "columns", "target"),
    [
        ("en_zh-CN", ("en", "zh-CN"), "zh"),
        ("sv-SE_en", ("sv-SE", "en"), "en"),
        ("en-de", ("en", "de"), "de"),
        ("en_zh_CN", ("en", "zh_CN"), "zh"),
    ],
)
def test_a_language_of_a_pair_may_have_a_region(subset: str, columns: tuple[str, str], target: str, tmp_path: Path):
    source = write_rows(tmp_path / "rows.jsonl", dict(zip(columns, ("Who?", "Wer?"))))
    asked = settings("pairs", source, subset=subset)
    (item,) = loader("pairs")(asked)
    assert (item.text, item.references, target_of(asked)) == ("Who?", ("Wer?",), target)


def test_a_set_of_the_hub_is_read_by_subset_and_split_with_its_clips_as_they_are(tmp_path: Path, monkeypatch):
    import datasets

    columns = {"question": ["Who?", "What?"], "answer": ["Ann", "A cat"], "audio": [{"bytes": CLIP, "path": None}] * 2}
    table = datasets.Dataset.from_dict(columns).cast_column("audio", datasets.Audio())  # as the hub's sets come
    asked = []
    monkeypatch.setattr(datasets, "load_dataset", lambda *where, **which: asked.append((where, which)) or table)
    first, second = loader("llama-questions")(settings("llama-questions", Path("owner/name"), split="validation"))
    assert (first.text, first.references, second.text) == ("Who?", ("Ann",), "What?")
    assert first.audio == second.audio == CLIP  # not decoded on the way
    list(loader("llama-questions")(settings("llama-questions", Path("owner/name"), subset="en")))
    assert asked == [(("owner/name", None), {"split": "validation"}), (("owner/name", "en"), {"split": "test"})]


def test_shards_of_a_split_are_not_those_of_one_whose_name_goes_on(tmp_path: Path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    for name in ("test-00000-of-00002", "test-00001-of-00002", "test-other-00000-of-00001"):
        pq.write_table(pa.Table.from_pylist([{"question": name, "answer": "Ann"}]), tmp_path / f"{name}.parquet")

    def asked(split: str) -> list[str]:
        return [row["question"] for _, row in records(BenchmarkSettings("b", "manifest", str(tmp_path), split=split))]

    assert asked("test") == ["test-00000-of-00002", "test-00001-of-00002"]
    assert asked("test-other") == ["test-other-00000-of-00001"]
