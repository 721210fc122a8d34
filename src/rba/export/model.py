"""`rba export --to transformers`: one of a run's final models, out of rba's own form."""

from __future__ import annotations

from pathlib import Path

from rba.errors import DataError
from rba.export.folder import new_folder
from rba.export.registry import load_format
from rba.recipe import load_recipe
from rba.report import source
from rba.report.card import MARK, card
from rba.report.usage import Usage
from rba.workspace import Workspace, write_text


def export_model(run: str | Path, to: str, out: str | Path, method: str | None = None) -> str:
    """Write the final model of `method` in the format `to` as the new folder `out`; returns the method.

    `method` may be left out where the run has a single one. A model card goes with it, from the recipe beside the
    final model and what the run holds of data and results. Raises RecipeError for an unknown format, DataError where
    there is no such model or several, and WorkspaceError for a folder `out` that is not empty or a disk that refuses.
    """
    write, final = load_format(to), Path(run) / "final"
    names = sorted(path.parent.name for path in final.glob("[!.]*/speechlm.json"))
    if not names:
        raise DataError("the run has no final model", str(final), "run `rba align RECIPE` first")
    if method is None and len(names) > 1:
        raise DataError("the run has several final models", str(final), f"give --method: {', '.join(names)}")
    if method not in (None, *names):
        raise DataError("the run has no such final model", f"--method {method}", f"choose one of: {', '.join(names)}")
    chosen = method or names[0]
    with new_folder(Path(out)) as folder:
        usage = write(folder, final / chosen)
        _write_card(folder, Path(run), chosen, usage)
    return chosen


def _write_card(folder: Path, run: Path, method: str, usage: Usage) -> None:
    """The model card, from the recipe that lies beside the model and whatever the run still holds."""
    config = run / "final" / method / "recipe.yaml"
    if not config.is_file():
        return
    recipe = load_recipe(config)
    text = card(source.read(Workspace(run), recipe), recipe, method, run / "final" / method, usage)
    write_text(folder / "README.md", text.replace(f"{MARK}\n\n", ""))
