"""YAML of a recipe: a tag that its value does not fit is one line, as other faults are."""

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
