"""What all tests share: quiet threads, no model hub, weights by name and a run folder."""

from __future__ import annotations

import os

from rba import runtime

# before any test imports torch
runtime.prepare()
for variable, value in {
    "OMP_NUM_THREADS": "2",
    "TOKENIZERS_PARALLELISM": "false",
    "HF_HUB_OFFLINE": "1",
}.items():
    os.environ.setdefault(variable, value)

from collections.abc import Callable, Iterator  # noqa: E402
from pathlib import Path  # noqa: E402

import pytest  # noqa: E402

from rba.cluster.connection import connected  # noqa: E402
from rba.cluster.settings import RaySettings, Workers  # noqa: E402
from rba.weights.resolve import resolve  # noqa: E402
from rba.workspace import Workspace  # noqa: E402


@pytest.fixture(scope="session")
def weights() -> Callable[[str], str]:
    """`weights(name)`: the folder of a registry model, fetched once into the cache."""
    return resolve


@pytest.fixture(scope="session")
def ray_cluster() -> Iterator[RaySettings]:
    """Ray on this machine, or the cluster of RAY_ADDRESS, two workers a stage; joined once for all tests."""
    two = Workers(count=2, cpus=0.5)
    settings = RaySettings(synthesis=two, speech=two)
    with connected(settings):
        yield settings


@pytest.fixture
def tmp_workspace(tmp_path: Path) -> Workspace:
    """An empty run folder."""
    return Workspace(tmp_path / "run")
