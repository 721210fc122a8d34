"""Requests from a file: how it is read, what is said of a bad line, and what the stage makes of it."""

from __future__ import annotations

import gzip
import json
from dataclasses import replace
from pathlib import Path

import pytest

from rba.data.instruction import Instruction
from rba.errors import DataError
from rba.lm.task import TaskSettings
from rba.synthesis import filters, stage
from rba.synthesis.answers import why_dropped
from rba.synthesis.settings import SynthesisSettings
from rba.synthesis.texts import Given, read_texts
from rba.teachers.teacher import Reply
from rba.workspace import StageFolder
from synthesis.stand_ins import ScriptedTeacher, WordEmbedder

PLAIN = [
    f"The {a} {b} is in the {c}." for a in ("red", "old", "wet") for b in ("cat", "hat", "jar") for c in ("barn", "van")
]
ODD = ["Yes", "The list is at www.example.org today.", PLAIN[0], "Die Katze sitzt auf dem alten Dach."]
SETTINGS = SynthesisSettings(train=10, validation=2, test=4, shard_size=5, near_duplicate=0.0, split_distance=0.0)


class Translator(ScriptedTeacher):
    """Says "uno dos tres" and the request's words backwards; writes no requests of its own."""

    def sample_queries(self, *args, **kwargs):
        raise AssertionError("the texts are given")

    def replies(self, texts, sampling, seeds):
        return [Reply("uno dos tres " + " ".join(word[::-1] for word in text.split())) for text in texts]


def written(path: Path, texts: list[str]) -> str:
    path.write_text("\n\n".join(texts) + "\n", encoding="utf-8")
    return str(path)


def made(path: Path, settings: SynthesisSettings, seed: int = 1, language: str = "es") -> StageFolder:
    folder = StageFolder(path)
    folder.open("mark")
    stage.synthesise(settings, folder, seed, Translator(), WordEmbedder(), language)
    return folder


def test_plain_lines_and_json_lines_are_read_alike(tmp_path):
    rows = "\n".join(json.dumps({"id": i, "text": f" {text} "}) for i, text in enumerate(PLAIN))
    (tmp_path / "texts.jsonl").write_text(rows + "\n\n")
    (tmp_path / "texts.jsonl.gz").write_bytes(gzip.compress(rows.encode()))
    wanted = [Given(text) for text in PLAIN]
    assert read_texts(tmp_path / "texts.jsonl") == wanted == read_texts(written(tmp_path / "texts.txt", PLAIN))
    assert read_texts(tmp_path / "texts.jsonl.gz") == wanted


def test_json_lines_may_hold_answers(tmp_path):
    rows = [{"text": "A cat?", "response": " Yes. "}, {"text": "A dog?", "response": None}, {"text": "A cow?"}]
    (tmp_path / "texts.jsonl").write_text("\n".join(map(json.dumps, rows)))
    assert read_texts(tmp_path / "texts.jsonl") == [Given("A cat?", "Yes."), Given("A dog?"), Given("A cow?")]


def test_a_mark_of_the_byte_order_is_no_part_of_the_first_text(tmp_path):
    for name, line in (("texts.txt", "A cat."), ("texts.jsonl", '{"text": "A cat."}')):
        (tmp_path / name).write_text(f"{line}\n", encoding="utf-8-sig")
        assert read_texts(tmp_path / name) == [Given("A cat.")]


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("t.jsonl", b'{"text": "A cat."}\n{"text": }\n', r"t\.jsonl, line 2"),
        ("t.jsonl", b'{"text": "A cat."}\n\n["A dog."]\n', r"t\.jsonl, line 3"),
        ("t.ndjson", b'{"sentence": "A cat."}\n', r"t\.ndjson, line 1"),
        ("t.jsonl", b'{"text": " "}\n', r"t\.jsonl, line 1"),
        ("t.jsonl", b'{"text": "A cat.", "response": ["Yes"]}\n', r"response is no text.*t\.jsonl, line 1"),
        ("t.txt", b"A cat.\nUn ni\xf1o.\n", r"not UTF-8.*t\.txt, line 2"),
        ("t.txt", b"A cat.\n" + "A dog.\n".encode("utf-16-le"), r"NUL character .*t\.txt, line 2"),
        ("t.jsonl", b'{"text": "A cat."}\n{"text": "A\\u0000 dog."}\n', r"NUL character .*t\.jsonl, line 2"),
        ("t.jsonl", b'{"text": "A cat."}\n{"text": "A dog.", "n": ' + b"[" * 100_000, r"t\.jsonl, line 2"),
        ("t.txt", b"\n \n", r"no text.*t\.txt"),
        ("t.txt", None, r"cannot read the texts.*t\.txt"),
    ],
)
def test_a_bad_line_is_told_with_file_and_line(tmp_path, name, content, says):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=says) as error:
        read_texts(tmp_path / name)
    assert "\n" not in str(error.value)


def test_the_texts_of_a_file_fill_the_splits_and_the_teacher_answers_them(tmp_path):
    settings = replace(SETTINGS, texts=written(tmp_path / "texts.txt", PLAIN + ODD))
    folder = made(tmp_path / "whole", settings)
    rows = folder.read(Instruction)
    assert {s: sum(r.split == s for r in rows) for s in ("train", "validation", "test")} == settings.quotas
    assert {r.text for r in rows} <= set(PLAIN) and len({r.text for r in rows}) == 16
    assert all(r.response == Translator().replies([r.text], None, [0])[0].text for r in rows)
    assert {r.source for r in rows} == {"file"}
    other = {r.text for r in made(tmp_path / "other", settings, seed=2).read(Instruction)}
    assert len(other) == 16 and other != {r.text for r in rows}


