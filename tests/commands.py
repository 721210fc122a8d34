"""The `rba` command in a process of its own, for tests of whole runs."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
CI_RECIPE = ROOT / "recipes" / "ci.yaml"


def command(*words: str) -> subprocess.CompletedProcess[str]:
    """What `rba` with these words says, once it has ended."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    return subprocess.run([sys.executable, "-m", "rba", *words], env=environment, capture_output=True, text=True)
