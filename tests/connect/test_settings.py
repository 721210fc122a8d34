"""Settings of the connect stage: what cannot work is refused before anything is made."""

import re
from dataclasses import fields

import pytest

from rba import config
from rba.connect.settings import HEADS, ConnectSettings, CtcSettings, part_name
from rba.errors import RecipeError
from rba.models.connector import ConnectorConfig


def connect(**tree):
    return config.build(ConnectSettings, tree, "connect")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        *[("corpus.self_synthesised", -1), ("corpus.templated", -1), ("corpus.acoustics", []), ("corpus.speakers", 0)],
        *[("corpus.renderings", 0), ("corpus.held_out", -3), ("corpus.held_out", 0)],
        *[("ctc.stack", 0), ("ctc.width", 0), ("ctc.width", 100), ("ctc.layers", -1), ("ctc.min_count", -1)],
        *[("ctc.passes", 0), ("ctc.batch_steps", 0), ("ctc.lr", 0)],
        *[("ctc.warmup", -0.1), ("ctc.warmup", 1.1), ("ctc.dropout", -0.1), ("ctc.dropout", 1), ("ctc.mask", -0.1)],
        *[("ctc.mask", 1.5), ("ctc.average", 1)],
        *[("distill.updates", -1), ("distill.batch", 0), ("distill.lr", 0), ("distill.ctc_weight", -1)],
        *[("distill.max_response", 0), ("workers", -1), ("checkpoint_minutes", -1)],
    ],
)
def test_a_value_that_cannot_work_is_refused_by_its_key(key, value):
    section, _, name = key.rpartition(".")
    with pytest.raises(RecipeError, match=rf"this value cannot work \(connect\.{re.escape(key)}\); \w+"):
        connect(**({section: {name: value}} if section else {name: value}))


def test_endless_passes_are_refused_by_their_key():
    with pytest.raises(RecipeError, match=r"connect\.ctc\.passes"):
        connect(ctc={"passes": float("inf")})


def test_the_smallest_values_that_work_are_taken():
    ctc = {"stack": 1, "width": HEADS, "layers": 0, "min_count": 0, "batch_steps": 1, "warmup": 0, "dropout": 0}
    corpus = {"self_synthesised": 0, "templated": 0, "speakers": 1, "renderings": 1, "held_out": 1}
    made = connect(ctc=ctc | {"mask": 0}, corpus=corpus, distill={"batch": 1, "ctc_weight": 0, "max_response": 1})
    assert made.ctc.width == HEADS


def test_the_heads_are_those_of_the_connector():
    assert {f.name: f.default for f in fields(ConnectorConfig)}["heads"] == HEADS
    with pytest.raises(RecipeError, match=f"multiple of {HEADS}"):
        CtcSettings(width=HEADS + 1)


@pytest.mark.parametrize(("first", "second"), [("a/texts.jsonl", "b/texts.jsonl"), ("names.v1.gz", "names.v2.gz")])
def test_files_whose_parts_have_one_name_are_refused_with_both(first, second):
    said = rf'"{part_name(first)}" \(connect\.corpus\.files: {second}, beside {first}\); rename the file'
    with pytest.raises(RecipeError, match=said):
        connect(corpus={"files": ["other.jsonl", first, second]})


@pytest.mark.parametrize(
    ("file", "makes"),
    [("held-out.jsonl", {}), ("templated.jsonl.gz", {"templated": 1}), ("self-synthesised.jsonl", {})],
)
def test_a_file_named_as_another_part_is_refused(file, makes):
    with pytest.raises(RecipeError, match=rf"called \"{part_name(file)}\" .*{file}, beside th.*; rename the file"):
        connect(corpus={"files": [file], **makes})


def test_a_name_is_free_where_no_other_part_has_it():
    files = ["recipes/connector/templated.jsonl.gz", "self-synthesised.jsonl"]
    assert connect(corpus={"files": files, "templated": 0, "self_synthesised": 0}).corpus.files == tuple(files)