def paired(path: Path, count: int) -> str:
    """The plain texts, the first `count` of them with an answer."""
    answers = [{"response": f"uno {text[4:7]} tres"} for text in PLAIN[:count]] + [{}] * (len(PLAIN) - count)
    path.write_text("\n".join(json.dumps({"text": text} | answer) for text, answer in zip(PLAIN, answers)))
    return str(path)


def test_answers_of_the_file_are_kept_and_the_teacher_gives_the_others(tmp_path):
    settings = replace(SETTINGS, texts=paired(tmp_path / "texts.jsonl", 9))
    rows = made(tmp_path / "run", settings).read(Instruction)
    assert len(rows) == 16 and {r.source for r in rows} == {"file", "pair"}
    for r in rows:
        given = r.text in PLAIN[:9]
        told = Translator().replies([r.text], None, [0])[0].text
        assert (r.response, r.source) == ((f"uno {r.text[4:7]} tres", "pair") if given else (told, "file"))


def test_answers_of_the_file_pass_the_filters(tmp_path):
    (tmp_path / "texts.jsonl").write_text(
        "\n".join(json.dumps({"text": text, "response": text if i < 2 else "uno dos"}) for i, text in enumerate(PLAIN))
    )
    folder = made(tmp_path / "run", replace(SETTINGS, texts=str(tmp_path / "texts.jsonl")))
    assert {r.text for r in folder.read(Instruction)} == set(PLAIN[2:])
    assert folder.notes["dropped"] == {"echoing answer": 2}


def test_where_the_file_answers_all_no_teacher_is_loaded(tmp_path, monkeypatch):
    monkeypatch.setattr("rba.teachers.load.load_teacher", lambda *_: pytest.fail("there is nothing to write"))
    monkeypatch.setattr("rba.lm.embedder.SentenceEmbedder", lambda name: WordEmbedder())
    settings = replace(SETTINGS, texts=paired(tmp_path / "texts.jsonl", len(PLAIN)))
    folder = StageFolder(tmp_path / "run")
    folder.open("mark")
    stage.run(settings, folder=folder, seed=1, teacher="any", task=TaskSettings(language="es"))
    assert {r.source for r in folder.read(Instruction)} == {"pair"}
    with pytest.raises(DataError, match=r"18 texts make 18 of 99 instructions.*texts\.jsonl"):
        stage.run(replace(settings, train=93), folder=StageFolder(tmp_path / "more"), seed=1, teacher="any")


def test_a_stage_that_was_stopped_ends_with_the_same_rows(tmp_path):
    settings = replace(SETTINGS, texts=written(tmp_path / "texts.txt", PLAIN))
    whole = made(tmp_path / "whole", settings).read(Instruction)
    for round_ in (tmp_path / "whole" / "rounds").glob("round-0000[12]*"):
        round_.unlink()
    folder = StageFolder(tmp_path / "whole")
    folder.open("another mark")
    stage.synthesise(settings, folder, 1, Translator(), WordEmbedder(), "es")
    assert folder.read(Instruction) == whole


def test_a_file_that_is_used_up_is_told_with_what_was_dropped(tmp_path):
    settings = replace(SETTINGS, texts=written(tmp_path / "texts.txt", PLAIN[:6] + ODD[:2]))
    with pytest.raises(DataError, match=r"8 texts make 6 of 16 instructions: .*1 (address|too short).*texts\.txt"):
        made(tmp_path / "run", settings)


@pytest.mark.parametrize("answered", [True, False])
def test_a_file_that_the_attempts_do_not_reach_the_end_of_is_told_so(tmp_path, answered):
    """Whether the teacher answers or the file does: neither is at fault, and there are texts left."""
    rows = [{"text": text, "response": text if i % 3 else "uno dos"} for i, text in enumerate(PLAIN)]
    (tmp_path / "texts.jsonl").write_text("\n".join(map(json.dumps, rows if answered else [*rows, {"text": PLAIN[0]}])))
    settings = replace(SETTINGS, texts=str(tmp_path / "texts.jsonl"), shard_size=2, attempts=1, train=6)
    folder = StageFolder(tmp_path / "run")
    folder.open("mark")
    teacher = None if answered else Translator()
    with pytest.raises(DataError, match=r"texts make \d of \d+ instructions: .*echoing.*raise synthesis\.attempts"):
        stage.synthesise(settings, folder, 1, teacher, WordEmbedder(), "es")


def test_texts_of_a_file_need_not_be_requests_but_must_be_sayable():
    given = replace(SETTINGS, texts="some.txt")
    for text in ("The cat is under the table.", "Sure, the answer is in this paragraph of the book."):
        assert filters.why_dropped(text, True, SETTINGS) in filters.OF_REQUESTS
        assert filters.why_dropped(text, True, given) == ""
    for reason in ("too short", "address", "not sayable"):
        assert reason not in filters.OF_REQUESTS
    assert filters.why_dropped("See www.example.org for the rest.", True, given) == "address"
    assert filters.why_dropped("Yes", True, given) == "too short"


@pytest.mark.parametrize(
    ("answer", "language", "reason"),
    [
        ("El gato está debajo de la mesa.", "es", ""),
        ("¿Has visto a mi gato?", "es", ""),
        ("猫在桌子下面。", "zh", ""),
        ("The cat is under the table.", "es", "answer in English"),
        ("Here is what you asked for: el gato.", "es", "answer in English"),
        ("El gato está debajo de la mesa.", "en", "answer not English"),
        ("The cat is under the big table.", "en", ""),
    ],
)
def test_answers_are_in_the_language_asked_for(answer, language, reason):
    assert why_dropped("The cat is beneath the table.", Reply(answer), "drop", 0, language) == reason
