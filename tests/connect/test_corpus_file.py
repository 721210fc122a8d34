"""Corpus files: rows in order, and a line that is none is named."""

import gzip
import json

import pytest

from rba.connect.corpus_file import read_rows
from rba.errors import DataError


def written(tmp_path, text):
    path = tmp_path / "mine.jsonl"
    path.write_text(text, encoding="utf-8")
    return path


def test_rows_come_in_order_without_blank_lines(tmp_path):
    rows = [{"text": "One.", "source": "query"}, {"text": "Two."}]
    text = f"\n{json.dumps(rows[0])}\r\n  \n\n{json.dumps(rows[1])}\n\n"
    assert read_rows(written(tmp_path, text)) == rows
    (tmp_path / "mine.jsonl.gz").write_bytes(gzip.compress(text.encode()))
    assert read_rows(tmp_path / "mine.jsonl.gz") == rows
    assert read_rows(written(tmp_path, "\ufeff" + text)) == rows


def test_separators_of_unicode_end_no_line(tmp_path):
    row = {"text": "One\u2028two\u0085three."}
    assert read_rows(written(tmp_path, json.dumps(row, ensure_ascii=False) + "\n")) == [row]


@pytest.mark.parametrize("line", ['{"sentence": "Hi."}', "5", "{", '{"text": null}', '["text"]', '{"text": "\\ud800"}'])
def test_a_line_without_a_text_is_named_by_its_number(tmp_path, line):
    path = written(tmp_path, '{"text": "One."}\n\n' + line + "\n")
    with pytest.raises(DataError, match=r'no text \(.*mine.jsonl, line 3\); write a JSON object a line: {"text"'):
        read_rows(path)


DAMAGES = {"cut": lambda b: b[:-12], "garbled": lambda b: b[:14] + b"~~~~" + b[18:], "no archive": lambda b: b"x"}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_archive_is_one_clear_line(tmp_path, damage):
    path = tmp_path / "mine.jsonl.gz"
    path.write_bytes(damage(gzip.compress(b'{"text": "A few words, and some more of them."}\n' * 9)))
    with pytest.raises(DataError, match=r"cannot read the corpus file: .*mine.jsonl.gz\); give a text file"):
        read_rows(path)


def test_a_file_that_is_missing_or_no_utf8_is_one_clear_line(tmp_path):
    with pytest.raises(DataError, match=r"corpus file: No such file or directory \(.*none.jsonl\)"):
        read_rows(tmp_path / "none.jsonl")
    (tmp_path / "latin.jsonl").write_bytes('{"text": "é"}'.encode("latin-1"))
    with pytest.raises(DataError, match=r"not UTF-8 .*latin.jsonl, line 1"):
        read_rows(tmp_path / "latin.jsonl")
