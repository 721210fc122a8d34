"""The `rba` command in processes of its own, for tests of whole runs."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
CI_RECIPE = ROOT / "recipes" / "ci.yaml"


def start(*words: str, **options: Any) -> subprocess.Popen[Any]:
    """Start `rba` with these words."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    return subprocess.Popen([sys.executable, "-m", "rba", *words], env=environment, **options)


def command(*words: str) -> subprocess.CompletedProcess[str]:
    """What `rba` with these words says, once it has ended."""
    process = start(*words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    out, error = process.communicate()
    return subprocess.CompletedProcess(process.args, process.returncode, out, error)
