"""The committed texts of the strong teacher: what they hold, and how they are joined from runs."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

import pytest

from rba.data import shards
from rba.synthesis.candidate import Candidate
from rba.synthesis.duplicates import normalised
from rba.synthesis.split import SURPLUS
from rba.synthesis.texts import Given, read_texts

FOLDER = Path(__file__).parents[1] / "recipes" / "strong"


def test_every_request_stands_once_and_has_an_answer():
    rows = read_texts(FOLDER / "corpus.jsonl.gz")
    assert len(rows) >= 5000 and (FOLDER / "corpus.jsonl.gz").stat().st_size < 5e6
    assert all(row.response for row in rows)
    assert len({normalised(row.text) for row in rows}) == len(rows)


def test_runs_are_joined_without_what_was_dropped_or_said_before(tmp_path, monkeypatch, capsys):
    dropped = [Candidate("A dog?", "echoing answer", "A dog."), Candidate("Six?", "code")]
    again, left_over = Candidate("a cat", "", "No."), Candidate("A cow?", SURPLUS, "Moo, ünd.")
    drawn = {"a": [Candidate("A cat?", "", "Yes."), *dropped], "b": [again, left_over]}
    for run, rows in drawn.items():
        shards.write(tmp_path / run / "synthesis" / "rounds" / "round-00000.parquet", rows, Candidate)
    out = tmp_path / "corpus.jsonl.gz"
    monkeypatch.setattr(sys, "argv", ["corpus.py", str(tmp_path / "a"), str(tmp_path / "b"), "--out", str(out)])
    for _ in range(2):
        runpy.run_path(str(FOLDER / "corpus.py"), run_name="__main__")
        assert read_texts(out) == [Given("A cat?", "Yes."), Given("A cow?", "Moo, ünd.")]
    assert "2 requests" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["evidence-strong", "evidence-tokens"])
def test_the_recipes_take_them(name):
    from rba.recipe import load_recipe

    texts = FOLDER / "corpus.jsonl.gz"
    recipe = load_recipe(str(FOLDER.parent / f"{name}.yaml"), [f"synthesis.texts={texts}"])
    assert len(read_texts(recipe.synthesis.texts)) > 2 * recipe.synthesis.wanted
