"""Model files that cannot be opened, whatever is wrong with them."""

from __future__ import annotations

from pathlib import Path

import pytest

from rba.errors import ModelError, RecipeError
from rba.lm.embedder import SentenceEmbedder
from rba.lm.load import load_lm
from rba.testing.tiny_lm import save_tiny_lm
from rba.weights.opening import opening


@pytest.mark.parametrize("weights", [b"version https://git-lfs.github.com/spec/v1\n", b""])
def test_weights_that_are_cut_short_are_one_line_with_the_reason(tmp_path: Path, weights: bytes):
    folder = save_tiny_lm(tmp_path / "lm")
    (folder / "model.safetensors").write_bytes(weights)
    with pytest.raises(ModelError, match=r"cannot load the language model: .+whole local folder"):
        load_lm(str(folder))
    with pytest.raises(ModelError, match=r"cannot load the sentence embedder: .+"):
        SentenceEmbedder(str(folder))


def test_what_is_told_already_is_not_told_anew():
    with pytest.raises(RecipeError, match="as it is"), opening("the model", "m"):
        raise RecipeError("as it is", "here", "so")


def test_what_is_no_fault_of_the_files_stays_what_it_is():
    with pytest.raises(ZeroDivisionError), opening("the model", "m"):
        _ = 1 / 0
