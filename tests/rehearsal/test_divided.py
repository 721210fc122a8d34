"""Alignment in processes of its own: the fault of one of them is the dry run's, and not that another one has ended."""

from __future__ import annotations

from pathlib import Path

import pytest

from rba.errors import ModelError, ProcessError, RbaError
from rba.recipe import load_recipe
from rba.rehearsal import divided

FAULT = ModelError("cannot be divided", "model m", "choose another")
ENDED = ProcessError("another process of this run has ended", "seen by process 0 of 2")


def leave(place: Path, monkeypatch: pytest.MonkeyPatch, rank: int, error: Exception) -> int:
    """The exit code of a process whose work raises `error`."""

    def run(recipe: object, verb: str) -> None:
        assert verb == "align"
        raise error

    monkeypatch.setenv("RANK", str(rank))
    monkeypatch.setattr(divided, "run", run)
    (place / "recipe.yaml").write_text("name: mine")
    return divided.main(place)


@pytest.mark.parametrize("errors", [(FAULT, ENDED), (ENDED, FAULT), (FAULT,)])
def test_the_fault_of_one_is_told_and_not_that_it_has_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, errors: tuple[RbaError, ...]
):
    assert [leave(tmp_path, monkeypatch, rank, error) for rank, error in enumerate(errors)] == [2] * len(errors)
    found = divided.fault(tmp_path)
    assert type(found) is ModelError and str(found) == str(FAULT)


def test_an_error_that_is_nobodys_fault_is_not_hidden(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    with pytest.raises(ZeroDivisionError):
        leave(tmp_path, monkeypatch, 0, ZeroDivisionError())
    assert divided.fault(tmp_path) is None


def test_one_variant_alone_asks_for_processes(tmp_path: Path):
    (tmp_path / "mine.yaml").write_text("align: {variants: {wide: {method: sft, sharding: fsdp}}}")
    assert divided.is_divided(load_recipe(tmp_path / "mine.yaml"))
    assert not divided.is_divided(load_recipe(tmp_path / "mine.yaml", ["align.variants.wide.sharding=none"]))
