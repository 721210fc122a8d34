"""The model card of an aligned SpeechLM, and the same bytes for the same training whatever the machine."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rba import config, document
from rba.alignment.objectives.titles import TITLES
from rba.alignment.settings import AlignSettings


def model_card(
    method: str,
    settings: AlignSettings,
    *,
    base: str,
    teacher: str,
    task: str = "",
    seed: int,
    data: Mapping[str, Any],
    outcome: Mapping[str, Any],
) -> str:
    """Markdown with front matter: what was trained on what, how far it got, and every setting."""
    front = {"library_name": "rba", "tags": ["speech", "rba", method], "pipeline_tag": "audio-text-to-text"}
    used = {k: v for k, v in config.to_tree(settings).items() if k not in ("methods", "variants")}
    return f"""---
{document.dump(front).strip()}
---
# A SpeechLM aligned with {method}

Method: {_named(method)}. Base: `{base}`. Teacher: `{teacher}`. Seed: {seed}.
{_told(task)}
The teacher's answers and the instructions are synthetic, and so is the speech. Open it with
`rba.models.load.load_speechlm(folder)`.

## Data
{_table(data)}

## Training
{_table(outcome)}

## Settings
```yaml
{document.dump(used).strip()}
```
"""


def _told(task: str) -> str:
    """The task in words; it is in `speechlm.json`, so that the opened model is asked in the same ones."""
    return f"\nIts task, told with every request: `{' '.join(task.split())}`.\n" if task else ""


def _table(facts: Mapping[str, Any]) -> str:
    rows = [f"| {key.replace('_', ' ')} | {_cell(value)} |" for key, value in facts.items()]
    return "\n".join(["| | |", "|---|---|", *rows])


def _cell(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def tidy_adapter(folder: Path, llm: str) -> None:
    """Make a saved adapter the same file in every process: sorted lists, the LLM by its name, no template card."""
    path = folder / "adapter_config.json"
    if not path.is_file():
        return
    facts = json.loads(path.read_text())
    facts = {
        k: sorted(v) if isinstance(v, list) and all(isinstance(i, str) for i in v) else v for k, v in facts.items()
    }
    path.write_text(json.dumps({**facts, "base_model_name_or_path": llm}, indent=1, sort_keys=True) + "\n")
    (folder / "README.md").unlink(missing_ok=True)


def _named(method: str) -> str:
    """A method's title and what it does; its name alone where it has none."""
    return ": ".join(TITLES.get(method, (method,)))
