"""`final/<method>/`: the aligned model, with its recipe beside it, to be taken elsewhere."""

from __future__ import annotations

import shutil
from pathlib import Path

from rba.errors import WorkspaceError
from rba.files import settle
from rba.recipe import Recipe
from rba.workspace import file_hash


def publish(model: Path, target: Path, recipe: Recipe) -> None:
    """Copy the checkpoint folder `model` to `target`, in one step; nothing is done where its weights are there already.

    The resolved recipe goes with it as `recipe.yaml`. Raises WorkspaceError where the disk refuses.
    """
    if not model.is_dir():
        raise WorkspaceError("the aligned model is missing", str(model), f"delete {model.parent} and run again")
    if _same(model, target):
        return
    arriving, leaving = (target.with_name(f".{target.name}.{state}") for state in ("partial", "stale"))
    try:
        for leftover in (arriving, leaving):
            if leftover.exists():
                shutil.rmtree(leftover)
        shutil.copytree(model, arriving)
        (arriving / "recipe.yaml").write_text(recipe.to_yaml(), encoding="utf-8")
        if target.exists():
            target.replace(leaving)
        settle(arriving, target)
        shutil.rmtree(leaving, ignore_errors=True)
    except OSError as error:
        shutil.rmtree(arriving, ignore_errors=True)
        # shutil.Error carries a list of failures instead of an errno
        reason = error.strerror or str(error)
        fix = "free some space or choose another run folder"
        raise WorkspaceError(f"cannot write the final model: {reason}", str(target), fix) from error


def _same(model: Path, target: Path) -> bool:
    """Whether every file of `model` is in `target`; the model card is the user's to edit."""
    files = [p.relative_to(model) for p in model.rglob("*") if p.is_file() and p.name != "README.md"]
    return all((target / f).is_file() and file_hash(target / f) == file_hash(model / f) for f in files)
