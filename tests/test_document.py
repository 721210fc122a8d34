"""YAML of a recipe, and JSON: what does not fit its tag, or has no end, is told in one line, as other faults are."""

from __future__ import annotations

import pytest

from rba import document
from rba.errors import RecipeError


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("!!int 0x1F", '"0x1F" cannot be read as int'),
        ("!!int [1]", "this cannot be read as int"),
        ("!!float abc", '"abc" cannot be read as float'),
        ("!!bool maybe", '"maybe" cannot be read as bool'),
        ("!!timestamp today", '"today" cannot be read as timestamp'),
        ("1" * 5000, "cannot be read as int"),
    ],
)
def test_a_value_that_its_tag_does_not_fit_is_named_with_its_line(text: str, said: str):
    with pytest.raises(RecipeError) as caught:
        document.parse(f"name: a\nseed: {text}", "x.yaml")
    assert said in caught.value.what and caught.value.where == "x.yaml, line 2"
    assert len(str(caught.value)) < 200


def test_a_value_that_its_tag_fits_is_read():
    assert document.parse("[!!int 7, !!float 1, !!bool true, !!str 7]", "x") == [7, 1.0, True, "7"]


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a": ' * 100_000])
def test_brackets_without_end_are_one_line(text: str):
    with pytest.raises(RecipeError, match=r"nested too deeply \(x\.yaml\); write fewer brackets"):
        document.parse(text, "x.yaml")
    with pytest.raises(ValueError, match="nested too deeply"):
        document.parse_json(text)


def test_json_that_is_none_is_told_with_its_line():
    assert document.parse_json('{"a": [1]}') == {"a": [1]}
    with pytest.raises(ValueError, match="Expecting value, line 3"):
        document.parse_json('{\n"a":\n}')
