"""Several nodes: the bytes of one process, with work on each of them and one lost on the way."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from cluster.nodes import spoken

pytestmark = pytest.mark.slow


def test_a_node_that_goes_away_midway_changes_nothing(tmp_path: Path):
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    env.pop("RAY_ADDRESS", None)
    command = [sys.executable, "-m", "cluster.nodes", str(tmp_path)]
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    assert len(list((tmp_path / "marks").iterdir())) == 3  # the two that had workers, and the one that was left
    assert done.stdout.splitlines()[-1] == spoken(tmp_path / "alone", None)
