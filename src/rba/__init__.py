"""rba: align speech language models to text teachers.

A whole run in a notebook:

    import rba

    recipe = rba.load_recipe("recipes/tiny.yaml", ["align.methods=[sft, rba-group]"])
    folder = rba.run(recipe)                    # skips what is done; ends with the results table and report.html
    rba.load_results(folder)                    # the table's rows, with intervals
    model = rba.load_speechlm(folder / "final" / "rba-group")
    reply = rba.ask(model, "question.wav")      # a file, a waveform at 16 kHz, or rba.ask(model, text="...")
    print(reply.heard, "->", reply.text)
    rba.ask(model, ["one.wav", "two.wav"], text="Which of the two is a question?")    # several clips in one prompt

Names are imported when first used: `import rba` itself costs nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rba.chat import Reply, ask
    from rba.data.audio import decode as read_audio
    from rba.data.instruction import Instruction
    from rba.data.utterance import Utterance
    from rba.errors import RbaError
    from rba.evaluation.results import load_results
    from rba.lm.sampling import Sampling
    from rba.models.load import load_speechlm
    from rba.pipeline import run
    from rba.recipe import Recipe, load_recipe
    from rba.teachers.load import load_teacher
    from rba.workspace import Workspace

__version__ = "0.1.0"

_HOMES = {
    "Instruction": "rba.data.instruction",
    "RbaError": "rba.errors",
    "Recipe": "rba.recipe",
    "Reply": "rba.chat",
    "Sampling": "rba.lm.sampling",
    "Utterance": "rba.data.utterance",
    "Workspace": "rba.workspace",
    "ask": "rba.chat",
    "load_recipe": "rba.recipe",
    "load_results": "rba.evaluation.results",
    "load_speechlm": "rba.models.load",
    "load_teacher": "rba.teachers.load",
    "read_audio": "rba.data.audio:decode",
    "run": "rba.pipeline",
}

__all__ = [
    "Instruction",
    "RbaError",
    "Recipe",
    "Reply",
    "Sampling",
    "Utterance",
    "Workspace",
    "__version__",
    "ask",
    "load_recipe",
    "load_results",
    "load_speechlm",
    "load_teacher",
    "read_audio",
    "run",
]


def __getattr__(name: str) -> Any:
    """Import a public name from its home when it is first asked for (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module 'rba' has no attribute {name!r}")
    home, _, original = _HOMES[name].partition(":")
    value = getattr(importlib.import_module(home), original or name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """The public names, for completion."""
    return sorted(__all__)
