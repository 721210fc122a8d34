"""Model cards: the README.md of each aligned model in `final/`: what it is made of, how good it is, and its limits."""

from __future__ import annotations

import json
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rba import document
from rba.alignment.variants import resolve, trained
from rba.errors import ModelError
from rba.report import facts, names, source, summary, tables
from rba.report.names import plain
from rba.report.usage import Usage, of_rba
from rba.weights.registry import find
from rba.workspace import Workspace, write_text

if TYPE_CHECKING:
    from rba.recipe import Recipe

MARK = "<!-- Written by rba report, which writes it anew; remove this line to keep changes of your own. -->"


def write(workspace: Workspace, recipe: Recipe) -> list[Path]:
    """Write the card of every aligned model in `final/` and return their paths.

    A card that somebody has edited (its mark is gone) stays as it is. Raises DataError for damaged results and
    WorkspaceError where the disk refuses.
    """
    run, written = source.read(workspace, recipe), []
    for method in trained(recipe.align):
        path = workspace.root / "final" / method / "README.md"
        if path.parent.is_dir() and _is_ours(path, workspace.stage(f"align/{method}").path / "model" / "README.md"):
            write_text(path, card(run, recipe, method, path.parent))
            written.append(path)
    return written


def _is_ours(path: Path, first: Path) -> bool:
    """Whether a card may be replaced: there is none, it has our mark, or it is the one that training left."""
    if not path.is_file():
        return True
    text = path.read_text(encoding="utf-8", errors="replace")
    return MARK in text or (first.is_file() and text == first.read_text(encoding="utf-8", errors="replace"))


def card(run: source.Source, recipe: Recipe, method: str, folder: Path, usage: Usage | None = None) -> str:
    """The card of one aligned model as Markdown with YAML front matter; `folder` is its checkpoint folder.

    `usage` says how what the card is for is opened: the checkpoint folder itself unless it is given.
    """
    from jinja2 import Environment, StrictUndefined

    place = next(iter(tables.places(run.results)), ("", ""))
    rows = tables.at(run.results, place)
    parts = _parts(folder, recipe)
    usage = usage or of_rba(f"final/{method}")
    text = (resources.files(__package__) / "card.md.j2").read_text(encoding="utf-8")
    # Markdown, not HTML: names and numbers only, no texts of instructions
    kind = resolve(recipe.align, method)[0]
    template = Environment(undefined=StrictUndefined, keep_trailing_newline=True).from_string(text)
    return template.render(
        front=document.dump(_front(method, parts, recipe.task.language, usage)).strip(),
        mark=MARK,
        name=recipe.name,
        method=method,
        method_name=names.model_name(method),
        method_note=names.MODEL_NOTES.get(kind, kind),
        sentence=summary.sentence(rows),
        teacher=recipe.teacher,
        task=" ".join(recipe.task.prompt.split()),
        texts=bool(recipe.synthesis.texts),
        parts=[(part, f"`{_known(name)[0]}`", _known(name)[1]) for part, name in parts.items()],
        usage=usage,
        table=tables.scores(rows, names.place_name(*place)),
        splits=facts.splits(run),
        training=_training(run, method),
        yaml=recipe.to_yaml().strip(),
    )


def _parts(folder: Path, recipe: Recipe) -> dict[str, str]:
    """The models that went into it, by part; a checkpoint of another family is named as a whole."""
    path = folder / "speechlm.json"
    named = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    parts = {"speech encoder": named.get("encoder", ""), "language model": named.get("llm", "")}
    parts = {part: name for part, name in parts.items() if name} or {"base model": recipe.model}
    return {**parts, "teacher": recipe.teacher}


def _known(name: str) -> tuple[str, str]:
    """A model's public id and licence; its own name, and no licence, where the registry does not hold it."""
    try:
        entry = find(name)
    except ModelError:
        # a folder's place says nothing to those who read the card
        return Path(name).name if Path(name).is_absolute() else name, "see its own card"
    return "/".join(entry.upstream.rstrip("/").split("/")[-2:]), entry.licence


def _front(method: str, parts: dict[str, str], answers: str, usage: Usage) -> dict[str, Any]:
    """The front matter that model hubs read. The licence is the language model's, where it is known."""
    bases = [name for part, name in parts.items() if part != "teacher" and usage.part in ("", part)]
    licence = _known(bases[-1])[1]
    return {
        "library_name": usage.library,
        "pipeline_tag": usage.pipeline,
        "language": list(dict.fromkeys(["en", answers])),
        "license": "other" if " " in licence else licence.lower(),
        "base_model": [_known(name)[0] for name in bases],
        "tags": ["speech", "speech-language-model", "rba", method],
    }


def _training(run: source.Source, method: str) -> list[tuple[str, str]]:
    told = run.notes.get(f"align/{method}", {}).get("training", {})
    shown = {k: v for k, v in told.items() if isinstance(v, int | float | str) and not isinstance(v, bool)}
    return [(plain(key), _figure(value)) for key, value in shown.items()]


def _figure(value: float | int | str) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    return f"{value:,}" if isinstance(value, int) else value
